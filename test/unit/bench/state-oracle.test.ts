import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, type SandboxState } from '../../../host-helper/bench/state-oracle.ts';

const state: SandboxState = {
  files: ['workspace/a file 644 0:0 1 aa'],
  processes: ['node x in /w'],
  ports: ['port 80'],
  probes: ['0: 3 (0)'],
};

test('equal states differ in nothing', () =>
  assert.deepEqual(differences(state, structuredClone(state)), []));

test('a changed file, a missing process and another answer are told apart', () => {
  const other = { ...state, files: ['workspace/a file 644 0:0 1 bb'], processes: [], probes: ['0: 4 (0)'] };
  const told = differences(state, other).join('\n');
  for (const part of [/- files: .* aa/, /\+ files: .* bb/, /- processes: node x/, /\+ probes: 0: 4/])
    assert.match(told, part);
});

test('a second process of the same command is a difference', () => {
  assert.notDeepEqual(differences(state, { ...state, processes: ['node x in /w', 'node x in /w'] }), []);
});
