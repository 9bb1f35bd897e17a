/** What keeps the store within bounds, through the whole product: cost of dumps, retention, quota, gc, fsck. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { productRoot } from '../../host-helper/demo/helper-process.ts';
import type { Turn } from '../../host-helper/protocol/state.ts';
import { DoomedHelper } from './bad-luck-fixture.ts';

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
