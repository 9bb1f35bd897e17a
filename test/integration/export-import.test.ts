/** A session leaves one helper as a file and goes on under another, whole; or the file is refused and leaves nothing. */

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { z } from 'zod';
import { cliPath, turntable } from '../../host-helper/demo/helper-process.ts';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import { TurntableError } from '../../host-helper/protocol/errors.ts';
import { frameType } from '../../host-helper/session/archive-frames.ts';
import { turnSchema, type Checkpoint } from '../../host-helper/protocol/state.ts';
import { dumps, exported, forged, imported } from './archive-fixture.ts';
import { askCounter, DoomedHelper, startCounter } from './bad-luck-fixture.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

/** Everything a program sees below the tracked roots that a session changes. */
const picture = `for d in . /root /usr/local/bin; do (cd $d && find . -mindepth 1 -printf '%P|%y|%m|%s|%T@|%l\\n' | grep -v -e '|d|' -e '^.env|' | sort; find . -type f | sort | xargs -d '\\n' -r sha256sum); done | sha256sum`;

test(
  'a session moves to another helper by the command line: files, memory, and the turns before',
  options,
  async (context) => {
    const there = await HelperFixture.own(context);
    const here = await HelperFixture.own(context);
    assert.ok(cliPath());
    const processes = await dumps(there.client);
    await writeFile(join(there.workspace, '.env'), 'TOKEN=secret of the developer\n');
    const session = await there.start();
    const first = await there.exec(
      session,
      'echo 1 > a; ln a hard; ln -s a link; mkdir -p deep/er; echo x > deep/er/x; rm src/two.txt; echo tool > /usr/local/bin/tool; echo note > /root/note; head -c 3000000 /dev/urandom > large',
    );
    await there.exec(session, 'echo 2 > a; rm -rf deep; mv src moved');
    if (processes) {
      assert.equal((await there.exec(session, startCounter)).exitCode, 0);
    }
    const counted = processes ? Number(await there.output(session, askCounter)) : 0;
    const before = await there.output(session, picture);

    const file = join(there.directory, 'session.turntable');
    const sent = await turntable(['export', session, file, '--state-dir', there.stateDirectory, '--json']);
    assert.equal(sent.code, 0, sent.stdout);
    assert.equal((await stat(file)).mode & 0o777, 0o600, 'what it holds is nobody else’s');
    assert.ok(!(await readdir(there.directory)).some((name) => name.endsWith('.part')));
    // The first one goes on undisturbed, and its folder is no longer what the session was over.
    await there.exec(session, 'echo later > a');
    await writeFile(join(there.workspace, 'README.md'), '# changed since\n');

    const args = ['--state-dir', here.stateDirectory, '--json'];
    const taken = await turntable(['import', file, '--processes', '--start', '--title', 'moved', ...args]);
    assert.equal(taken.code, 0, taken.stdout);
    const result = z
      .object({
        sessionId: z.string(),
        processes: z.boolean(),
        ownWorkspace: z.boolean(),
        notes: z.array(z.string()),
      })
      .parse(JSON.parse(taken.stdout));
    assert.deepEqual([result.processes, result.ownWorkspace, result.notes], [processes, true, []]);
    const id = result.sessionId;
    assert.equal(await here.output(id, picture), before);
    assert.equal(
      await here.output(id, 'cat README.md; cat .env'),
      '# project\n',
      'secrets stay where they are',
    );
    if (processes) assert.equal(Number(await here.output(id, askCounter)), counted + 1);
    await assert.rejects(here.client.request('apply', { sessionId: id }), { code: 'workspaceInvalid' });

    await here.client.request('rewind', { sessionId: id, turn: first.turn.id });
    assert.equal(
      await here.output(id, 'cat a deep/er/x /usr/local/bin/tool; stat -c %h a; ls src; wc -c < large'),
      '1\nx\ntool\n2\none.txt\n3000000\n',
    );
    const state = (await here.watch()).subscription.state.sessions[id];
    assert.deepEqual([state?.title, state?.workspace], ['moved', there.workspace]);
  },
);

test('processes stay behind unless their origin is trusted, and that is said', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  if (!(await dumps(fixture.client))) return context.skip('this host cannot dump processes');
  const session = await fixture.start();
  await fixture.exec(session, startCounter);
  const archive = await exported(fixture.client, { sessionId: session });
  const result = await imported(fixture.client, archive);
  context.after(() => fixture.client.request('session/remove', { sessionId: result.sessionId }));
  assert.equal(result.processes, false);
  assert.match(result.notes.join('\n'), /processes stay behind: .*--processes/);
  await fixture.client.request('session/resume', { sessionId: result.sessionId });
  assert.notEqual((await fixture.exec(result.sessionId, askCounter)).exitCode, 0);
  const state = (await fixture.watch()).subscription.state.sessions[result.sessionId];
  assert.ok(state?.turns.every((turn) => turn.checkpoint?.hasProcesses !== true));
});

test(
  'an archive that is cut short or changed anywhere is refused and leaves nothing',
  options,
  async (context) => {
    const fixture = await HelperFixture.own(context);
    const session = await fixture.start();
    await fixture.exec(session, 'seq 20000 > numbers; mkdir d; echo x > d/x');
    const archive = await exported(fixture.client, { sessionId: session });
    const packs = async (): Promise<string[]> => {
      // Of itself that happens too, but nobody is told when.
      await fixture.client.request('store/gc', {});
      return await readdir(join(fixture.stateDirectory, 'store', 'packs'));
    };
    const before = await packs();
    const broken: Buffer[] = [];
    for (let part = 0; part < 24; part += 1) {
      broken.push(archive.subarray(0, Math.floor((archive.length * part) / 24)));
      const changed = Buffer.from(archive);
      const at = Math.floor(((archive.length - 1) * part) / 23);
      changed[at] = (changed[at] ?? 0) ^ (1 << (part % 8));
      broken.push(changed);
    }
    broken.push(archive.subarray(0, -1), Buffer.concat([archive, Buffer.from('x')]));
    for (const [number, bytes] of broken.entries()) {
      await assert.rejects(
        imported(fixture.client, bytes),
        (error) => error instanceof TurntableError && error.code === 'archiveInvalid',
        `number ${number}`,
      );
    }
    assert.deepEqual(Object.keys((await fixture.watch()).subscription.state.sessions), [session]);
    assert.deepEqual(await readdir(join(fixture.stateDirectory, 'sessions')), [session]);
    assert.deepEqual(await packs(), before);
    // Whole, it is taken: the failures above were not for another reason.
    const { sessionId } = await imported(fixture.client, archive);
    await fixture.client.request('session/remove', { sessionId });
  },
);

test(
  'the folder to work on is the same one, an empty one that is filled, or refused with what differs',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const { client } = fixture;
    const session = await fixture.start();
    await fixture.exec(session, 'echo new > new');
    const same = await imported(client, await exported(client, { sessionId: session }));
    context.after(() => client.request('session/remove', { sessionId: same.sessionId }));
    assert.deepEqual([same.workspace, same.ownWorkspace], [fixture.workspace, false]);

    const bare = await exported(client, { sessionId: session, withoutBase: true, onlyHead: true });
    const other = join(fixture.directory, 'other');
    await mkdir(join(other, 'src'), { recursive: true });
    await writeFile(join(other, 'README.md'), '# project\n');
    await writeFile(join(other, 'src/one.txt'), 'another\n');
    await assert.rejects(imported(client, bare, { workspace: other }), (error) => {
      assert.ok(error instanceof TurntableError && error.code === 'workspaceInvalid', String(error));
      assert.deepEqual(error.data?.['differences'], ['src/one.txt', 'src/two.txt']);
      return true;
    });
    await writeFile(join(other, 'src/one.txt'), 'one\n');
    await writeFile(join(other, 'src/two.txt'), 'two\n');
    const taken = await imported(client, bare, { workspace: other });
    context.after(() => client.request('session/remove', { sessionId: taken.sessionId }));
    await client.request('session/resume', { sessionId: taken.sessionId });
    assert.equal(await fixture.output(taken.sessionId, 'pwd; cat new'), `${fixture.workspace}\nnew\n`);
    await client.request('apply', { sessionId: taken.sessionId });
    assert.equal(
      await readFile(join(other, 'new'), 'utf8'),
      'new\n',
      'apply goes to the folder of this side',
    );

    const empty = join(fixture.directory, 'empty');
    await mkdir(empty);
    const whole = await exported(client, { sessionId: session });
    const filled = await imported(client, whole, { workspace: empty });
    context.after(() => client.request('session/remove', { sessionId: filled.sessionId }));
    assert.equal(await treeDigest(empty), await treeDigest(fixture.workspace));
    await rm(join(fixture.workspace, 'src/two.txt'));
    await assert.rejects(imported(client, bare), { code: 'workspaceInvalid' });
  },
);

test(
  'a link where the sandbox gets a mount is refused: it would lead the helper elsewhere',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    await fixture.output(session, 'mv /home /elsewhere; ln -s /etc /home');
    const archive = await exported(fixture.client, { sessionId: session });
    await assert.rejects(imported(fixture.client, archive), {
      code: 'archiveInvalid',
      message: /no directory at \/home/,
    });
  },
);

test('an archive does not send the keys of this side anywhere', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const { client } = fixture;
  const archive = await exported(client, { sessionId: await fixture.start() });
  const hostile = await forged(archive, frameType.header, (header) => {
    header['session'] = { ...z.looseObject({}).parse(header['session']), upstream: 'http://evil.example' };
  });
  for (const [request, upstream] of [
    [{}, 'keys'],
    [{ upstream: 'https://mine.example' }, 'https://mine.example'],
  ] as const) {
    const { sessionId, notes } = await imported(client, hostile, request);
    using database = new DatabaseSync(join(fixture.stateDirectory, 'store/state.sqlite'), { readOnly: true });
    const row = database.prepare('SELECT document FROM session WHERE id = ?').get(sessionId);
    await client.request('session/remove', { sessionId });
    assert.equal(
      z.object({ upstream: z.string() }).parse(JSON.parse(String(row?.['document']))).upstream,
      upstream,
    );
    assert.equal(/evil\.example.*--upstream/.test(notes.join()), upstream === 'keys');
  }
});

test('what was damaged before an export does not become restorable elsewhere', options, async (context) => {
  const fixture = await HelperFixture.own(context);
  const session = await fixture.start();
  const { turn } = await fixture.exec(session, 'echo 1 > a');
  await fixture.exec(session, 'echo 2 > a');
  const reason = 'not restorable: damaged: a: a content is missing';
  const archive = await exported(fixture.client, { sessionId: session, onlyHead: true });
  const damaged = await forged(archive, frameType.turn, (document) => {
    const told = turnSchema.parse(document['turn']);
    if (told.id === turn.id && told.checkpoint)
      document['turn'] = { ...told, checkpoint: { ...told.checkpoint, restorable: false, reason } };
  });
  const { sessionId } = await imported(fixture.client, damaged);
  const checkpoint = async (): Promise<Checkpoint | undefined> => {
    const watched = await fixture.watch();
    const { turns } = watched.subscription.state.sessions[sessionId] ?? { turns: [] };
    watched.subscription.close();
    return turns.find((each) => each.id === turn.id)?.checkpoint;
  };
  assert.match((await checkpoint())?.reason ?? '', /^not restorable: it was damaged before/);
  await fixture.client.request('store/fsck', { repair: true });
  assert.equal((await checkpoint())?.restorable, false);

  // As an earlier version took it in: with the word of the other helper, and no checkpoint here.
  await fixture.kill();
  {
    using database = new DatabaseSync(join(fixture.stateDirectory, 'store/state.sqlite'));
    database
      .prepare(
        `UPDATE turn SET document = json_set(document, '$.checkpoint.reason', ?) WHERE session = ? AND turn = ?`,
      )
      .run(reason, sessionId, turn.id);
  }
  await fixture.up();
  const found = await checkpoint();
  assert.deepEqual([found?.restorable, found?.reason], [false, reason]);
});

test('a finished import counts, whether or not room can be given back then', options, async (context) => {
  const fixture = await HelperFixture.own(context);
  const other = await fixture.start();
  const archive = await exported(fixture.client, { sessionId: await fixture.start() });
  await fixture.exec(other, 'echo 1 > a');
  {
    using database = new DatabaseSync(join(fixture.stateDirectory, 'store/state.sqlite'));
    const ofTurn = 'SELECT file_version FROM checkpoint WHERE session = ? AND turn = 1';
    database.prepare(`UPDATE version SET roots = '{}' WHERE id = (${ofTurn})`).run(other);
  }
  await assert.rejects(fixture.client.request('store/gc', {}), { code: 'storeDamaged' });
  const { sessionId } = await imported(fixture.client, archive);
  const { entries } = await fixture.client.request('audit', { sessionId });
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    ['session.imported'],
  );
});

test('a helper killed in the middle of an import leaves no half of it', options, async (context) => {
  const helper = await DoomedHelper.create(context);
  await helper.up();
  const session = await helper.start();
  await helper.exec(session, 'echo kept > a');
  const archive = await exported(helper.client, { sessionId: session });
  for (const step of ['begun', 'recorded', 'restored']) {
    await helper.kill();
    await helper.up({ env: { TURNTABLE_CRASH_AT: `import:${step}` } });
    await assert.rejects(imported(helper.client, archive));
    await helper.died();
    await helper.up();
    assert.ok(
      helper.recovered.some((note) => /^import s-\w+ had not been finished/.test(note)),
      step,
    );
    assert.deepEqual(await readdir(join(helper.stateDirectory, 'sessions')), [session]);
    assert.equal(await helper.output(session, 'cat a'), 'kept\n');
  }
  const { sessionId } = await imported(helper.client, archive);
  await helper.client.request('session/resume', { sessionId });
  assert.equal(await helper.output(sessionId, 'cat a'), 'kept\n');
});

test(
  'what an export sends does not expire before it is sent, and does afterwards',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    const retention = join(helper.directory, 'retention.json');
    await writeFile(retention, JSON.stringify({ keepNewest: 1, maxCheckpoints: 1 }), { mode: 0o600 });
    await helper.up({ args: ['--retention', retention] });
    const session = await helper.start();
    // More than is made before somebody reads it.
    const { turn } = await helper.exec(session, 'head -c 20000000 /dev/urandom > large');
    await helper.exec(session, 'echo 1 > a');
    await helper.exec(session, 'echo 2 > a');
    const expired = async (): Promise<boolean> =>
      (await helper.client.request('store/gc', { dryRun: true })).expired.some(
        (each) => each.turn === turn.id,
      );
    assert.equal(await expired(), true, 'it is due');
    const { exportId } = await helper.client.request('session/export', { sessionId: session });
    await helper.client.request('export/read', { exportId });
    assert.equal(await expired(), false);
    await helper.client.request('transfer/close', { id: exportId });
    assert.equal(await expired(), true);

    // A helper that dies in the middle leaves nothing that keeps it.
    await helper.client.request('session/export', { sessionId: session });
    await helper.kill();
    await helper.up();
    using database = new DatabaseSync(join(helper.stateDirectory, 'store/state.sqlite'), { readOnly: true });
    assert.deepEqual(database.prepare('SELECT kind FROM intent').all(), []);
  },
);

test('a process image that is lost stays behind, and the rest goes', options, async (context) => {
  const fixture = await HelperFixture.own(context);
  if (!(await dumps(fixture.client))) return context.skip('this host cannot dump processes');
  const session = await fixture.start();
  const { turn } = await fixture.exec(session, startCounter);
  assert.equal(turn.checkpoint?.hasProcesses, true);
  {
    using database = new DatabaseSync(join(fixture.stateDirectory, 'store/state.sqlite'));
    database.prepare('DELETE FROM image').run();
  }
  const archive = await exported(fixture.client, { sessionId: session });
  const { sessionId, processes, notes } = await imported(fixture.client, archive, { processes: true });
  assert.equal(processes, false);
  assert.match(notes.join(), new RegExp(`the processes of turn ${turn.id} stay behind: .*not in the store`));
  const { turns } = (await fixture.watch()).subscription.state.sessions[sessionId] ?? { turns: [] };
  const { checkpoint } = turns.find((each) => each.id === turn.id) ?? {};
  assert.deepEqual([checkpoint?.restorable, checkpoint?.hasProcesses], [true, false]);
  assert.match(checkpoint?.degraded ?? '', /^files only: its process image could not be read/);
});

test('an export or import ends with its client, and nothing of it stays', options, async (context) => {
  const helper = await DoomedHelper.create(context);
  await helper.up();
  const session = await helper.start();
  await helper.exec(session, 'head -c 30000000 /dev/urandom > large');
  const archive = await exported(helper.client, { sessionId: session });
  for (let round = 0; round < 6; round += 1) {
    // More than may be open at once: each must have been let go.
    const client = await helper.connect();
    const { exportId } = await client.request('session/export', { sessionId: session });
    await client.request('export/read', { exportId });
    await assert.rejects(helper.client.request('export/read', { exportId }), { code: 'invalidParams' });
    const { importId } = await client.request('session/import', {});
    const data = archive.subarray(0, 2 << 20).toString('base64');
    await client.request('import/write', { importId, data });
    client.close();
    await untilIdle(helper);
  }
  assert.deepEqual(await readdir(join(helper.stateDirectory, 'sessions')), [session]);
});

/** Until nobody's transfer is shown any more. */
async function untilIdle(helper: DoomedHelper): Promise<void> {
  const watched = await helper.watch();
  await watched.until('transfers to end', 30_000, (state) =>
    Object.keys(state.progress).length === 0 ? true : undefined,
  );
  watched.subscription.close();
}
