/** Workspaces as people have them: odd names, odd places, secrets inside, far too many files. */

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import { makeProject } from './bad-luck-fixture.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

for (const place of ['/root', '/home', '/tmp', '/opt', '/srv']) {
  test(`a workspace below ${place} works, and is not touched`, options, async (context) => {
    const fixture = await HelperFixture.shared(context);
    const parent = await mkdtemp(join(place, 'turntable-test-'));
    context.after(() => rm(parent, { recursive: true, force: true }));
    const workspace = join(parent, 'a project – größer');
    await makeProject(workspace);
    const digest = await treeDigest(workspace);
    const session = await fixture.start(workspace);
    const { turn } = await fixture.exec(session, 'echo new > "src/ü b"; rm README.md');
    const paths = turn.effects?.files.entries.map((each) => each.path) ?? [];
    assert.deepEqual(paths.sort(), [join(workspace, 'README.md'), join(workspace, 'src/ü b')].sort());
    await fixture.client.request('rewind', { sessionId: session, turn: 0 });
    assert.equal(
      await fixture.output(session, 'pwd; ls -A; ls src'),
      `${workspace}\nREADME.md\nsrc\none.txt\ntwo.txt\n`,
    );
    assert.equal(await treeDigest(workspace), digest);
  });
}

test('a link to a workspace opens the folder itself', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const link = join(fixture.directory, 'link');
  await symlink(fixture.workspace, link);
  const session = await fixture.start(link);
  assert.equal(await fixture.output(session, 'pwd -P'), `${fixture.workspace}\n`);
});

test(
  'secrets of a workspace cannot be read inside, and a folder without write permission can be worked on',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    await writeFile(join(fixture.workspace, '.env'), 'KEY=secret\n');
    await chmod(fixture.workspace, 0o555);
    const session = await fixture.start();
    const { stdout } = await fixture.exec(session, 'cat .env; cp .env copy; cat copy; echo x > src/new');
    assert.doesNotMatch(Buffer.from(stdout, 'base64').toString(), /secret/);
    assert.equal(await fixture.output(session, 'cat src/new'), 'x\n');
    await chmod(fixture.workspace, 0o755);
  },
);

test(
  'a git worktree and a repository inside the workspace work and are not touched',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const git = (directory: string, ...args: string[]): unknown =>
      execFileSync('git', ['-C', directory, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        stdio: 'pipe',
      });
    git(fixture.workspace, 'init', '-q');
    git(fixture.workspace, 'add', '.');
    git(fixture.workspace, 'commit', '-qm', 'x');
    const tree = join(fixture.directory, 'tree');
    git(fixture.workspace, 'worktree', 'add', '-q', tree);
    const inner = join(tree, 'inner');
    await mkdir(inner);
    git(inner, 'init', '-q');
    const digest = await treeDigest(fixture.directory);
    const session = await fixture.start(tree);
    await fixture.exec(
      session,
      'cd inner && echo x > a && git add a && git -c user.name=a -c user.email=a@b commit -qm y',
    );
    assert.equal(await fixture.output(session, 'cd inner && git log --format=%s'), 'y\n');
    await fixture.client.request('rewind', { sessionId: session, turn: 0 });
    assert.notEqual((await fixture.exec(session, 'cd inner && git log')).exitCode, 0);
    assert.equal(await treeDigest(fixture.directory), digest);
  },
);

test(
  'a workspace of 20 000 files starts like a small one: nothing looks at them',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const huge = join(fixture.directory, 'huge');
    await mkdir(huge);
    // Not a synchronous call: a client that does not answer pings for so long is taken for dead.
    await promisify(execFile)(
      'sh',
      ['-c', 'for d in $(seq 20); do mkdir $d; (cd $d && seq 1000 | xargs touch); done'],
      {
        cwd: huge,
      },
    );
    const times: number[] = [];
    for (const workspace of [fixture.workspace, huge]) {
      const startedMs = performance.now();
      const session = await fixture.start(workspace);
      await fixture.exec(session, 'echo x > new');
      times.push(Math.round(performance.now() - startedMs));
      const { turn } = await fixture.exec(session, 'true');
      assert.equal(turn.effectClass, 'none');
    }
    context.diagnostic(`small and huge: ${times.join(' and ')} ms`);
  },
);
