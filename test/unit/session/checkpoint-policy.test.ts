import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../../host-helper/inspector/classify.ts';
import {
  checkpointPolicyFrom,
  degradedBy,
  planUnder,
} from '../../../host-helper/session/checkpoint-policy.ts';

const roots = ['home', 'workspace', 'etc'];
const nothing: Plan = {
  dirtyRoots: new Set(),
  freeze: false,
  sync: false,
  processes: 'none',
  uncertain: [],
  processChanges: [],
};
const everything: Plan = { ...nothing, dirtyRoots: new Set(roots), freeze: true, processes: 'dump' };

test('without the variable checkpoints hold what the effects ask for, and a session goes without nothing', () => {
  assert.equal(checkpointPolicyFrom({}), 'effects');
  assert.equal(planUnder('effects', nothing, roots), nothing);
  assert.deepEqual(degradedBy('effects'), []);
});

test('a misspelt policy stops the helper instead of measuring something else', () => {
  assert.throws(() => checkpointPolicyFrom({ TURNTABLE_CHECKPOINTS: 'everyturn' }), {
    code: 'invalidParams',
    message: /everyturn.*every-turn/,
  });
});

test('every turn means every root and a dump, even where nothing happened', () => {
  const plan = planUnder('every-turn', nothing, roots);
  assert.deepEqual([[...plan.dirtyRoots], plan.processes], [roots, 'dump']);
});

test('files are kept as the effects say, but never processes', () => {
  const plan = planUnder('files', everything, roots);
  assert.deepEqual([[...plan.dirtyRoots], plan.processes], [roots, 'none']);
});

test('the conversation is in the home, and nothing else is looked at', () => {
  const plan = planUnder('conversation', everything, roots);
  assert.deepEqual([[...plan.dirtyRoots], plan.processes, plan.freeze], [['home'], 'none', false]);
});

test('switched off, no checkpoint is made, and the reason says how to switch it on', () => {
  assert.throws(() => planUnder('off', nothing, roots), { code: 'checkpointFailed', message: /without/ });
});

test('every policy but the product’s own is shown on the session with its variable', () => {
  for (const policy of ['every-turn', 'files', 'conversation', 'off'] as const)
    assert.match(degradedBy(policy).join(), new RegExp(`TURNTABLE_CHECKPOINTS=${policy}`));
});
