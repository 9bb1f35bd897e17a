/** What keeps the store within bounds, through the whole product: cost of dumps, retention, quota, gc, fsck. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { z } from 'zod';
import { productRoot } from '../../host-helper/demo/helper-process.ts';
import { fsckResultSchema, methods } from '../../host-helper/protocol/methods.ts';
import type { Turn } from '../../host-helper/protocol/state.ts';
import { DoomedHelper } from './bad-luck-fixture.ts';

const gcSchema = methods['store/gc'].result;
const fsckSchema = fsckResultSchema;

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

function retentionFile(helper: DoomedHelper, retention: object): { args: string[] } {
  const path = join(helper.directory, 'retention.json');
  writeFileSync(path, JSON.stringify(retention), { mode: 0o600 });
  return { args: ['--retention', path] };
}

/** Exit code and JSON of the command line. */
function turntable(
  helper: DoomedHelper,
  ...argv: string[]
): Promise<{ readonly exitCode: number; readonly reply: unknown }> {
  const main = join(productRoot, 'host-helper/cli/main.ts');
  const { promise, resolve } = Promise.withResolvers<{ exitCode: number; reply: unknown }>();
  execFile(
    process.execPath,
    [main, '--json', '--state-dir', helper.stateDirectory, ...argv],
    (error, stdout) => {
      const exitCode = error ? Number(error.code) : 0;
      resolve({ exitCode, reply: JSON.parse(stdout) });
    },
  );
  return promise;
}

async function turnOf(helper: DoomedHelper, session: string, id: number): Promise<Turn> {
  const turn = (await helper.session(session)).turns.find((each) => each.id === id);
  assert.ok(turn);
  return turn;
}

/** Bytes of the process images there are, oldest first. */
function imageBytes(helper: DoomedHelper): number[] {
  using database = new DatabaseSync(join(helper.stateDirectory, 'store/state.sqlite'), { readOnly: true });
  return database
    .prepare('SELECT bytes FROM image ORDER BY created')
    .all()
    .map((row) => Number(row['bytes']));
}

function packsOf(helper: DoomedHelper): string[] {
  const packs = join(helper.stateDirectory, 'store/packs');
  return readdirSync(packs)
    .map((name) => join(packs, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
}

test(
  'the next dump of a process that idles stores at most a hundredth of its image, and a restart of the helper restores it',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up();
    // Some memory of its own, and a timer: it runs now and then, and does nothing.
    const server = [
      'import hashlib, os, socket',
      'memory = os.urandom(30000000)',
      's = socket.create_server(("127.0.0.1", 8123))',
      's.settimeout(0.2)',
      'while True:',
      '  try: c = s.accept()[0]',
      '  except TimeoutError: continue',
      '  c.sendall(hashlib.sha256(memory).hexdigest().encode())',
      '  c.close()',
    ].join('\n');
    await writeFile(join(helper.workspace, 'server.py'), server);
    const ask = `/usr/bin/python3 -c 'import socket; print(socket.create_connection(("127.0.0.1", 8123)).recv(100).decode())'`;
    const session = await helper.start();
    const first = await helper.exec(
      session,
      `/usr/bin/python3 server.py >/dev/null 2>&1 & for i in $(seq 100); do ${ask} && exit 0; sleep 0.1; done; exit 1`,
    );
    assert.equal(first.exitCode, 0);
    if (first.turn.checkpoint?.hasProcesses !== true) {
      context.skip(`no process dump here: ${first.turn.checkpoint?.degraded ?? ''}`);
      return;
    }
    const digest = Buffer.from(first.stdout, 'base64').toString();
    const idle = await helper.exec(session, 'sleep 1; echo 2 > two');
    const bytes = imageBytes(helper).at(-1) ?? 0;
    const stored = idle.turn.checkpoint?.bytesStored ?? 0;
    const words = `${stored} of ${bytes} bytes (${((100 * stored) / bytes).toFixed(2)} %), ${first.turn.checkpoint.bytesStored} at first`;
    context.diagnostic(words);
    assert.equal(idle.turn.checkpoint?.hasProcesses, true);
    assert.ok(bytes > 3e7 && stored > 0 && stored < bytes / 100, words);
    await helper.kill();
    await helper.up();
    const back = await helper.client.request('rewind', { sessionId: session, turn: idle.turn.id });
    assert.equal(back.restoredProcesses, true, back.notes.join());
    assert.equal(await helper.output(session, ask), digest, 'its memory is the same');
  },
);

test(
  'retention expires the oldest turns, visibly; the newest, turn 0 and what a rewind can be undone to stay',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    const retention = retentionFile(helper, { keepNewest: 3, maxCheckpoints: 4 });
    await helper.up(retention);
    const session = await helper.start();
    const ids: number[] = [];
    for (let count = 0; count < 6; count++)
      ids.push(
        (await helper.exec(session, `head -c 400000 /dev/urandom > file; echo ${count} > count`)).turn.id,
      );
    await helper.client.request('rewind', { sessionId: session, turn: ids[4] ?? 0 });
    for (let count = 6; count < 8; count++)
      ids.push(
        (await helper.exec(session, `head -c 400000 /dev/urandom > file; echo ${count} > count`)).turn.id,
      );

    const planned = await turntable(helper, 'gc', '--dry-run');
    assert.equal(planned.exitCode, 0);
    const dry = gcSchema.parse(planned.reply);
    assert.ok(dry.dryRun && dry.freedBytes > 400_000, JSON.stringify(dry));
    assert.ok((await helper.session(session)).turns.every((turn) => turn.checkpoint?.restorable !== false));
    const done = gcSchema.parse((await turntable(helper, 'gc')).reply);
    assert.deepEqual(done.expired, dry.expired);
    assert.ok(done.freedBytes > 400_000, JSON.stringify(done));

    const after = await helper.session(session);
    const expired = after.turns
      .filter((turn) => turn.checkpoint?.restorable === false)
      .map((turn) => turn.id);
    assert.deepEqual(
      expired,
      done.expired.map((each) => each.turn),
    );
    // All but the first, and the newest three: the sixth is the end of the line that was set aside.
    assert.deepEqual(expired, ids.slice(0, 5));
    const reason = after.turns.find((turn) => turn.id === ids[0])?.checkpoint?.reason;
    assert.match(reason ?? '', /^not restorable: expired beyond the newest 4/);
    await assert.rejects(helper.client.request('rewind', { sessionId: session, turn: ids[1] ?? 0 }), {
      code: 'notRestorable',
      message: /expired/,
    });
    for (const [turn, count] of [
      [ids[5], 5],
      [ids[7], 7],
    ] as const) {
      await helper.client.request('rewind', { sessionId: session, turn: turn ?? 0 });
      assert.equal(await helper.output(session, 'cat count'), `${count}\n`);
    }
    await helper.client.request('rewind', { sessionId: session, turn: 0 });
    assert.equal((await helper.exec(session, 'test ! -e count')).exitCode, 0);
    // A restart finds the same.
    await helper.kill();
    await helper.up(retention);
    assert.match((await turnOf(helper, session, ids[0] ?? 0)).checkpoint?.reason ?? '', /expired/);
    assert.equal((await turntable(helper, 'fsck')).exitCode, 0);
  },
);

test(
  'over its quota the store gives up the oldest checkpoints; where none may go the turn says so, work goes on, and it recovers',
  options,
  async (context) => {
    const helper = await DoomedHelper.create(context);
    await helper.up(retentionFile(helper, { keepNewest: 3, maxStoreBytes: 24_000_000 }));
    const session = await helper.start();
    const random = (megabytes: number, name: string): string =>
      `head -c ${megabytes}000000 /dev/urandom > ${name}`;
    const turns: Turn[] = [];
    for (let count = 0; count < 9; count++)
      turns.push((await helper.exec(session, `${random(4, 'file')}; echo ${count} > count`)).turn);
    for (const turn of turns) assert.equal(turn.checkpoint?.restorable, true, turn.checkpoint?.reason);
    const now = await helper.session(session);
    const gone = now.turns.filter((turn) => turn.checkpoint?.restorable === false);
    assert.ok(gone.length >= 2, 'nine times 4 MB do not fit into 24 MB');
    for (const turn of gone) assert.match(turn.checkpoint?.reason ?? '', /expired to keep within the quota/);
    await helper.client.request('rewind', { sessionId: session, turn: turns[6]?.id ?? 0 });
    assert.equal(await helper.output(session, 'cat count'), '6\n');

    const { turn: tooMuch, exitCode } = await helper.exec(session, `${random(30, 'huge')}; echo late > late`);
    assert.equal(exitCode, 0);
    assert.equal(tooMuch.checkpoint?.restorable, false);
    assert.match(tooMuch.checkpoint.reason, /not restorable: .*quota.*maxStoreBytes/s);
    assert.equal((await helper.exec(session, 'cat late')).exitCode, 0, 'work goes on');
    const { turn: whole } = await helper.exec(session, 'rm huge');
    assert.equal(whole.checkpoint?.restorable, true, whole.checkpoint?.reason);
    await helper.client.request('rewind', { sessionId: session, turn: turns[8]?.id ?? 0 });
    assert.equal(await helper.output(session, 'cat count; test ! -e late'), '8\n');
    await helper.client.request('rewind', { sessionId: session, turn: whole.id });
    assert.equal(await helper.output(session, 'cat late'), 'late\n');
  },
);

test(
  'fsck names the checkpoints that lost something, with and without a helper; the rest restores, and repair stores anew what is still there',
  options,
  async (context) => {
    const helper = await (await DoomedHelper.create(context)).up();
    const session = await helper.start();
    const { turn: first } = await helper.exec(session, 'echo 1 > small');
    const { turn: second } = await helper.exec(session, 'head -c 900000 /dev/urandom > large');
    const { turn: third } = await helper.exec(session, 'echo 3 > small; cp large /root/copy; rm large');
    const clean = await turntable(helper, 'fsck');
    assert.equal(clean.exitCode, 0, JSON.stringify(clean.reply));
    const [pack] = packsOf(helper);
    assert.ok(pack);
    const bytes = readFileSync(pack);
    const flipped = Buffer.from(bytes);
    flipped[300_000] = (flipped[300_000] ?? 0) ^ 1;
    writeFileSync(pack, flipped);

    const found = await turntable(helper, 'fsck');
    assert.equal(found.exitCode, 1);
    assert.deepEqual(
      fsckSchema.parse(found.reply).damagedCheckpoints.map(({ turn }) => turn),
      [second.id, third.id],
    );
    await helper.kill();
    const offline = await turntable(helper, 'fsck');
    assert.equal(offline.exitCode, 1, JSON.stringify(offline.reply));
    assert.deepEqual(fsckSchema.parse(offline.reply), fsckSchema.parse(found.reply));

    // Lost altogether: the helper starts, and shows which turns are lost.
    rmSync(pack);
    await helper.up();
    assert.equal((await turnOf(helper, session, first.id)).checkpoint?.restorable, true);
    for (const { id } of [second, third]) {
      const { checkpoint } = await turnOf(helper, session, id);
      assert.equal(checkpoint?.restorable, false);
      assert.match(checkpoint.reason, /not restorable: damaged: .*(large|copy): a content is missing/);
    }
    // The copy is still in the sandbox: what the next turn holds is whole, and so is what shares it.
    const { turn: fourth } = await helper.exec(session, 'echo 4 > small');
    assert.equal(fourth.checkpoint?.restorable, true, fourth.checkpoint?.reason);
    assert.equal((await turntable(helper, 'fsck', '--repair')).exitCode, 0);
    assert.equal((await turnOf(helper, session, second.id)).checkpoint?.restorable, true);
    for (const [turn, text] of [
      [first, '1\n'],
      [fourth, '4\n'],
      [second, '1\n'],
    ] as const) {
      await helper.client.request('rewind', { sessionId: session, turn: turn.id });
      assert.equal(await helper.output(session, 'cat small'), text);
    }
    assert.equal(await helper.output(session, 'wc -c < large'), '900000\n');

    // Rows that are gone are found too.
    await helper.client.request('helper/stop', {});
    await helper.died();
    {
      using database = new DatabaseSync(join(helper.stateDirectory, 'store/state.sqlite'));
      const { fileVersion } = z
        .object({ fileVersion: z.string() })
        .parse(
          database
            .prepare('SELECT file_version AS fileVersion FROM checkpoint WHERE session = ? AND turn = ?')
            .get(session, first.id),
        );
      database.prepare('DELETE FROM version WHERE id = ?').run(fileVersion);
    }
    const lost = await turntable(helper, 'fsck');
    assert.equal(lost.exitCode, 1);
    assert.match(
      fsckSchema.parse(lost.reply).damagedCheckpoints.find(({ turn }) => turn === first.id)?.files ?? '',
      /file version is missing/,
    );
    await helper.up();
    assert.match(
      (await turnOf(helper, session, first.id)).checkpoint?.reason ?? '',
      /file version is missing/,
    );
  },
);
