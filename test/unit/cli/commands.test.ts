/** The commands against a made-up helper: what they ask for, print and end with. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { isAlive } from '../../../host-helper/cli/launch.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import { emptyState } from '../../../host-helper/protocol/reducer.ts';
import type { RootState, SessionState } from '../../../host-helper/protocol/state.ts';
import {
  aCheckpoint,
  anApproval,
  aSession,
  aTurn,
  someEffects,
  startFakeHelper,
  type FakeHelper,
} from '../server/fake-helper.ts';
import { runCli, type CliRun } from './run-cli.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function stateOf(sessions: SessionState[]): RootState {
  return {
    ...emptyState('0.1.0-test', 1_000),
    sessions: Object.fromEntries(sessions.map((session) => [session.id, session])),
  };
}

/** 0 ─ 1 ─ 2 ─ 5(head), and 3 ─ 4 set aside after 2; a branch session from 1. */
const tree = aSession({
  head: 5,
  turns: [
    aTurn({ id: 0, parent: null, kind: 'start', label: 'start' }),
    aTurn({
      id: 1,
      parent: 0,
      label: 'write parser.ts',
      effectClass: 'files',
      effects: someEffects({ files: { added: 1, changed: 2, removed: 1, entries: [], truncated: false } }),
      checkpoint: aCheckpoint({ heldMs: 1_234 }),
    }),
    aTurn({ id: 2, parent: 1, label: 'ls', effectClass: 'none', checkpoint: aCheckpoint({ reused: true }) }),
    aTurn({
      id: 3,
      parent: 2,
      label: 'npm run dev &',
      effectClass: 'full',
      checkpoint: aCheckpoint({ restorable: false, reason: 'no CRIU' }),
    }),
    aTurn({ id: 4, parent: 3, label: 'rm -rf src', effectClass: 'files' }),
    aTurn({
      id: 5,
      parent: 2,
      kind: 'rewind',
      label: 'back to 2',
      effectClass: 'processes',
      state: 'closed',
    }),
  ],
});
const branch = aSession({
  id: 's-branched',
  title: 'Another way',
  origin: { sessionId: tree.id, turn: 1 },
  createdAt: 20_000,
});
const world = stateOf([tree, branch]);

/** A helper whose archives are these portions. */
const exporting = (portions: readonly string[]): Parameters<typeof startFakeHelper>[0] => {
  let at = 0;
  return {
    state: world,
    handlers: {
      'session/export': () => Promise.resolve({ exportId: 'x-1', turn: 2, checkpoint: 'c-1' }),
      'export/read': () =>
        Promise.resolve({ data: base64(portions[at++] ?? ''), done: at >= portions.length }),
    },
  };
};

const on = (helper: FakeHelper, ...argv: string[]): Promise<CliRun> =>
  runCli([...argv, '--socket', helper.socketPath]);

const needsRoot = process.getuid?.() === 0 ? false : 'the check is a program of root';

/** Each run is a process, and most of its time start-up. */
const concurrent = { concurrency: 2 };

describe('turntable without a helper', concurrent, () => {
  const nowhere = ['--socket', '/nonexistent/helper.sock'];

  test('says how to start it, and ends with 3', async () => {
    const run = await runCli(['session', 'ls', ...nowhere]);
    assert.deepEqual(run, {
      code: 3,
      stdout: '',
      stderr: 'turntable: No helper answers on /nonexistent/helper.sock: start it with `turntable up`.\n',
    });
  });

  test('with --json the error is the one document on stdout', async () => {
    const run = await runCli(['turns', '--json', ...nowhere]);
    assert.equal(run.code, 3);
    assert.equal(run.stderr, '');
    assert.deepEqual(JSON.parse(run.stdout), {
      error: {
        code: 1308,
        name: 'helperNotRunning',
        message: 'No helper answers on /nonexistent/helper.sock: start it with `turntable up`.',
      },
    });
  });

  test('doctor still answers', async () => {
    const run = await runCli(['doctor', '--json', ...nowhere]);
    assert.equal(run.code, 3);
    const { features } = JSON.parse(run.stdout) as {
      features: { name: string; status: string; next?: string }[];
    };
    assert.deepEqual(
      features.map(({ name, status, next }) => [name, status, next]),
      [
        ['command line', 'ok', undefined],
        ['helper', 'missing', 'turntable up'],
      ],
    );
  });

  test('down is no error', async () => {
    assert.equal((await runCli(['down', ...nowhere])).code, 0);
  });

  test('the socket is in the state directory that was given, over what the environment says', async () => {
    const env = { TURNTABLE_SOCKET: '/env/socket', TURNTABLE_STATE_DIR: '/env/state' };
    assert.match(
      (await runCli(['turns', '--state-dir', '/given'], { env })).stderr,
      /on \/given\/helper\.sock:/,
    );
    assert.match((await runCli(['turns'], { env })).stderr, /on \/env\/socket:/);
    assert.match(
      (await runCli(['turns'], { env: { TURNTABLE_STATE_DIR: '/env/state' } })).stderr,
      /on \/env\/state\/helper\.sock:/,
    );
    assert.match((await runCli(['turns'])).stderr, /on \/run\/turntable\/helper\.sock:/);
  });
});

test('fsck that gets no answer says so, whatever its program printed', { skip: needsRoot }, async () => {
  // Printed last of all by every program here.
  const stray = "--import=data:text/javascript,process.on('exit',()=>console.log('stray'))";
  const run = await runCli(['fsck', '--state-dir', '/nonexistent/state'], { env: { NODE_OPTIONS: stray } });
  assert.match(run.stderr, /The check gave no answer/);
  assert.doesNotMatch(run.stderr, /JSON|token/);
});

describe('turntable used wrongly', concurrent, () => {
  for (const argv of [
    ['explode'],
    ['exec'],
    ['rewind', 'last'],
    ['turns', '--nonsense'],
    ['apply', '--conflicts', 'maybe'],
  ]) {
    test(`${argv.join(' ')} ends with 2`, async () => {
      const run = await runCli(argv);
      assert.equal(run.code, 2);
      assert.match(run.stderr, /error: /);
      const asJson = await runCli([...argv, '--json']);
      assert.equal(asJson.code, 2);
      const { error } = JSON.parse(asJson.stdout) as { error: { name: string } };
      assert.equal(error.name, 'invalidParams');
    });
  }

  test('help and version are no errors', async () => {
    const help = await runCli(['--help']);
    assert.equal(help.code, 0);
    assert.match(
      help.stdout,
      /Exit codes: 0 done, 1 failed, 2 wrong usage, 3 helper not reachable, 4 refused/,
    );
    assert.match((await runCli(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('turntable looks', concurrent, () => {
  test('turns are a tree: what was set aside stands indented, branches where they left', async () => {
    await using helper = await startFakeHelper({ state: world });
    const run = await on(helper, 'turns', 'abc');
    assert.equal(run.stderr, '');
    assert.deepEqual(run.stdout.split('\n'), [
      'TURN      CLASS        FILES     STORED   HELD  WHAT',
      '0         ·                                     start',
      '1         ◐ files      +1 ~2 −1  4.3 kB  1.2 s  write parser.ts',
      '└▶        branch                                s-branched Another way',
      '2         ○ none                      –      –  ls',
      '├ 3       ● full                   lost         npm run dev &',
      '├ 4       ◐ files                               rm -rf src',
      '5 ◀ head  ● processes                           ↶ back to 2',
      '',
    ]);
  });

  test('session ls stands branches below their origin', async () => {
    await using helper = await startFakeHelper({ state: world });
    const lines = (await on(helper, 'session', 'ls')).stdout.split('\n');
    assert.match(lines[0] ?? '', /^SESSION +STATUS +AGENT +TURNS +STORED +STARTED +WHAT$/);
    assert.match(
      lines[1] ?? '',
      /^s-abcdefgh +running +pi thinking +5 +0 B +\d+ days ago +Mend the parser {2}\/home\/ada\/project$/,
    );
    assert.match(lines[2] ?? '', /^└ s-branched /);
  });

  test('one JSON document holds what the tables show', async () => {
    await using helper = await startFakeHelper({ state: world });
    const turns = await on(helper, 'turns', 'last', '--json');
    assert.deepEqual(JSON.parse(turns.stdout), { sessionId: branch.id, head: 0, turns: branch.turns });
    const sessions = await on(helper, '--json', 'session', 'ls');
    assert.deepEqual(JSON.parse(sessions.stdout), { sessions: [tree, branch] });
  });

  test('turns are named by number, head, start, or counted back along the line', async () => {
    await using helper = await startFakeHelper({ state: world });
    const idOf = async (reference: string): Promise<unknown> =>
      (
        JSON.parse((await on(helper, 'show', 's-abc', reference, '--json')).stdout) as {
          turn: { id: number };
        }
      ).turn.id;
    assert.deepEqual(await Promise.all(['4', 'head', 'start', '-1', '-2'].map(idOf)), [4, 5, 0, 2, 1]);
    assert.match((await on(helper, 'show', 'abc', '-9')).stderr, /no turn -9/);
    const wrong = await on(helper, 'show', 'abc', 'yesterday');
    assert.equal(wrong.code, 2);
  });

  test('a prefix that fits several sessions is refused, one that fits none not found', async () => {
    await using helper = await startFakeHelper({ state: world });
    const both = await on(helper, 'turns', 's-');
    assert.equal(both.code, 2);
    assert.match(both.stderr, /s-abcdefgh, s-branched/);
    const none = await on(helper, 'turns', 'zzz', '--json');
    assert.equal(none.code, 1);
    assert.match(none.stdout, /"name":"sessionNotFound"/);
  });

  test('show tells what the turn did, and what an agent wrote cannot drive the terminal', async () => {
    const turn = aTurn({
      label: 'evil\u001b[2J\rlabel',
      effectClass: 'full',
      conversation: {
        text: 'I run it.\n\u202edlrow',
        toolCalls: [{ id: '1', name: 'bash', summary: 'npm i', input: '{}' }],
        model: 'm',
        inputTokens: 10,
      },
      effects: someEffects({
        files: {
          added: 1,
          changed: 0,
          removed: 0,
          entries: [{ path: '/home/ada/project/new\n.txt', change: 'added', kind: 'file', sizeBytes: 1500 }],
          truncated: false,
        },
        processes: {
          survivors: [{ pid: 7, command: 'node server.js', ports: [3000], startedInTurn: true, ran: true }],
          executed: [],
          executedCount: 3,
        },
        network: [{ host: 'example.com', port: 443, count: 2, allowed: false }],
        uncertain: ['a shared mapping'],
        droppedEvents: 4,
      }),
      checkpoint: aCheckpoint({ degraded: 'files only: no CRIU' }),
    });
    await using helper = await startFakeHelper({ state: stateOf([aSession({ turns: [turn], head: 1 })]) });
    const { stdout } = await on(helper, 'show', 'last');
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout, /[\u001b\r\u202e]/);
    for (const wanted of [
      'evil\\u001b[2J\\u000dlabel',
      '\\u202edlrow',
      'bash npm i',
      '+ new⏎.txt  1.5 kB',
      'node server.js (pid 7, port 3000)',
      'example.com:443  2 times  refused',
      'a shared mapping',
      '4 events were dropped',
      'files only: no CRIU',
      '4.3 kB stored',
    ]) {
      assert.ok(stdout.includes(wanted), wanted + '\n' + stdout);
    }
  });

  test("diff lists changes without the agent's own, and --patch shows the text", async () => {
    const files: Record<string, string> = {
      '0:/home/ada/project/a.txt': 'one\ntwo\nthree\n',
      '1:/home/ada/project/a.txt': 'one\n2\nthree\n',
      '1:/home/ada/project/new': 'hi',
    };
    const asked: unknown[] = [];
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'turn/changes': (params) => {
          asked.push(params);
          return Promise.resolve({
            changes: [
              { path: '/home/ada/project/a.txt', change: 'changed', kind: 'file', sizeBytes: 12 },
              { path: '/home/ada/project/new', change: 'added', kind: 'file', sizeBytes: 2 },
              { path: '/home/ada/.pi/log', change: 'added', kind: 'file', sizeBytes: 9, agentState: true },
            ],
            truncated: false,
          });
        },
        'file/read': ({ turn, path }) => {
          const content = files[`${turn}:${path}`];
          if (content === undefined) return Promise.reject(new TurntableError('fileNotFound', 'none'));
          return Promise.resolve({ content: base64(content), mode: 0o644, mtimeMs: 1 });
        },
      },
    });
    assert.equal((await on(helper, 'diff', 'abc', '1')).stdout, '~ a.txt  12 B\n+ new  2 B\n');
    const patch = await on(helper, 'diff', 'abc', 'start', '1', '--patch');
    assert.equal(
      patch.stdout,
      '--- a/home/ada/project/a.txt\n+++ b/home/ada/project/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n' +
        '--- /dev/null\n+++ b/home/ada/project/new\n@@ -0,0 +1 @@\n+hi\n\\ No newline at end of file\n',
    );
    assert.deepEqual(asked, [
      { sessionId: tree.id, turn: 1 },
      { sessionId: tree.id, turn: 1, from: 0 },
    ]);
    const cat = await on(helper, 'cat', 'abc', '1', 'a.txt');
    assert.equal(cat.stdout, 'one\n2\nthree\n');
    assert.match((await on(helper, 'cat', 'abc', '2', 'a.txt', '--json')).stdout, /"name":"fileNotFound"/);
  });

  test('audit ends with 1 when the chain is broken', async () => {
    const entry = {
      sequence: 1,
      at: 1_000,
      kind: 'approval/asked',
      sessionId: tree.id,
      data: { argv: ['git', 'push'] },
      hash: 'ab',
    };
    let intact = true;
    await using helper = await startFakeHelper({
      state: world,
      handlers: { audit: () => Promise.resolve({ entries: [entry], intact }) },
    });
    const good = await on(helper, 'audit');
    assert.equal(good.code, 0);
    assert.match(good.stdout, /^1 {2}\d{4}-.* approval\/asked +s-abcdefgh +\{"argv":\["git","push"\]\}\n$/);
    intact = false;
    const broken = await on(helper, 'audit', '--session', 'abc');
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /BROKEN/);
  });

  test('colours come when asked for, and never by themselves in a pipe', async () => {
    await using helper = await startFakeHelper({ state: world });
    const forced = await runCli(['turns', 'abc', '--socket', helper.socketPath], {
      env: { FORCE_COLOR: '1' },
    });
    assert.ok(forced.stdout.includes('\u001b['));
    const none = await runCli(['turns', 'abc', '--socket', helper.socketPath], { env: { NO_COLOR: '1' } });
    assert.ok(!none.stdout.includes('\u001b['));
  });
});

describe('turntable acts', concurrent, () => {
  test('session start sends what was given, and variables from here', async () => {
    const asked: unknown[] = [];
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'session/start': (params) => (asked.push(params), Promise.resolve({ sessionId: tree.id })),
      },
    });
    const run = await runCli(
      [
        'session',
        'start',
        '--workspace',
        '/usr/../tmp',
        '--no-agent',
        '--env',
        'MY_KEY',
        '--env',
        'OTHER=a=b',
        '--title',
        'T',
        '--json',
        '--socket',
        helper.socketPath,
      ],
      { env: { MY_KEY: 'secret' } },
    );
    assert.deepEqual(asked, [
      { workspace: '/tmp', agent: 'none', title: 'T', env: { MY_KEY: 'secret', OTHER: 'a=b' } },
    ]);
    assert.equal((JSON.parse(run.stdout) as { sessionId: string }).sessionId, tree.id);
    const missing = await on(helper, 'session', 'start', '--env', 'NOT_SET_ANYWHERE');
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /NOT_SET_ANYWHERE/);
    const withAgent = await on(
      helper,
      'session',
      'start',
      '--workspace',
      '/tmp',
      '--agent',
      'opencode',
      '--prompt',
      'go',
    );
    assert.match(withAgent.stdout, /Session s-abcdefgh over/);
    assert.deepEqual(asked.at(-1), { workspace: '/tmp', agent: 'opencode', prompt: 'go' });
  });

  test("exec passes output through, sums up on stderr, and ends with the command's own code", async () => {
    const asked: unknown[] = [];
    const turn = aTurn({
      id: 6,
      kind: 'command',
      effectClass: 'files',
      effects: someEffects({ files: { added: 2, changed: 0, removed: 1, entries: [], truncated: false } }),
      checkpoint: aCheckpoint(),
      exitCode: 42,
    });
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'session/exec': (params) => {
          asked.push(params);
          return Promise.resolve({
            exitCode: 42,
            stdout: base64('out\n'),
            stderr: base64('err\n'),
            truncated: false,
            turn,
          });
        },
      },
    });
    const run = await on(helper, 'exec', 'abc', '--timeout', '1.5', '--', 'sh', '-c', 'x', '--json', '-1');
    // `on` adds its --socket at the end, and after -- that belongs to the command.
    assert.equal(run.code, 3);
    const proper = await runCli(['exec', 'abc', '--timeout', '1.5', '--', 'sh', '-c', 'x', '--json', '-1'], {
      env: { TURNTABLE_SOCKET: helper.socketPath },
    });
    assert.deepEqual(asked, [
      { sessionId: tree.id, argv: ['sh', '-c', 'x', '--json', '-1'], timeoutMs: 1500 },
    ]);
    assert.deepEqual(proper, {
      code: 42,
      stdout: 'out\n',
      stderr: 'err\nturn 6  exit 42 · ◐ files · 2 added, 1 removed · 4.3 kB stored\n',
    });
    const json = await runCli(['exec', '--json', 'abc', '-i', '--', 'cat'], {
      env: { TURNTABLE_SOCKET: helper.socketPath },
      stdin: 'typed',
    });
    assert.equal(json.code, 42);
    assert.equal((JSON.parse(json.stdout) as { turn: { id: number } }).turn.id, 6);
    assert.deepEqual(asked.slice(1), [{ sessionId: tree.id, argv: ['cat'], stdin: 'typed' }]);
  });

  test('exec tells when a person has to answer', async () => {
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'session/exec': () => {
          helper.server.dispatch({ type: 'approval/set', approval: anApproval() });
          helper.server.dispatch({ type: 'approval/set', approval: anApproval({ state: 'denied' }) });
          return Promise.resolve({ exitCode: 1, stdout: '', stderr: '', truncated: false, turn: aTurn() });
        },
      },
    });
    const run = await runCli(['exec', 'abc', '--', 'git', 'push'], {
      env: { TURNTABLE_SOCKET: helper.socketPath },
    });
    assert.match(run.stderr, /^turntable: waits for your answer: git push\n {2}turntable approve a-xyzuvwst/);
  });

  const preview = {
    restorable: true,
    reason: 'files and processes',
    changes: [
      { path: '/home/ada/project/a.txt', change: 'removed' as const, kind: 'file' as const, sizeBytes: 1 },
    ],
    truncated: false,
    processesBack: [],
    processesLost: [{ pid: 7, command: 'node dev', ports: [], startedInTurn: false, ran: true }],
    outsideChanges: ['/home/ada/project/mine.txt'],
    leftTheMachine: [{ host: 'api.example', port: 443, method: 'POST', count: 1, allowed: true }],
    turnsSetAside: [2, 5],
  };

  test('rewind shows what it would do, does nothing without --yes, and tells how to undo', async () => {
    const rewound: unknown[] = [];
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'rewind/preview': () => Promise.resolve(preview),
        rewind: (params) => {
          rewound.push(params);
          return Promise.resolve({
            safetyTurn: 6,
            head: 7,
            restoredProcesses: false,
            tookMs: 321,
            notes: ['the agent starts anew'],
          });
        },
      },
    });
    const refused = await on(helper, 'rewind', 'abc', '1');
    assert.equal(refused.code, 4);
    for (const wanted of [
      '− a.txt',
      'node dev (pid 7)',
      'mine.txt',
      'POST api.example:443',
      '2 turns set aside (kept): 2, 5',
      '--yes',
    ]) {
      assert.ok(refused.stderr.includes(wanted), wanted);
    }
    const asJson = await on(helper, 'rewind', 'abc', '1', '--json');
    assert.equal(asJson.code, 4);
    assert.match(asJson.stdout, /"name":"cancelled"/);
    const dry = await on(helper, 'rewind', 'abc', '1', '--dry-run', '--json');
    assert.deepEqual(JSON.parse(dry.stdout), { sessionId: tree.id, turn: 1, preview });
    assert.deepEqual(rewound, []);
    const done = await on(helper, 'rewind', 'abc', '-2', '--yes', '--no-resume', '--conflicts', 'keep-mine');
    assert.equal(done.code, 0);
    assert.deepEqual(rewound, [{ sessionId: tree.id, turn: 1, resume: false, conflicts: 'keep-mine' }]);
    assert.equal(
      done.stdout,
      '✓ s-abcdefgh is at turn 1: files are back, in 321 ms\n  the agent starts anew\n  undo: turntable rewind s-abcdefgh 6\n',
    );
  });

  test('a turn that cannot be restored is refused with its reason', async () => {
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'rewind/preview': () =>
          Promise.resolve({ ...preview, restorable: false, reason: 'its checkpoint failed' }),
      },
    });
    const run = await on(helper, 'rewind', 'abc', '3', '--yes');
    assert.equal(run.code, 4);
    assert.match(run.stderr, /Turn 3 cannot be restored: its checkpoint failed/);
  });

  test('branch names the new session and its folder', async () => {
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        branch: () =>
          Promise.resolve({ sessionId: branch.id, restoredProcesses: true, tookMs: 1_500, notes: [] }),
      },
    });
    const run = await on(helper, 'branch', 'abc', 'head', '--prompt', 'try again');
    assert.equal(
      run.stdout,
      `✓ Branch s-branched from s-abcdefgh turn 5: files and processes, in 1.5 s\n  its files: ${branch.mount}\n`,
    );
  });

  test('apply asks about conflicts before anything is changed, applies the chosen paths, and can be undone', async () => {
    const applied: unknown[] = [];
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        'apply/preview': () =>
          Promise.resolve({
            changes: ['a.txt', 'lib/b.txt', 'library.txt'].map((name) => ({
              path: `/home/ada/project/${name}`,
              change: 'changed' as const,
              kind: 'file' as const,
              sizeBytes: 3,
            })),
            conflicts: ['/home/ada/project/a.txt'],
            merged: ['/home/ada/project/lib/b.txt'],
          }),
        apply: (params) => (
          applied.push(params),
          Promise.resolve({ applied: ['/home/ada/project/lib/b.txt'], skipped: [], undoId: 'u-1' })
        ),
        'apply/undo': (params) => (
          applied.push(params),
          Promise.resolve({ restored: ['/home/ada/project/lib/b.txt'] })
        ),
      },
    });
    const conflict = await on(helper, 'apply', 'abc', '--yes', '--json');
    assert.equal(conflict.code, 4);
    assert.match(conflict.stdout, /"name":"conflict".*keep-mine\|take-theirs/);
    assert.deepEqual(applied, []);
    const chosen = await on(helper, 'apply', 'abc', '--yes', '--path', 'lib');
    assert.equal(chosen.code, 0);
    assert.deepEqual(applied, [{ sessionId: tree.id, paths: ['/home/ada/project/lib/b.txt'] }]);
    assert.match(chosen.stdout, /undo: turntable apply s-abcdefgh --undo u-1/);
    assert.equal((await on(helper, 'apply', 'abc', '--undo', 'u-1')).code, 0);
    assert.deepEqual(applied.at(-1), { sessionId: tree.id, undoId: 'u-1' });
    assert.equal((await on(helper, 'apply', 'abc', '--path', 'lib')).code, 4, 'not without --yes');
  });

  test('approvals are shown whole, and answered by a prefix of their id', async () => {
    const answered: unknown[] = [];
    const approval = anApproval({
      expiresAt: Date.now() + 60_000,
      subject: {
        kind: 'exec',
        program: '/usr/bin/git',
        argv: ['git', 'push', "it's", '\u202efdp'],
        cwd: '/w',
        pid: 3,
        caution: 'a script behind an interpreter',
      },
    });
    const settled = anApproval({ id: 'a-old', state: 'denied', answeredBy: 'Ada' });
    await using helper = await startFakeHelper({
      state: world,
      handlers: {
        approvals: ({ all }) => Promise.resolve({ approvals: all ? [approval, settled] : [approval] }),
        'approval/answer': (params) => {
          answered.push(params);
          if (params.id === 'a-old')
            return Promise.reject(new TurntableError('approvalSettled', 'Ada denied it already.'));
          return Promise.resolve({ approval: { ...approval, state: 'allowed' as const } });
        },
      },
    });
    const list = await on(helper, 'approvals');
    assert.ok(list.stdout.includes(String.raw`git push 'it'\''s' '\u202efdp'`), list.stdout);
    assert.match(list.stdout, /\/usr\/bin\/git in \/w \(pid 3\)/);
    assert.match(list.stdout, /a script behind an interpreter/);
    assert.match((await on(helper, 'approve', 'xyz')).stdout, /^allowed once: git push/);
    await on(helper, 'approve', 'a-xyz', '--session');
    assert.match((await on(helper, 'deny', 'xyz', '--reason', 'not today')).stdout, /^denied: git push/);
    assert.deepEqual(answered, [
      { id: approval.id, decision: 'allow', scope: 'once' },
      { id: approval.id, decision: 'allow', scope: 'session' },
      { id: approval.id, decision: 'deny', reason: 'not today' },
    ]);
    const late = await on(helper, 'approve', 'old');
    assert.equal(late.code, 1);
    assert.match(late.stderr, /Ada denied it already/);
    assert.match((await on(helper, 'deny', 'nothing', '--json')).stdout, /"name":"approvalNotFound"/);
  });

  test('export writes the file whole, for its owner alone', async () => {
    await using helper = await startFakeHelper(exporting(['first ', 'second']));
    const file = join(helper.directory, 'archive');
    const run = await on(helper, 'export', 's-abcdefgh@2', file);
    assert.equal(run.code, 0, run.stderr);
    assert.equal(await readFile(file, 'utf8'), 'first second');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  test('export to a disk that becomes full says so and leaves nothing', async () => {
    await using helper = await startFakeHelper(
      exporting(Array.from({ length: 4 }, () => 'x'.repeat(100_000))),
    );
    const before = await readdir(helper.directory);
    const file = join(helper.directory, 'archive');
    const run = await runCli(['export', 's-abcdefgh@2', file, '--socket', helper.socketPath], {
      fileBlocks: 300,
    });
    assert.equal(run.code, 1);
    assert.match(run.stderr, /^turntable: .*archive cannot be written: EFBIG.*Choose another place\.\n$/);
    assert.deepEqual(await readdir(helper.directory), before);
  });

  test('down asks the helper to stop and waits until its process is gone', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'stopping-helper.ts')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const socketPath = (await lines.next()).value ?? '';
    const run = await runCli(['down', '--keep-sessions', '--socket', socketPath]);
    assert.equal(isAlive(child.pid ?? 0), false);
    assert.deepEqual([run.code, run.stdout], [0, '✓ The helper is down.\n']);
    assert.equal((await lines.next()).value, '{"sessions":false}');
  });

  test('up finds a helper that runs already', async () => {
    await using helper = await startFakeHelper();
    const run = await on(helper, 'up', '--json');
    assert.deepEqual(JSON.parse(run.stdout), {
      helperPid: process.pid,
      helperVersion: '0.1.0-test',
      socket: helper.socketPath,
      alreadyRunning: true,
    });
  });
});
