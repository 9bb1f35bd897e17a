import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changesSince, noneRan, printsOf, stillDescribes } from '../../../host-helper/inspector/prints.ts';
import type { LiveProcess, ProcessState } from '../../../host-helper/inspector/sentry.ts';

const quiet = { reached: 0 };

function live(pid: number, overrides: Partial<LiveProcess> = {}): LiveProcess {
  return {
    pid,
    parentPid: 1,
    sandboxPid: pid - 1000,
    startTicks: BigInt(pid),
    program: '/usr/bin/node',
    argv: ['node', 'server.mjs'],
    runCount: 10n,
    sharedWritableMapping: false,
    ...overrides,
  };
}

function state(pid: number, overrides: Partial<ProcessState> = {}): ProcessState {
  return {
    pid,
    startTicks: BigInt(pid),
    own: 1n,
    files: 2n,
    uncertain: false,
    ...overrides,
  };
}

const before = printsOf([live(1005)], [state(1005)]);

test('a process that did not run and was left alone has not changed, and its image serves', () => {
  const now = printsOf([live(1005)], [state(1005)]);
  assert.equal(noneRan(before, now), true);
  assert.deepEqual(changesSince(before, now, quiet), []);
  assert.equal(stillDescribes(before, now, quiet), true);
});

test('a process that ran, one that is new and one that is gone are each a reason with a name', () => {
  assert.deepEqual(changesSince(before, printsOf([live(1005, { runCount: 11n })]), quiet), [
    'node (pid 5) ran',
  ]);
  assert.deepEqual(changesSince(before, printsOf([live(1005), live(1006)], [state(1005)]), quiet), [
    'node (pid 6) outlived the turn',
  ]);
  assert.deepEqual(changesSince(before, new Map(), quiet), ['node (pid 5) has ended']);
});

test('a process that took over the pid of another is a new one', () => {
  const now = printsOf([live(1005, { startTicks: 9n })]);
  assert.equal(noneRan(before, now), false);
  assert.equal(changesSince(before, now, quiet).length, 2);
});

test('what others did to a process that did not run is a change', () => {
  for (const [overrides, meanwhile] of [
    [{ own: 7n }, quiet],
    [{ uncertain: true }, quiet],
    [{}, { reached: 1 }],
  ] as const) {
    const now = printsOf([live(1005)], [state(1005, overrides)]);
    assert.equal(changesSince(before, now, meanwhile).length, 1);
    assert.equal(stillDescribes(before, now, meanwhile), false);
  }
});

test('a process whose state could not be read has changed', () => {
  assert.equal(changesSince(before, printsOf([live(1005)]), quiet).length, 1);
  assert.equal(changesSince(printsOf([live(1005)]), printsOf([live(1005)], [state(1005)]), quiet).length, 1);
});

test('a file of another size or name is no change of the process, but its image serves no more', () => {
  const now = printsOf([live(1005)], [state(1005, { files: 9n })]);
  assert.deepEqual(changesSince(before, now, quiet), []);
  assert.equal(stillDescribes(before, now, quiet), false);
});

test('nothing is known of processes that were never looked at', () => {
  assert.equal(changesSince(undefined, before, quiet).length, 1);
  assert.equal(stillDescribes(undefined, before, quiet), false);
});
