import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classOf, planCheckpoint, type ClassifyInput } from '../../../host-helper/inspector/classify.ts';
import { carriedOver, mergeObservations } from '../../../host-helper/inspector/observation.ts';
import type { LiveProcess, Observation } from '../../../host-helper/inspector/sentry.ts';
import { processKey, runCountsOf, survivorsAmong } from '../../../host-helper/inspector/survivors.ts';

const quiet: Observation = {
  roots: [
    { root: 0, dirty: false, inodes: [], overflow: false },
    { root: 1, dirty: false, inodes: [], overflow: false },
  ],
  unassigned: 0,
  executed: [],
  executedCount: 0,
  exits: [],
  forkCount: 0,
  live: [],
  dropped: 0,
};

function live(pid: number, overrides: Partial<LiveProcess> = {}): LiveProcess {
  return {
    pid,
    parentPid: 1,
    sandboxPid: pid - 1000,
    startTicks: BigInt(pid) * 7n,
    program: '/usr/bin/node',
    argv: ['node', 'server.mjs'],
    runCount: 10n,
    sharedWritableMapping: false,
    traced: false,
    ...overrides,
  };
}

function input(overrides: Partial<ClassifyInput> = {}): ClassifyInput {
  return {
    observation: quiet,
    rootNames: ['workspace', 'home'],
    hintsComplete: true,
    survivors: [],
    versioned: undefined,
    imageStillFits: true,
    alsoUncertain: [],
    ...overrides,
  };
}

test('a turn without hints and without survivors needs no look at any root', () => {
  const plan = planCheckpoint(input());
  assert.equal(plan.dirtyRoots.size, 0);
  assert.equal(plan.processes, 'none');
  assert.equal(classOf({ changedPaths: 0, processesChanged: false, uncertain: plan.uncertain }), 'none');
});

test('only the hinted root is looked at', () => {
  const observation = { ...quiet, roots: quiet.roots.map((root) => ({ ...root, dirty: root.root === 1 })) };
  assert.deepEqual([...planCheckpoint(input({ observation })).dirtyRoots], ['home']);
});

test('every root is looked at when hints are not complete', () => {
  assert.equal(planCheckpoint(input({ hintsComplete: false })).dirtyRoots.size, 2);
});

test('a change that could belong to any root makes every root dirty', () => {
  assert.equal(planCheckpoint(input({ observation: { ...quiet, unassigned: 1 } })).dirtyRoots.size, 2);
});

test('a root that the sentry does not mention counts as dirty', () => {
  const observation = { ...quiet, roots: quiet.roots.slice(0, 1) };
  assert.deepEqual([...planCheckpoint(input({ observation })).dirtyRoots], ['home']);
});

test('lost events are said, make every root dirty and raise the class', () => {
  const plan = planCheckpoint(input({ observation: { ...quiet, dropped: 3 } }));
  assert.equal(plan.dirtyRoots.size, 2);
  assert.match(plan.uncertain.join(), /3 kernel events were lost/);
  assert.equal(classOf({ changedPaths: 0, processesChanged: false, uncertain: plan.uncertain }), 'files');
});

test('a writable shared mapping freezes, flushes and looks everywhere', () => {
  const observation = { ...quiet, live: [live(1005, { sharedWritableMapping: true })] };
  const plan = planCheckpoint(input({ observation }));
  assert.deepEqual([plan.freeze, plan.sync, plan.dirtyRoots.size], [true, true, 2]);
});

test('a survivor without a process version is dumped', () => {
  assert.equal(planCheckpoint(input({ survivors: [live(1005)] })).processes, 'dump');
});

test('a survivor that did not run keeps the image it has', () => {
  const survivors = [live(1005)];
  assert.equal(planCheckpoint(input({ survivors, versioned: runCountsOf(survivors) })).processes, 'keep');
});

test('a survivor that ran is dumped again', () => {
  const versioned = runCountsOf([live(1005)]);
  assert.equal(
    planCheckpoint(input({ survivors: [live(1005, { runCount: 11n })], versioned })).processes,
    'dump',
  );
});

test('a process that took over the pid of an older one is dumped', () => {
  const versioned = runCountsOf([live(1005)]);
  assert.equal(
    planCheckpoint(input({ survivors: [live(1005, { startTicks: 9n })], versioned })).processes,
    'dump',
  );
});

test('one of two survivors that ended makes a new image', () => {
  const versioned = runCountsOf([live(1005), live(1006)]);
  assert.equal(planCheckpoint(input({ survivors: [live(1005)], versioned })).processes, 'dump');
});

test('an image whose open files have grown since is not kept', () => {
  const survivors = [live(1005)];
  const plan = planCheckpoint(input({ survivors, versioned: runCountsOf(survivors), imageStillFits: false }));
  assert.equal(plan.processes, 'dump');
});

test('doubt about the turn dumps even a survivor that seems idle', () => {
  const survivors = [live(1005)];
  const plan = planCheckpoint(
    input({ survivors, versioned: runCountsOf(survivors), alsoUncertain: ['the helper was restarted'] }),
  );
  assert.equal(plan.processes, 'dump');
});

test('files and processes together make a full class', () => {
  assert.equal(classOf({ changedPaths: 2, processesChanged: true, uncertain: [] }), 'full');
  assert.equal(classOf({ changedPaths: 0, processesChanged: true, uncertain: [] }), 'processes');
  assert.equal(classOf({ changedPaths: 1, processesChanged: false, uncertain: [] }), 'files');
});

test('supervisor, agent and furniture are no survivors, anything else is', () => {
  const supervisor = live(1001);
  const agent = live(1002);
  const helper = live(1003);
  const server = live(1004);
  const found = survivorsAmong([supervisor, agent, helper, server], 2, new Set([processKey(helper)]));
  assert.deepEqual(found, [server]);
});

test('merging observations forgets no dirt, no doubt and no event', () => {
  const first: Observation = {
    ...quiet,
    roots: [{ root: 0, dirty: true, inodes: [1n], overflow: false }],
    dropped: 1,
    executedCount: 2,
    exits: [{ pid: 5, exitCode: 1 }],
  };
  const merged = mergeObservations(first, { ...quiet, unassigned: 4, executedCount: 3, live: [live(1005)] });
  assert.equal(merged.roots.find((root) => root.root === 0)?.dirty, true);
  assert.deepEqual(
    [merged.dropped, merged.unassigned, merged.executedCount, merged.exits.length, merged.live.length],
    [1, 4, 5, 1, 1],
  );
});

test('what is carried over to the next turn keeps its dirt but not what was already told', () => {
  const carried = carriedOver({
    ...quiet,
    roots: [{ root: 0, dirty: true, inodes: [], overflow: false }],
    executedCount: 4,
    forkCount: 2,
  });
  assert.equal(carried.roots[0]?.dirty, true);
  assert.deepEqual([carried.executedCount, carried.forkCount], [0, 0]);
});
