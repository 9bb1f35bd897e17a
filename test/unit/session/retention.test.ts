import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Turn } from '../../../host-helper/protocol/state.ts';
import {
  defaultRetention,
  dueExpiries,
  loadRetention,
  spareExpiries,
  type RetainedSession,
  type Retention,
} from '../../../host-helper/session/retention.ts';
import { aCheckpoint, aTurn } from '../server/fake-helper.ts';

const dayMs = 86_400_000;

/** Turn `id` follows `parent`, ended on that day, and added 100 bytes. */
function turn(id: number, parent: number | null, restorable = true): Turn {
  return aTurn({
    id,
    parent,
    state: 'closed',
    startedAt: id * dayMs,
    endedAt: id * dayMs,
    checkpoint: aCheckpoint({ restorable, bytesStored: 100 }),
  });
}

/** 0 ─ 1 ─ 2 ─ 3 ─ 4 set aside; 2 ─ 5 ─ 6 ─ 7 (head). */
const session: RetainedSession = {
  id: 's',
  head: 7,
  turns: [turn(0, null), turn(1, 0), turn(2, 1), turn(3, 2), turn(4, 3), turn(5, 2), turn(6, 5), turn(7, 6)],
  kept: new Set([0, 1, 2, 3, 4, 5, 6, 7]),
  needed: new Set(),
};

function due(policy: Partial<Retention>, at = session, today = 8): number[] {
  const whole = { ...defaultRetention, keepNewest: 1, ...policy };
  return dueExpiries(at, whole, today * dayMs).map((each) => each.turn);
}

void test('by default nothing of a young session goes', () => {
  assert.deepEqual(due({ keepNewest: defaultRetention.keepNewest }), []);
});

void test('too many, too old and too large go, the oldest first', () => {
  assert.deepEqual(due({ maxCheckpoints: 6 }), [1, 2]);
  assert.deepEqual(due({ maxAgeDays: 5 }), [1, 2]);
  assert.deepEqual(due({ maxSessionBytes: 550 }), [1, 2, 3]);
});

void test('turn 0, the head, the newest, the end of a line set aside and what is needed never go', () => {
  const harsh = { maxCheckpoints: 1, maxAgeDays: 1, maxSessionBytes: 0 };
  assert.deepEqual(due(harsh, session, 1000), [1, 2, 3, 5, 6]);
  assert.deepEqual(due({ ...harsh, keepNewest: 3 }, session, 1000), [1, 2, 3]);
  assert.deepEqual(due(harsh, { ...session, needed: new Set([2, 5]) }, 1000), [1, 3, 6]);
});

void test('where the head cannot be restored, what a resume would start from stays', () => {
  const turns = session.turns.with(7, turn(7, 6, false));
  assert.deepEqual(due({ maxCheckpoints: 1 }, { ...session, turns }), [1, 2, 3, 5]);
});

void test('checkpoints of turns that cannot be restored go like the others, but not what the folders were last known to hold', () => {
  const capped = { ...session, turns: session.turns.with(2, turn(2, 1, false)) };
  assert.deepEqual(due({ maxAgeDays: 5 }, capped), [1, 2]);
  assert.deepEqual(due({ maxCheckpoints: 6 }, capped), [1, 2]);
  const gone = new Set([...session.kept].filter((id) => id !== 2));
  assert.deepEqual(due({ maxAgeDays: 5 }, { ...capped, kept: gone }), [1]);
  // The head has no checkpoint at all, and the turn before it none that can be restored.
  const turns = session.turns.with(7, turn(7, 6, false)).with(6, turn(6, 5, false));
  const late = { ...session, turns, kept: new Set([0, 1, 2, 3, 4, 5, 6]) };
  assert.deepEqual(due({ maxCheckpoints: 1 }, late), [1, 2, 3]);
});

void test('what may go when room is short comes from all sessions: first what nobody can restore, then the oldest', () => {
  const other = {
    ...session,
    id: 't',
    turns: session.turns.map((each) => ({ ...each, endedAt: each.id * dayMs + 1 })),
  };
  const spare = spareExpiries([other, session], { ...defaultRetention, keepNewest: 3 }, 'why');
  assert.deepEqual(
    spare.map((each) => `${each.sessionId}${each.turn}`),
    ['s1', 't1', 's2', 't2', 's3', 't3'],
  );
  const useless = { ...session, turns: session.turns.with(3, turn(3, 2, false)) };
  const first = spareExpiries([other, useless], { ...defaultRetention, keepNewest: 3 }, 'why');
  assert.deepEqual(
    first.map((each) => `${each.sessionId}${each.turn}`),
    ['s3', 's1', 't1', 's2', 't2', 't3'],
  );
});

void test('a retention file is taken, one that is wrong is refused with the reason, none is the default', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-retention-'));
  try {
    const path = join(directory, 'retention.json');
    assert.deepEqual(await loadRetention(path), defaultRetention);
    writeFileSync(path, '{"maxAgeDays": 7, "maxStoreBytes": 1000}', { mode: 0o600 });
    assert.deepEqual(await loadRetention(path), { ...defaultRetention, maxAgeDays: 7, maxStoreBytes: 1000 });
    for (const wrong of ['{"maxAge": 7}', '{"keepNewest": 0}', 'not JSON']) {
      writeFileSync(path, wrong);
      await assert.rejects(loadRetention(path), {
        code: 'invalidParams',
        message: /retention\.json is wrong/,
      });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
