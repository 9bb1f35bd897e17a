import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareTurns } from '../../../../host-helper/bench/colocation/compared-turns.ts';

const window = (turnMs: readonly number[], openMs: number): Parameters<typeof compareTurns>[0] => ({
  ...{ turnMs, openMs },
  waitMs: [10, 10, 10, 10],
});
const added = (...[seen, without]: Parameters<typeof window>[]): number[] =>
  compareTurns(window(...seen!), window(...without!), 0.5).map((each) => each.addedMs);

test('turns that ended in both windows are compared one by one', () => {
  assert.deepEqual(added([[110, 120], 0], [[100, 100], 0]), [10, 20]);
});

test('a turn that hangs counts by its age, and not only once it has ended', () => {
  assert.deepEqual(added([[100], 5000], [[100, 100, 100], 50]), [0, 4900]);
});

test('a turn that has only just begun says nothing, on either side', () => {
  assert.deepEqual(added([[100], 20], [[100, 100], 0]), [0]);
  assert.deepEqual(added([[100, 100], 0], [[100], 20]), [0]);
  assert.deepEqual(added([[100], 300], [[100], 200]), [0]);
});

test('a long open turn without checkpoints counts the other way', () => {
  assert.deepEqual(added([[100, 100], 0], [[100], 150]), [0, -50]);
});

test('the unscaled base has the rest of the wait added', () => {
  const [turn] = compareTurns(window([110], 0), window([100], 0), 0.5);
  assert.equal(turn?.baseMs, 100);
  assert.equal(turn?.unscaledMs, 110);
});
