import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archivedTurn } from '../../../host-helper/session/export-turns.ts';
import type { CheckpointRecord } from '../../../host-helper/store/store.ts';
import { aCheckpoint, aTurn, someEffects } from '../server/fake-helper.ts';

const record: CheckpointRecord = {
  id: 'c-1',
  sessionId: 's',
  turn: 1,
  fileVersion: 'v1',
  processImage: 'i1',
  position: JSON.stringify({ imageTurn: 1, agentTag: 2, furniture: [3], survivors: [] }),
  createdAt: 4,
};
const turn = aTurn({ effects: someEffects(), checkpoint: aCheckpoint({ hasProcesses: true }) });

test('a checkpoint names its version and image by their place in the archive', () => {
  const archived = archivedTurn({ turn, record }, ['v0', 'v1'], ['i0', 'i1']);
  assert.deepEqual(archived, {
    turn,
    checkpoint: { version: 1, image: 1, position: JSON.parse(record.position) as unknown, createdAt: 4 },
  });
});

test('a checkpoint whose image stays behind is files only', () => {
  const archived = archivedTurn({ turn, record }, ['v1'], []);
  assert.deepEqual(archived.checkpoint, {
    version: 0,
    position: { furniture: [3], survivors: [] },
    createdAt: 4,
  });
  assert.equal(archived.turn.checkpoint?.hasProcesses, false);
  assert.match(archived.turn.checkpoint.degraded ?? '', /^files only/);
});

test('a turn whose checkpoint stays behind keeps its words', () => {
  const archived = archivedTurn({ turn, record: undefined }, [], []);
  assert.equal(archived.checkpoint, undefined);
  assert.equal(archived.turn.label, turn.label);
  assert.equal(archived.turn.effects, undefined);
  assert.equal(archived.turn.checkpoint?.restorable, false);
});
