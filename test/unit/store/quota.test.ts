import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import type { TrackedRoot } from '../../../host-helper/sandbox/sandbox.ts';
import { openStore } from '../../../host-helper/store/open-store.ts';
import { StoreQuota, type DatabaseUse, type StoreLimits } from '../../../host-helper/store/quota.ts';
import { treefsPath } from '../../integration/store-fixture.ts';

const megabyte = 1_000_000;

async function inDirectory(body: (directory: string) => void | Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-quota-'));
  try {
    mkdirSync(join(directory, 'packs'));
    await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function use(reusableBytes: number, wholeImages: readonly string[] = []): DatabaseUse {
  return { reusableBytes: () => reusableBytes, wholeImages: () => wholeImages };
}

void test('what the database has free inside is room: below a quota for everything, on a full disk for rows', async () => {
  await inDirectory((directory) => {
    writeFileSync(join(directory, 'state.sqlite'), randomBytes(megabyte));
    writeFileSync(join(directory, 'packs/1.pack'), randomBytes(megabyte));
    const near = (actual: number, expected: number): void => {
      assert.ok(Math.abs(actual - expected) < megabyte / 20, `${actual} should be about ${expected}`);
    };
    const limited = { maxStoreBytes: 3 * megabyte, reserveFreeBytes: 0 };
    const full = new StoreQuota(directory, limited, use(0)).room(0);
    near(full.packs, megabyte);
    near(full.rows, megabyte);
    const collected = new StoreQuota(directory, limited, use(megabyte / 2));
    near(collected.room(0).packs, 1.5 * megabyte);
    near(collected.room(0).rows, 1.5 * megabyte);
    // What has been added since it was measured counts, wherever it lies.
    near(collected.room(megabyte).rows, 0.5 * megabyte);
    near(collected.usage(0, 0).storeBytes, 1.5 * megabyte);
    const noDisk = { reserveFreeBytes: Number.MAX_SAFE_INTEGER };
    const { packs, rows } = new StoreQuota(directory, noDisk, use(megabyte / 2)).room(0);
    assert.deepEqual([packs, rows], [0, megabyte / 2]);
  });
});

void test('images that an earlier version kept whole count, caches do not', async () => {
  await inDirectory((directory) => {
    for (const name of ['whole', 'cached']) {
      mkdirSync(join(directory, 'images', name, 'sub'), { recursive: true });
      for (const file of ['core.img', 'sub/pages.img'])
        writeFileSync(join(directory, 'images', name, file), randomBytes(megabyte));
    }
    const whole = ['whole', 'lost'].map((name) => join(directory, 'images', name));
    const { storeBytes } = new StoreQuota(directory, {}, use(0, whole)).usage(0, 0);
    assert.ok(Math.abs(storeBytes - 2 * megabyte) < megabyte / 20, `${storeBytes}`);
  });
});

void test('a refusal names what is in the way: the disk where that leaves less room than the quota, or there is no quota', async () => {
  await inDirectory((directory) => {
    writeFileSync(join(directory, 'packs/1.pack'), randomBytes(megabyte));
    const { bavail, bsize } = statfsSync(directory);
    const reserveFreeBytes = bavail * bsize - 20 * megabyte;
    const text = (limits: StoreLimits): string =>
      new StoreQuota(directory, limits, use(0)).refusal(0).message;
    assert.match(
      text({ maxStoreBytes: 2 * megabyte, reserveFreeBytes }),
      /2 MiB, their quota.*raise maxStoreBytes/,
    );
    for (const maxStoreBytes of [undefined, Number.MAX_SAFE_INTEGER]) {
      const words = text({ maxStoreBytes, reserveFreeBytes });
      assert.match(words, /^The disk .* is full, or would be: .*Free some space/);
      assert.doesNotMatch(words, /maxStoreBytes/);
    }
  });
});

void test('a store whose quota is full of small contents takes new ones when the old ones are collected', async () => {
  await inDirectory(async (directory) => {
    const upper = join(directory, 'upper');
    mkdirSync(upper);
    const root: TrackedRoot = {
      name: 'workspace',
      path: '/project',
      kind: 'plain',
      lower: undefined,
      upper,
      merged: upper,
    };
    const store = await openStore({
      directory: join(directory, 'state'),
      treefsPath: treefsPath() ?? '',
      logger: silentLogger,
      limits: { maxStoreBytes: 16 * megabyte, reserveFreeBytes: 0 },
    });
    try {
      let previous: string | undefined;
      let turn = 0;
      const capture = async (): Promise<void> => {
        for (let file = 0; file < 40; file++) writeFileSync(join(upper, `${file}`), randomBytes(30_000));
        const { version } = await store.files.capture({
          sandboxId: 's',
          roots: [root],
          previous,
          dirtyRoots: new Set(['workspace']),
        });
        previous = version;
        turn += 1;
        const checkpoint = { id: `c${turn}`, sessionId: 's', turn, fileVersion: version, createdAt: turn };
        store.metadata.publish({ ...checkpoint, processImage: undefined, position: '{}' }, '{}');
      };
      const untilRefused = async (): Promise<number> => {
        for (let count = 0; ; count++) {
          try {
            await capture();
          } catch (error) {
            assert.equal(error instanceof Error && 'code' in error && error.code, 'quotaExceeded');
            return count;
          }
        }
      };
      const taken = await untilRefused();
      const turns = Array.from({ length: turn }, (_, before) => before + 1);
      store.metadata.expire(turns.slice(0, -1).map((id) => ({ sessionId: 's', turn: id, document: '{}' })));
      assert.ok((await store.collect()) > megabyte);
      const again = await untilRefused();
      assert.ok(again >= taken / 2, `${taken} at first, then ${again}`);
    } finally {
      await store.close();
    }
  });
});
