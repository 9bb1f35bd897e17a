import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createExecPolicy,
  execGrant,
  type ExecDecision,
} from '../../../host-helper/authority/exec-policy.ts';
import {
  defaultExecRules,
  parseExecRules,
  type ExecRule,
} from '../../../host-helper/authority/exec-rules.ts';
import type { ExecAsk } from '../../../host-helper/inspector/sentry.ts';

const defaults = createExecPolicy([defaultExecRules]);
const node = { program: '/usr/bin/node', argument: undefined };
const npm = '/usr/lib/node_modules/npm/bin/npm-cli.js';

function ask(program: string, argv: readonly string[], more: Partial<ExecAsk> = {}): ExecAsk {
  return {
    ask: 1n,
    sandbox: 1,
    tid: 2,
    pid: 2,
    program,
    interpreter: undefined,
    argv,
    argvTruncated: false,
    cwd: '/work',
    ...more,
  };
}

/** `line` is split at blanks: argv[0] is the first word. */
function decide(program: string, line: string, more: Partial<ExecAsk> = {}, rules = defaults): ExecDecision {
  return rules.decide(ask(program, line.split(' '), more), () => false);
}

describe('what the default rules ask about', () => {
  const asked: [why: string, rule: string, program: string, line: string, more?: Partial<ExecAsk>][] = [
    ['a plain push', 'git-push', '/usr/bin/git', 'git push'],
    ['a push past -C and -c', 'git-push', '/usr/bin/git', 'git -C /elsewhere -c user.name=a push --force'],
    [
      'a push past options with a separate value',
      'git-push',
      '/usr/bin/git',
      'git --git-dir x/.git --work-tree x push',
    ],
    [
      'a push past options with a glued value',
      'git-push',
      '/usr/bin/git',
      'git --git-dir=x/.git --no-pager -p push',
    ],
    ['a push where the value looks like another command', 'git-push', '/usr/bin/git', 'git -C status push'],
    ['a push by argv[0] alone', 'git-push', '/usr/bin/git', 'git-push origin main'],
    ['a push by argv[0] with a directory', 'git-push', '/usr/bin/git', '/tmp/x/git-push origin main'],
    ['a git under its second path', 'git-push', '/usr/lib/git-core/git', 'git push'],
    ['a git called something else by a symlink', 'git-push', '/usr/bin/git', 'harmless push'],
    ['a dashed program that is a file of its own', 'git-push', '/usr/lib/git-core/git-push', 'x origin'],
    [
      'a misspelt push, which git corrects in the same process',
      'git-push',
      '/usr/bin/git',
      'git -c help.autocorrect=immediate psuh origin',
    ],
    ['another misspelling', 'git-push', '/usr/bin/git', 'git pus'],
    ['git send-pack', 'git-send-pack', '/usr/bin/git', 'git send-pack --all host:repo'],
    [
      'a git transport started directly',
      'git-transport',
      '/usr/lib/git-core/git-remote-http',
      'git-remote-https origin https://example.org/x',
    ],
    [
      'git through the program loader',
      'git-push',
      '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
      'ld.so --library-path /lib /usr/bin/git push',
    ],
    [
      'git through the program loader with another argv[0]',
      'git-push',
      '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
      'ld.so --argv0 git-push /usr/bin/git origin',
    ],
    [
      'the loader given to the loader',
      'git-push',
      '/lib/ld-musl-x86_64.so.1',
      'a /lib64/ld-linux-x86-64.so.2 /usr/bin/git push',
    ],
    [
      'git named by a #! line',
      'git-push',
      '/code/release',
      'release',
      { interpreter: { program: '/usr/bin/git', argument: 'push' } },
    ],
    ['npm publish', 'npm-publish', npm, 'npm publish', { interpreter: node }],
    ['npm publish past --prefix', 'npm-publish', npm, 'npm --prefix x publish', { interpreter: node }],
    [
      'npm publish past a boolean with a value',
      'npm-publish',
      npm,
      'npm --json true publish',
      { interpreter: node },
    ],
    ['an abbreviated npm publish', 'npm-publish', npm, 'npm publ', { interpreter: node }],
    ['npm publish by its interpreter', 'npm-publish', '/usr/bin/node', `node ${npm} publish`],
    [
      'npm publish past options of node',
      'npm-publish',
      '/usr/bin/node',
      `node --stack-size 900 --no-warnings ${npm} publish`,
    ],
    [
      'npm publish by its directory',
      'npm-publish',
      '/usr/bin/node',
      'node /usr/lib/node_modules/npm/ publish',
    ],
    [
      'npm publish from within its directory',
      'npm-publish',
      '/usr/bin/node',
      'node . publish',
      { cwd: '/usr/lib/node_modules/npm' },
    ],
    [
      'npm publish without the extension',
      'npm-publish',
      '/usr/bin/node',
      'node ../bin/npm-cli publish',
      { cwd: '/usr/lib/node_modules/npm/lib' },
    ],
    ['npm unpublish', 'npm-publish', npm, 'npm unpublish x', { interpreter: node }],
    ['npm dist-tag add', 'npm-publish', npm, 'npm dist-tag add x@1 latest', { interpreter: node }],
    ['yarn publish', 'package-publish', '/usr/share/yarn/bin/yarn.js', 'yarn publish', { interpreter: node }],
    [
      'yarn npm publish of a checked-in release',
      'package-publish',
      '/usr/bin/node',
      'node .yarn/releases/yarn-4.5.0.cjs npm publish',
    ],
    [
      'yarn through corepack',
      'package-publish',
      '/usr/lib/node_modules/corepack/dist/corepack.js',
      'corepack yarn@4 npm publish',
      { interpreter: node },
    ],
    [
      'pnpm publish',
      'package-publish',
      '/opt/pnpm/bin/pnpm.cjs',
      'pnpm -C pkg publish',
      { interpreter: node },
    ],
    ['bun publish', 'package-publish', '/usr/local/bin/bun', 'bun publish'],
    [
      'cargo publish through the rustup proxy',
      'package-publish',
      '/root/.cargo/bin/rustup',
      'cargo +nightly publish',
    ],
    [
      'cargo publish past an option with a value',
      'package-publish',
      '/usr/bin/cargo',
      'cargo --color always publish',
    ],
    ['twine as a module', 'package-publish', '/usr/bin/python3.11', 'python3 -I -m twine upload dist/x'],
    ['twine as a module, glued', 'package-publish', '/usr/bin/python3.11', 'python3 -mtwine upload dist/x'],
    [
      'twine as a script',
      'package-publish',
      '/usr/bin/twine',
      'twine upload x',
      { interpreter: { program: '/usr/bin/python3', argument: undefined } },
    ],
    [
      'gem push',
      'package-publish',
      '/usr/bin/gem3.1',
      'gem push x.gem',
      { program: '/usr/bin/gem', interpreter: { program: '/usr/bin/ruby3.1', argument: undefined } },
    ],
    [
      'mvn deploy after other goals',
      'build-publish',
      '/usr/share/maven/bin/mvn',
      'mvn -q clean deploy',
      { interpreter: { program: '/bin/sh', argument: undefined } },
    ],
    ['docker push past a context', 'image-push', '/usr/bin/docker', 'docker --context x push a/b'],
    ['docker buildx with --push', 'image-build-push', '/usr/bin/docker', 'docker buildx build --push .'],
    ['gh pr create with an option between', 'forge', '/usr/bin/gh', 'gh pr -R a/b create'],
    ['gh api with a field', 'forge-api', '/usr/bin/gh', 'gh api repos/a/b/issues -f title=x'],
    ['sudo', 'privilege', '/usr/bin/sudo', 'sudo -n true'],
    ['su from busybox by its link', 'privilege', '/bin/busybox', 'su root'],
    ['su as an argument of busybox', 'privilege', '/bin/busybox', 'busybox su root'],
    ['systemd-run', 'privilege', '/usr/bin/systemd-run', 'systemd-run --user id'],
  ];
  for (const [why, rule, program, line, more] of asked) {
    it(`asks about ${why}`, () => {
      const decision = decide(program, line, more);
      assert.equal(decision.effect, 'ask');
      assert.equal(decision.rule?.id, rule);
      assert.equal(decision.remember, false);
    });
  }
});

describe('what the default rules let pass', () => {
  const allowed: [why: string, program: string, line: string, more?: Partial<ExecAsk>][] = [
    ['git status', '/usr/bin/git', 'git status'],
    ['git pull, though it resembles push', '/usr/bin/git', 'git pull'],
    ['git stash push', '/usr/bin/git', 'git stash push'],
    ['a folder called push', '/usr/bin/git', 'git -C push status'],
    ['a commit message that says push', '/usr/bin/git', 'git commit -m push'],
    ['a branch called push', '/usr/bin/git', 'git checkout push'],
    ['git status with argv[0] of a push elsewhere', '/usr/bin/git', 'git-status push'],
    ['npm install', npm, 'npm install', { interpreter: node }],
    ['npm run publish, whose own commands are checked', npm, 'npm run publish', { interpreter: node }],
    ['npm test', '/usr/bin/node', `node ${npm} test`],
    ['echo git push', '/bin/echo', 'echo git push'],
    ['a shell line with git push: git is checked when it starts', '/bin/dash', 'sh -c git\u00a0push'],
    ['env git push: git is checked when it starts', '/usr/bin/env', 'env A=b git push'],
    ['cargo build', '/root/.cargo/bin/rustup', 'cargo build --release'],
    ['python -m http.server', '/usr/bin/python3.11', 'python3 -m http.server'],
    [
      'mvn test',
      '/usr/share/maven/bin/mvn',
      'mvn -q clean test',
      { interpreter: { program: '/bin/sh', argument: undefined } },
    ],
    ['gh pr view', '/usr/bin/gh', 'gh pr view 1'],
    ['gh api for a read', '/usr/bin/gh', 'gh api repos/a/b'],
    ['docker build', '/usr/bin/docker', 'docker build .'],
  ];
  for (const [why, program, line, more] of allowed) {
    it(`allows ${why}`, () => assert.equal(decide(program, line, more).effect, 'allow'));
  }

  it('cannot recognise a copy of git under another name, and the documents say so', () => {
    // The network it needs is asked about by the egress proxy; this test keeps the limit known.
    assert.equal(decide('/code/foo', 'foo push').effect, 'allow');
  });
});

describe('what may be remembered', () => {
  const plain = (program: string, more: Partial<ExecAsk> = {}): boolean =>
    decide(program, program, more).remember;

  it('remembers programs that no rule names', () => {
    assert.equal(plain('/usr/bin/ls'), true);
    assert.equal(plain('/usr/bin/env'), true);
  });

  it('remembers shells, because under the default rules a shell is never handed what a rule names', () => {
    assert.equal(plain('/usr/bin/dash'), true);
    assert.equal(plain('/usr/bin/bash'), true);
  });

  it('never remembers a file that a rule names, harmless as this argv may be', () => {
    assert.equal(decide('/usr/bin/git', 'git status').remember, false);
    assert.equal(decide(npm, 'npm test', { interpreter: node }).remember, false);
  });

  it('never remembers what runs the file it is given', () => {
    for (const program of [
      '/usr/bin/node',
      '/usr/bin/python3',
      '/usr/bin/ruby3.1',
      '/lib64/ld-linux-x86-64.so.2',
      '/bin/busybox',
      '/root/.cargo/bin/rustup',
    ]) {
      assert.equal(plain(program), false, program);
    }
  });

  it('remembers a script that no rule names, for its interpreter is fixed by the file', () => {
    assert.equal(plain('/code/node_modules/typescript/bin/tsc', { interpreter: node }), true);
    assert.equal(plain('/code/x', { interpreter: { program: '/usr/bin/env', argument: 'node' } }), true);
  });

  it('does not remember a script whose #! line leaves the interpreter open', () => {
    assert.equal(
      plain('/code/x', { interpreter: { program: '/usr/bin/python3', argument: '-mtwine' } }),
      false,
    );
    assert.equal(plain('/code/x', { interpreter: { program: '/bin/busybox', argument: undefined } }), false);
    assert.equal(plain('/code/x', { interpreter: { program: '/usr/bin/git', argument: undefined } }), false);
  });

  it('remembers no interpreter that a rule of the person might be run by', () => {
    const rules = parseExecRules('{"exec":[{"id":"no-deploy","effect":"deny","programs":["deploy.sh"]}]}');
    const policy = createExecPolicy([rules.exec, defaultExecRules]);
    assert.equal(decide('/bin/bash', 'bash x', {}, policy).remember, false);
    assert.equal(decide('/bin/bash', 'bash -e ./deploy.sh', {}, policy).effect, 'deny');
  });
});

describe('what the check cannot vouch for', () => {
  it('denies an argv that was cut off, saying why', () => {
    const decision = decide('/usr/bin/ls', 'ls', { argvTruncated: true });
    assert.equal(decision.effect, 'deny');
    assert.match(decision.reason, /too long/);
  });

  it('says so of code on the command line, of scripts, of launchers and of programs in memory', () => {
    assert.match(decide('/usr/bin/node', 'node -e 1').caution ?? '', /code given on its command line/);
    assert.match(decide('/usr/bin/node', 'node x.js').caution ?? '', /script says inside/);
    assert.match(decide('/usr/bin/env', 'env git push').caution ?? '', /checked when it starts/);
    assert.match(
      decide('/lib64/ld-linux-x86-64.so.2', 'ld.so /tmp/x').caution ?? '',
      /copy under another name/,
    );
    assert.match(decide('/memfd:x (deleted)', 'x').caution ?? '', /memory only/);
    assert.equal(decide('/usr/bin/ls', 'ls').caution, undefined);
  });

  it('stays quick and bounded for thousands of unknown options', () => {
    const argv = ['npm', ...Array.from({ length: 20_000 }, (_, index) => `--x${index}`), 'publish'];
    assert.equal(defaults.decide(ask(npm, argv, { interpreter: node }), () => false).effect, 'ask');
  });
});

describe('rules of the person', () => {
  const rule = (id: string, effect: string, programs: string[], commands?: string[]): object => ({
    id,
    effect,
    programs,
    ...(commands ? { commands } : {}),
  });
  const policyOf = (...rules: object[]): ReturnType<typeof createExecPolicy> =>
    createExecPolicy([parseExecRules(JSON.stringify({ exec: rules })).exec, defaultExecRules]);

  it('go before the defaults', () => {
    const policy = policyOf(rule('push-ok', 'allow', ['git'], ['push']), rule('no-curl', 'deny', ['curl']));
    assert.equal(decide('/usr/bin/git', 'git push', {}, policy).rule?.id, 'push-ok');
    assert.equal(decide('/usr/bin/git', 'git push', {}, policy).effect, 'allow');
    assert.equal(decide('/usr/bin/curl', 'curl x', {}, policy).effect, 'deny');
    assert.equal(decide(npm, 'npm publish', { interpreter: node }, policy).effect, 'ask');
  });

  it('deny before they ask, and ask before they allow', () => {
    const policy = policyOf(
      rule('a', 'allow', ['x']),
      rule('b', 'ask', ['x']),
      rule('c', 'deny', ['x'], ['go']),
    );
    assert.equal(decide('/x', 'x go', {}, policy).effect, 'deny');
    assert.equal(decide('/x', 'x stay', {}, policy).effect, 'ask');
  });

  it('do not allow on a reading that is only possible', () => {
    const policy = policyOf(rule('allow-dry', 'allow', ['npm-cli'], ['publish']));
    assert.equal(decide(npm, 'npm publish', { interpreter: node }, policy).effect, 'allow');
    assert.equal(decide(npm, 'npm --what publish unpublish', { interpreter: node }, policy).effect, 'ask');
  });

  it('do not let a script lend its allowed name to the interpreter line', () => {
    const policy = policyOf(rule('deploy-ok', 'allow', ['deploy']));
    assert.equal(
      decide('/code/deploy', 'deploy', { interpreter: { program: '/usr/bin/git', argument: 'push' } }, policy)
        .effect,
      'ask',
    );
  });

  it('may name an absolute path with globs', () => {
    const policy = policyOf(rule('tools', 'deny', ['/opt/*/bin/**']));
    assert.equal(decide('/opt/a/bin/b/c', 'c', {}, policy).effect, 'deny');
    assert.equal(decide('/opt/a/b/bin/c', 'c', {}, policy).effect, 'allow');
  });

  it('are refused with the place and the remedy when they are wrong', () => {
    assert.throws(() => parseExecRules('{'), /not JSON.*start again/);
    assert.throws(
      () => parseExecRules('{"exec":[{"id":"x","effect":"perhaps","programs":["a"]}]}'),
      /exec\.0\.effect/,
    );
    assert.throws(
      () => parseExecRules('{"exec":[{"id":"x","effect":"ask","programs":["a/b"]}]}'),
      /absolute path/,
    );
    assert.throws(() => parseExecRules('{"exec":[{"id":"x","effect":"ask","program":"a"}]}'), /exec\.0/);
    assert.throws(
      () => parseExecRules('{"exec":[{"id":"git-push","effect":"allow","programs":["git"]}]}'),
      /twice/,
    );
    assert.deepEqual(parseExecRules('{}'), { exec: [], network: [], allowPrivate: [] });
  });
});

describe('what a grant for a session covers', () => {
  const rule = defaultExecRules.find((candidate) => candidate.id === 'git-push') as ExecRule;
  const key = (line: string, more: Partial<ExecAsk> = {}): string =>
    execGrant(ask('/usr/bin/git', line.split(' '), more), rule).key;

  it('covers the same arguments in the same folder, printing options aside', () => {
    assert.equal(key('git push origin main'), key('git push -q origin main'));
  });

  it('covers no other remote, branch, flag, folder or program', () => {
    const shown = key('git push origin main');
    assert.notEqual(shown, key('git push evil main'));
    assert.notEqual(shown, key('git push origin other'));
    assert.notEqual(shown, key('git push --force origin main'));
    assert.notEqual(shown, key('git -c remote.origin.url=evil push origin main'));
    assert.notEqual(shown, key('git push origin main', { cwd: '/other' }));
    assert.notEqual(shown, key('git push origin main', { program: '/code/git' }));
    assert.notEqual(shown, key('git-push push origin main'));
  });
});
