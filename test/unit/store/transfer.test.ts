/** What comes in from outside, up to the moment it counts: in a real store, which others use meanwhile. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import { hashOf } from '../../../host-helper/store/chunk-reader.ts';
import { encodeDirectory, encodeEntry } from '../../../host-helper/store/file-tree.ts';
import { openStore } from '../../../host-helper/store/open-store.ts';
import type { IncomingObjects, Store, TreeTop } from '../../../host-helper/store/store.ts';
import { treefsPath } from '../../integration/store-fixture.ts';
import { Others } from './others.ts';

async function withStore(work: (store: Store, incoming: IncomingObjects) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-transfer-'));
  const store = await openStore({
    directory: join(directory, 'state'),
    treefsPath: treefsPath() ?? '',
    logger: silentLogger,
  });
  try {
    using incoming = store.transfer.incoming();
    await work(store, incoming);
  } finally {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

type Entry = Parameters<typeof encodeEntry>[0];

function entry(name: string, mode: number, parts: Partial<Entry>): Entry {
  const nothing = { uid: 0, gid: 0, mtimeSec: 1, mtimeNsec: 0, size: 0, rdevMajor: 0, rdevMinor: 0 };
  const texts = { xattrs: '', content: '', target: '', link: '', base: '' };
  return { name, mode, ...nothing, ...texts, ...parts };
}

async function put(incoming: IncomingObjects, data: Buffer): Promise<string> {
  await incoming.put({ hash: hashOf(data), data });
  return hashOf(data);
}

async function folder(incoming: IncomingObjects, name: string, entries: Entry[]): Promise<Entry> {
  return entry(name, 0o040755, { content: await put(incoming, encodeDirectory(entries)) });
}

function top(directory: Entry): TreeTop[] {
  return [{ name: 'rootfs', entry: encodeEntry(directory).toString('base64') }];
}

test('however many small objects come, others go first now and then', async () => {
  await withStore(async (_store, incoming) => {
    using others = new Others();
    for (let count = 0; count < 10_000; count += 1) await put(incoming, Buffer.from(`${count}`));
    assert.ok(others.turns >= 10, `others had ${others.turns} turns`);
  });
});

test('versions count when they are published, all of them, and say what a restore writes', async () => {
  await withStore(async (store, incoming) => {
    const versions = [];
    for (const text of ['one', 'three']) {
      const content = await put(incoming, Buffer.from(text));
      const file = entry('file', 0o100644, { size: text.length, content });
      versions.push(top(await folder(incoming, '', [file])));
    }
    await incoming.seal();
    const proven = [];
    for (const tops of versions) proven.push(await incoming.version(tops));
    assert.deepEqual(
      proven.map(({ bytes }) => bytes),
      [3, 5],
    );
    for (const { id } of proven) assert.throws(() => store.transfer.tops(id), { code: 'notRestorable' });
    incoming.publish();
    for (const [at, { id }] of proven.entries()) assert.deepEqual(store.transfer.tops(id), versions[at]);
  });
});

test('a path is blocked by whatever is no directory, at its end or on its way', async () => {
  await withStore(async (_store, incoming) => {
    const inner = await folder(incoming, 'b', [
      entry('gone', 0o020000, {}),
      entry('link', 0o120777, { target: '/etc' }),
    ]);
    const tops = top(await folder(incoming, '', [await folder(incoming, 'a', [inner])]));
    await incoming.seal();
    await incoming.version(tops);
    for (const path of ['a/b/link', 'a/b/link/further', 'a/b/gone'])
      assert.equal(incoming.isBlocked(tops, 'rootfs', path), true, path);
    for (const path of ['a', 'a/b', 'a/b/new', 'x/link'])
      assert.equal(incoming.isBlocked(tops, 'rootfs', path), false, path);
    assert.equal(incoming.isBlocked(tops, 'other', 'a/b/link'), false);
  });
});
