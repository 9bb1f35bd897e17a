/** kill -9 of the helper at every step that matters: nothing published is lost, nothing half done stays. */

import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import { TurntableError } from '../../host-helper/protocol/errors.ts';
import { DoomedHelper, untilAsked } from './bad-luck-fixture.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

test(
  'a helper killed in the middle of a rewind leaves the session as it was before, whichever step it was',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    const digest = await treeDigest(helper.workspace);
    const steps = ['safe', 'stopped', 'restored', 'moved'];
    const dieAt = (step: string | undefined): Record<string, string> =>
      step === undefined ? {} : { TURNTABLE_CRASH_AT: `rewind:${step}` };
    await helper.up({ env: dieAt(steps[0]) });
    const session = await helper.start();
    await helper.exec(session, 'echo first > a; mkdir d; echo x > d/x');
    await helper.exec(session, 'echo second > a; rm -rf d; echo b > b');
    for (const [index, step] of steps.entries()) {
      // What a person has just written is part of what must not be lost.
      await writeFile(join((await helper.session(session)).mount, `mine-${step}`), 'mine\n');
      await assert.rejects(helper.client.request('rewind', { sessionId: session, turn: 1 }));
      await helper.died();
      await helper.up({ env: dieAt(steps[index + 1]) });
      const state = await helper.session(session);
      assert.ok(
        helper.recovered.some((note) => note.includes(session)),
        helper.recovered.join('\n'),
      );
      assert.equal(state.turns.find((turn) => turn.id === 1)?.checkpoint?.restorable, true);
      assert.ok(state.turns.every((turn) => turn.state === 'closed'));
      if (step === 'stopped' || step === 'restored') {
        assert.equal(state.status, 'stopped');
        assert.match(state.detail ?? '', /rewind was interrupted.*session resume/);
        await helper.client.request('session/resume', { sessionId: session });
      } else assert.equal(state.status, 'running', 'nothing had been stopped, or everything was done');
      const expected =
        step === 'moved'
          ? ['cat a d/x mine-moved; test ! -e b', 'first\nx\nmine\n']
          : [`cat a b mine-${step}; test ! -e d`, 'second\nb\nmine\n'];
      assert.equal(await helper.output(session, expected[0] ?? ''), expected[1]);
    }
    assert.equal(await treeDigest(helper.workspace), digest);
  },
);

test(
  'a helper killed in the middle of a branch leaves no half of it, and the origin untouched',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    await helper.up({ env: { TURNTABLE_CRASH_AT: 'branch:recorded' } });
    const session = await helper.start();
    await helper.exec(session, 'echo kept > a');
    for (const next of [{ TURNTABLE_CRASH_AT: 'branch:restored' }, {}]) {
      await assert.rejects(helper.client.request('branch', { sessionId: session, turn: 1 }));
      await helper.died();
      await helper.up({ env: next });
      assert.ok(
        helper.recovered.some((note) => /branch .* removed/.test(note)),
        helper.recovered.join('\n'),
      );
      const { sessions } = (await helper.watch()).subscription.state;
      assert.deepEqual(Object.keys(sessions), [session]);
      assert.deepEqual(await readdir(join(helper.stateDirectory, 'sessions')), [session]);
      assert.equal(await helper.output(session, 'cat a'), 'kept\n');
    }
    const branch = await helper.client.request('branch', { sessionId: session, turn: 1 });
    assert.equal(await helper.output(branch.sessionId, 'cat a'), 'kept\n');
  },
);

test(
  'a helper killed while a person is asked answers no: the program does not run, and the question is gone',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up();
    const session = await helper.start();
    const running = helper
      .exec(session, 'git push nowhere; echo "ended $?" > result; sleep 1')
      .catch((error: unknown) => error);
    await untilAsked(await helper.watch(), session);
    await helper.kill();
    assert.ok((await running) instanceof TurntableError);
    await helper.up();
    const { approvals, sessions } = (await helper.watch()).subscription.state;
    assert.deepEqual(
      Object.values(approvals).filter((each) => each.state === 'pending'),
      [],
    );
    assert.equal(sessions[session]?.status, 'running');
    assert.match(
      await helper.output(
        session,
        'for i in $(seq 50); do test -s result && break; sleep 0.1; done; cat result',
      ),
      /ended (126|127)/,
    );
    const asked = helper.exec(session, 'git push nowhere');
    const approval = await untilAsked(await helper.watch(), session);
    await helper.client.request('approval/answer', { id: approval.id, decision: 'deny' });
    assert.notEqual((await asked).exitCode, 0);
    assert.equal((await helper.client.request('audit', { sessionId: session })).intact, true);
  },
);

test(
  'what a person wrote into the folder of a stopped session is still there after it was resumed',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up();
    const session = await helper.start();
    await helper.exec(session, 'echo agent > a');
    const before = await helper.session(session);
    await helper.client.request('session/stop', { sessionId: session });
    assert.equal((await helper.session(session)).turns.length, before.turns.length, 'nothing had changed');
    await writeFile(join((await helper.session(session)).mount, 'README.md'), 'mine\n');
    await helper.kill();
    await helper.up();
    await helper.client.request('session/resume', { sessionId: session });
    assert.equal(await helper.output(session, 'cat README.md a'), 'mine\nagent\n');
    await helper.client.request('session/stop', { sessionId: session });
    await writeFile(join((await helper.session(session)).mount, 'src/one.txt'), 'mine too\n');
    await helper.client.request('rewind', { sessionId: session, turn: 1 });
    assert.equal(await helper.output(session, 'cat src/one.txt README.md'), 'mine too\n# project\n');
    assert.equal(await readFile(join(helper.workspace, 'README.md'), 'utf8'), '# project\n');
  },
);
