import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import { ChunkStore } from '../../../host-helper/store/chunks.ts';
import { hashOf, type ChunkHash } from '../../../host-helper/store/chunk-reader.ts';
import { openDatabase } from '../../../host-helper/store/database.ts';
import { TreeWorker } from '../../../host-helper/store/treefs.ts';
import { treefsPath } from '../../integration/store-fixture.ts';

interface Stage {
  readonly chunks: ChunkStore;
  readonly packs: string;
  /** The same directory, as a helper that was started again sees it. */
  reopen(): ChunkStore;
}

async function withChunks(body: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-chunks-'));
  const packs = join(directory, 'packs');
  mkdirSync(packs);
  const worker = new TreeWorker(treefsPath() ?? 'treefs', silentLogger);
  const database = openDatabase(join(directory, 'state.sqlite'));
  const chunks = new ChunkStore(database, packs, worker);
  try {
    await body({ chunks, packs, reopen: () => new ChunkStore(database, packs, worker) });
  } finally {
    await worker.close();
    chunks.close();
    database.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

void test('contents come back by their hash, once stored however often put, small or large', async () => {
  await withChunks(async ({ chunks, packs }) => {
    const contents = [
      Buffer.alloc(0),
      Buffer.from('small'),
      randomBytes(40_000),
      Buffer.alloc(200_000, 'ab'),
      randomBytes(262_144),
    ];
    using batch = chunks.begin();
    for (const content of [...contents, ...contents]) await batch.putBlock(content);
    assert.equal(chunks.has(hashOf(Buffer.from('small'))), false, 'nothing counts before the commit');
    batch.commit(() => {});
    for (const content of contents) assert.deepEqual(chunks.get(hashOf(content)), content);
    assert.ok(batch.bytesStored < 310_000);
    using again = chunks.begin();
    for (const content of contents) again.put(content);
    again.commit(() => {});
    assert.equal(again.bytesStored, 0);
    assert.equal(readdirSync(packs).length, 1);
    assert.throws(() => chunks.get(hashOf(Buffer.from('never stored'))), { code: 'storeDamaged' });
  });
});

void test('a batch that is given up, or whose transaction fails, leaves nothing', async () => {
  await withChunks(async ({ chunks, packs }) => {
    const content = randomBytes(100_000);
    {
      using batch = chunks.begin();
      await batch.putBlock(content);
    }
    assert.throws(() => {
      using batch = chunks.begin();
      batch.put(content);
      batch.commit(() => {
        throw new Error('the version cannot be written');
      });
    }, /cannot be written/);
    assert.equal(chunks.has(hashOf(content)), false);
    assert.deepEqual(readdirSync(packs), []);
  });
});

void test('a pack that no row needs goes at the next start', async () => {
  await withChunks(async ({ chunks, packs, reopen }) => {
    using batch = chunks.begin();
    batch.put(randomBytes(50_000));
    batch.commit(() => {});
    writeFileSync(join(packs, '77.pack'), 'of a capture that was killed');
    reopen().checkPacks();
    assert.deepEqual(readdirSync(packs), ['1.pack']);
  });
});

void test('whatever is put, dropped and swept in any order, what is live stays whole and what is not goes', async () => {
  await withChunks(async ({ chunks }) => {
    // A fixed sequence (Lehmer), so that a failure repeats.
    let seed = 20_260;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const contentOf = (id: number): Buffer => Buffer.alloc(1 + ((id * 7919) % 90_000), `content ${id} `);
    const live = new Map<ChunkHash, number>();
    const dead = new Map<ChunkHash, number>();
    for (let round = 0; round < 40; round++) {
      const during = random(2) === 0;
      const put = async (): Promise<void> => {
        using batch = chunks.begin();
        for (let count = random(6); count >= 0; count--) {
          const id = random(60);
          const hash = await batch.putBlock(contentOf(id));
          live.set(hash, id);
          dead.delete(hash);
        }
        // Some captures end only after the sweep has begun.
        if (during) await new Promise((resolve) => setImmediate(resolve));
        batch.commit(() => {});
      };
      const drop = [...live.keys()].filter(() => random(3) === 0);
      for (const hash of drop) {
        const id = live.get(hash);
        if (id !== undefined) dead.set(hash, id);
        live.delete(hash);
      }
      const spared = new Set(live.keys());
      const sweep = chunks.sweep(() => Promise.resolve({ hashes: spared, rows: new Uint8Array() }));
      if (during) await Promise.all([put(), sweep]);
      else await sweep.then(put);
      for (const [hash, id] of live)
        assert.deepEqual(chunks.get(hash), contentOf(id), `round ${round}: content ${id}`);
      if (!during)
        for (const [hash, id] of dead)
          assert.equal(chunks.has(hash), false, `round ${round}: content ${id} should be gone`);
    }
  });
});
