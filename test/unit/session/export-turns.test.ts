import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archivedTurn, mustFit, placesOf, type Exported } from '../../../host-helper/session/export-turns.ts';
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
  const archived = archivedTurn({ turn, record }, placesOf(['v0', 'v1']), placesOf(['i0', 'i1']));
  assert.deepEqual(archived, {
    turn,
    checkpoint: { version: 1, image: 1, position: JSON.parse(record.position) as unknown, createdAt: 4 },
  });
});

test('a checkpoint whose image stays behind is files only', () => {
  const archived = archivedTurn({ turn, record }, placesOf(['v1']), placesOf([]));
  assert.deepEqual(archived.checkpoint, {
    version: 0,
    position: { furniture: [3], survivors: [] },
    createdAt: 4,
  });
  assert.equal(archived.turn.checkpoint?.hasProcesses, false);
  assert.match(archived.turn.checkpoint.degraded ?? '', /^files only/);
});

test('a turn whose checkpoint stays behind keeps its words', () => {
  const archived = archivedTurn({ turn, record: undefined }, placesOf([]), placesOf([]));
  assert.equal(archived.checkpoint, undefined);
  assert.equal(archived.turn.label, turn.label);
  assert.equal(archived.turn.effects, undefined);
  assert.equal(archived.turn.checkpoint?.restorable, false);
});

test('what no import would take is refused before anything is sent, and less of it is not', () => {
  const versions = placesOf(['v1']);
  const long = (count: number, label: string): Exported[] =>
    Array.from({ length: count }, (_each, id) => ({ turn: { ...turn, id, label }, record }));
  // Below each other's limit: few of them are too many, but not too large, and the other way round.
  for (const line of [long(20_001, 'x'), long(2_000, 'x'.repeat(17_000))])
    assert.throws(() => mustFit(line, versions, placesOf([])), {
      code: 'archiveTooLarge',
      message: /more turns.*--only-head/,
    });
  const many = placesOf(Array.from({ length: 2_001 }, (_each, id) => `i${id}`));
  assert.throws(() => mustFit([], versions, many), { code: 'archiveTooLarge', message: /process images/ });
  mustFit(long(2_000, 'x'.repeat(10_000)), versions, placesOf(['i1']));
});
