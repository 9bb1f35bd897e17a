import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEngine } from '../../../host-helper/engine/engine.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import type { Turn } from '../../../host-helper/protocol/state.ts';
import { Housekeeping } from '../../../host-helper/session/housekeeping.ts';
import { defaultRetention, type Retention } from '../../../host-helper/session/retention.ts';
import type { Session } from '../../../host-helper/session/session.ts';
import type { StoreUsage } from '../../../host-helper/store/quota.ts';
import type { Store } from '../../../host-helper/store/store.ts';
import { aCheckpoint, aTurn } from '../server/fake-helper.ts';

/** Nine turns in a line, all restorable, over a store that has nothing to collect. */
function bench(retention: Partial<Retention>, usage: Partial<StoreUsage> = {}) {
  const turns = Array.from({ length: 9 }, (_, id): Turn =>
    aTurn({
      id,
      parent: id === 0 ? null : id - 1,
      state: 'closed',
      endedAt: Date.now(),
      checkpoint: aCheckpoint(),
    }),
  );
  const made = { head: 8, expired: [] as number[] };
  const session = {
    id: 's',
    status: 'running',
    get record() {
      return { head: made.head };
    },
    turns: { all: turns },
    expire: (expiries: readonly { readonly turn: number }[]) => {
      made.expired.push(...expiries.map(({ turn }) => turn));
    },
  } as unknown as Session;
  const store = {
    metadata: {
      intents: () => [],
      checkpointOf: (_: string, turn: number) => ({ id: `c${turn}` }),
      turnsWithCheckpoint: () => turns.map(({ id }) => id),
    },
    collect: () => Promise.resolve(0),
    survey: () => Promise.resolve({ bytes: 0, images: 0, versions: 0 }),
    dropCaches: () => Promise.resolve(),
    usage: () => ({
      storeBytes: 900,
      cacheBytes: 0,
      maxStoreBytes: 1000,
      freeBytes: 5000,
      reserveFreeBytes: 1000,
      roomBytes: 100,
      ...usage,
    }),
  };
  const housekeeping = new Housekeeping({
    store: store as unknown as Store,
    engine: createEngine({ logger: silentLogger }),
    retention: { ...defaultRetention, keepNewest: 1, ...retention },
    sessions: () => [session],
    logger: silentLogger,
  });
  return { made, store, housekeeping };
}

void test('for the quota the oldest checkpoints go, a part of them at a time', async () => {
  const { made, housekeeping } = bench({});
  assert.equal(await housekeeping.makeRoom(), true);
  assert.deepEqual(made.expired, [1, 2]);
});

void test('for a disk that leaves less room than the quota nothing is given up but copies', async () => {
  for (const cacheBytes of [0, 10]) {
    const { made, housekeeping } = bench({}, { freeBytes: 1050, cacheBytes });
    assert.equal(await housekeeping.makeRoom(), cacheBytes > 0);
    assert.deepEqual(made.expired, []);
  }
});

void test('what has come into use while a collection was planned stays, and is not said to have expired', async () => {
  const { made, store, housekeeping } = bench({ maxCheckpoints: 6 });
  const planned = await housekeeping.gc(true, () => {});
  assert.deepEqual(
    planned.expired.map(({ turn }) => turn),
    [1, 2, 3],
  );
  assert.deepEqual(made.expired, []);
  store.survey = () => {
    // Somebody rewinds.
    made.head = 2;
    return Promise.resolve({ bytes: 0, images: 0, versions: 0 });
  };
  const done = await housekeeping.gc(false, () => {});
  assert.deepEqual(made.expired, [1, 3, 4]);
  assert.deepEqual(
    done.expired.map(({ turn }) => turn),
    made.expired,
  );
});
