import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import { ChunkStore } from '../../../host-helper/store/chunks.ts';
import { openDatabase } from '../../../host-helper/store/database.ts';
import { encodeBlockList } from '../../../host-helper/store/file-tree.ts';
import { openStore } from '../../../host-helper/store/open-store.ts';
import { TreeWorker } from '../../../host-helper/store/treefs.ts';
import { treefsPath } from '../../integration/store-fixture.ts';

void test('process images of an earlier version, whole or with flat lists, open as they were and become like the others', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-legacy-'));
  const open = () => openStore({ directory, treefsPath: treefsPath() ?? '', logger: silentLogger });
  try {
    const memory = randomBytes(10 * 4096 + 100);
    memory.fill(0, 4096, 8192);
    for (const folder of ['packs', 'images/whole/sub'])
      mkdirSync(join(directory, folder), { recursive: true });
    writeFileSync(join(directory, 'images/whole/sub/pages.img'), memory);
    const database = openDatabase(join(directory, 'state.sqlite'));
    const worker = new TreeWorker(treefsPath() ?? '', silentLogger);
    const chunks = new ChunkStore(database, join(directory, 'packs'), worker);
    {
      using batch = chunks.begin({ smallAsRows: false });
      const blocks = [];
      for (let at = 0; at < memory.length; at += 4096)
        blocks.push(at === 4096 ? undefined : batch.put(memory.subarray(at, at + 4096)));
      const list = Buffer.from(batch.put(encodeBlockList({ size: memory.length, blocks })), 'latin1');
      const packed = [{ path: 'sub/pages.img', size: memory.length, list: list.toString('hex') }];
      batch.commit(() => {
        const insert = database.prepare('INSERT INTO image (id, bytes, created, packed) VALUES (?, 1, 1, ?)');
        insert.run('flat', JSON.stringify(packed));
        insert.run('whole', null);
        database.exec(`INSERT INTO version VALUES ('v', '[]')`);
        for (const id of ['flat', 'whole'])
          database.exec(`INSERT INTO checkpoint VALUES ('${id}', 's', 1, 'v', '${id}', '{}', 1)`);
      });
    }
    database.exec('DROP INDEX chunk_lost; PRAGMA user_version = 2');
    await worker.close();
    chunks.close();
    database.close();

    // At once, while they are being made anew, and after.
    for (const round of [1, 2]) {
      const store = await open();
      if (round === 2) await store.collect();
      for (const id of ['flat', 'whole']) {
        const opened = await store.images.open(id);
        assert.ok(
          readFileSync(join(opened.directory, 'sub/pages.img')).equals(memory),
          `${id}, round ${round}`,
        );
        await opened.release();
      }
      assert.deepEqual((await store.verify()).problems, []);
      await store.close();
      if (round === 1) await open().then((again) => again.close());
    }
    using after = new DatabaseSync(join(directory, 'state.sqlite'), { readOnly: true });
    for (const { packed } of after.prepare('SELECT packed FROM image').all())
      assert.match(String(packed), /"format":2/);
    assert.deepEqual(readdirSync(join(directory, 'images')), []);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
