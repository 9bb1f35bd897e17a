/** A host that lacks something or loses it meanwhile: CRIU, the sentry, room on the disk. What can go on goes on, and says so. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, open, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import { askCounter, childrenOf, DoomedHelper, startCounter, untilAsked } from './bad-luck-fixture.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

test(
  'without CRIU a session keeps files only, says so everywhere, and names what a rewind does not bring back',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up({ args: ['--criu', '/nonexistent/criu'] });
    const { features } = await helper.client.request('doctor', {});
    const processes = features.find((feature) => feature.name === 'processes');
    assert.notEqual(processes?.status, 'ok');
    const session = await helper.start();
    const { turn, exitCode } = await helper.exec(session, `echo 1 > a; ${startCounter}`);
    assert.equal(exitCode, 0);
    assert.match((await helper.session(session)).degraded.join(), /files only/);
    assert.match(turn.checkpoint?.degraded ?? '', /files only/);
    assert.deepEqual([turn.checkpoint?.restorable, turn.checkpoint?.hasProcesses], [true, false]);
    await helper.exec(session, 'echo 2 > a');
    const result = await helper.client.request('rewind', { sessionId: session, turn: turn.id });
    assert.equal(result.restoredProcesses, false);
    assert.match(result.notes.join(), /not dumped and do not come back/);
    assert.equal(await helper.output(session, 'cat a'), '1\n');
    assert.notEqual((await helper.exec(session, askCounter)).exitCode, 0);
  },
);

test(
  'a sentry that dies is started again: programs cannot start meanwhile, and the turn is looked at everywhere',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up();
    const session = await helper.start();
    await helper.exec(session, 'echo 1 > a');
    const running = helper.exec(
      session,
      'echo before > b; touch ready; while ! test -e go; do read -t 0.1 x < /dev/zero || :; done 2>/dev/null; echo after > c',
    );
    const watched = await helper.watch();
    const mount = (await helper.session(session)).mount;
    await until(() => present(join(mount, 'ready')));
    const pids = await childrenOf(helper.client.hello.helperPid, 'sentry');
    assert.equal(pids.length, 1);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until(async () => {
      const [pid] = await childrenOf(helper.client.hello.helperPid, 'sentry');
      return pid !== undefined && pid !== pids[0];
    });
    await writeFile(join(mount, 'go'), '');
    const { turn } = await running;
    assert.notEqual(turn.effectClass, 'none');
    assert.match(turn.effects?.uncertain.join() ?? '', /inspector was (restarted|away)/);
    assert.equal(turn.checkpoint?.restorable, true);
    const paths = turn.effects?.files.entries.map((each) => each.path) ?? [];
    for (const name of ['b', 'c']) assert.ok(paths.includes(join(helper.workspace, name)), paths.join());
    // Guarded as before.
    const asked = helper.exec(session, 'git push nowhere');
    const approval = await untilAsked(watched, session);
    await helper.client.request('approval/answer', { id: approval.id, decision: 'deny' });
    assert.notEqual((await asked).exitCode, 0);
    await helper.exec(session, 'true');
    const { turn: quiet } = await helper.exec(session, 'true');
    assert.equal(quiet.effectClass, 'none', JSON.stringify(quiet.effects));
  },
);

test(
  'with a full disk work goes on, the turn says that it cannot be restored, and the next checkpoint holds what it made',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    const image = join(helper.directory, 'disk.img');
    helper.stateDirectory = join(helper.directory, 'disk');
    await mkdir(helper.stateDirectory);
    const file = await open(image, 'w');
    await file.truncate(200 * 1024 ** 2);
    await file.close();
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    execFileSync('mount', ['-o', 'loop', image, helper.stateDirectory]);
    helper.afterClose(() => execFileSync('umount', [helper.stateDirectory]));
    await helper.up();
    const digest = await treeDigest(helper.workspace);
    const session = await helper.start();
    const first = await helper.exec(session, 'echo 1 > a');
    assert.equal(first.turn.checkpoint?.restorable, true);

    // The command waits while the disk fills up, and ends then: removing a file needs no room.
    const filler = join(helper.stateDirectory, 'filler');
    const made = helper.exec(session, 'echo late > b; touch hold; while test -e hold; do sleep 0.1; done');
    const { mount } = await helper.session(session);
    await until(() => present(join(mount, 'hold')));
    await fill(filler, helper.stateDirectory);
    await rm(join(mount, 'hold'));
    const { turn, exitCode } = await made;
    assert.equal(exitCode, 0);
    assert.equal(turn.checkpoint?.restorable, false, JSON.stringify(turn.checkpoint));
    assert.match(turn.checkpoint.reason, /not restorable: .*disk.*full.*Free some space/s);
    assert.notEqual(turn.effectClass, 'none');
    await assert.rejects(helper.client.request('rewind', { sessionId: session, turn: 1 }), (error) => {
      assert.match(String(error), /disk.*full.*[Ff]ree some/s);
      return true;
    });
    assert.equal((await helper.session(session)).status, 'running');
    assert.equal((await helper.exec(session, 'cat a b')).exitCode, 0, 'work goes on');

    await rm(filler);
    const { turn: whole } = await helper.exec(session, 'true');
    assert.equal(whole.checkpoint?.restorable, true, whole.checkpoint?.reason);
    assert.notEqual(whole.effectClass, 'none', 'what the failed turn made is not nothing');
    const paths = whole.effects?.files.entries.map((each) => each.path) ?? [];
    assert.ok(paths.includes(join(helper.workspace, 'b')), paths.join());
    await helper.client.request('rewind', { sessionId: session, turn: 1 });
    assert.equal(await helper.output(session, 'cat a; test ! -e b'), '1\n');
    await helper.client.request('rewind', { sessionId: session, turn: whole.id });
    assert.equal(await helper.output(session, 'cat a b'), '1\nlate\n');
    assert.equal(await treeDigest(helper.workspace), digest);
  },
);

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('waited in vain');
}

async function present(path: string): Promise<boolean> {
  return open(path).then(
    async (file) => {
      await file.close();
      return true;
    },
    () => false,
  );
}

/** Takes every block that is left. */
async function fill(path: string, on: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const size of [1024 ** 2, 4096]) {
      const block = Buffer.alloc(size, 'x');
      while ((await statfs(on)).bavail > 0) {
        try {
          await file.write(block);
        } catch {
          break;
        }
      }
    }
  } finally {
    await file.close().catch(() => {});
  }
}
