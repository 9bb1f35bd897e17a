import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classOf, planCheckpoint, type ClassifyInput } from '../../../host-helper/inspector/classify.ts';
import { carriedOver, mergeObservations } from '../../../host-helper/inspector/observation.ts';
import type { LiveProcess, Observation } from '../../../host-helper/inspector/sentry.ts';
import { processKey, survivorsAmong } from '../../../host-helper/inspector/survivors.ts';

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
  reached: 0,
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
    ...overrides,
  };
}

function input(overrides: Partial<ClassifyInput> = {}): ClassifyInput {
  return {
    observation: quiet,
    rootNames: ['workspace', 'home'],
    hintsComplete: true,
    survivors: 0,
    processChanges: [],
    imageServes: false,
    mapperRan: false,
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

test('a writable shared mapping whose owner ran freezes, flushes and looks everywhere', () => {
  const plan = planCheckpoint(input({ mapperRan: true }));
  assert.deepEqual([plan.freeze, plan.sync, plan.dirtyRoots.size], [true, true, 2]);
});

test('a survivor without an image is dumped', () => {
  const plan = planCheckpoint(input({ survivors: 1, processChanges: ['node (pid 5) outlived the turn'] }));
  assert.deepEqual([plan.processes, plan.freeze], ['dump', true]);
});

test('survivors whose image serves keep it, and nothing stands still for them', () => {
  const plan = planCheckpoint(input({ survivors: 2, imageServes: true }));
  assert.deepEqual([plan.processes, plan.freeze, plan.processChanges.length], ['keep', false, 0]);
});

test('an image that cannot be restored beside the files of now is made anew, though no process changed', () => {
  const plan = planCheckpoint(input({ survivors: 1, imageServes: false }));
  assert.deepEqual([plan.processes, plan.processChanges], ['dump', []]);
});

test('doubt about the turn dumps even a survivor that seems idle, and counts it as changed', () => {
  const plan = planCheckpoint(
    input({ survivors: 1, imageServes: true, alsoUncertain: ['the helper was restarted'] }),
  );
  assert.equal(plan.processes, 'dump');
  assert.equal(plan.processChanges.length, 1);
});

test('lost events raise a turn with survivors to both kinds of change', () => {
  const plan = planCheckpoint(
    input({ survivors: 1, imageServes: true, observation: { ...quiet, dropped: 1 } }),
  );
  const processesChanged = plan.processChanges.length > 0;
  assert.equal(classOf({ changedPaths: 0, processesChanged, uncertain: plan.uncertain }), 'full');
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
