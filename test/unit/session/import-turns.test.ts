import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inheritedTurn } from '../../../host-helper/session/import-turns.ts';
import { aCheckpoint, aTurn } from '../server/fake-helper.ts';

const imported = { sessionId: 's-new', versions: ['v0', 'v1'], images: ['i0', undefined] };

test('a turn without a checkpoint in the archive gets none of this helper, whatever it says of itself', () => {
  for (const [checkpoint, reason] of [
    [aCheckpoint({ restorable: false, reason: 'not restorable: damaged: gone' }), /was damaged before/],
    [aCheckpoint({ restorable: false, reason: 'not restorable: expired after 90 days' }), /expired after/],
    [aCheckpoint({ restorable: true }), /^not restorable: it is not in the archive/],
  ] as const) {
    const { turn, checkpoint: record } = inheritedTurn({ turn: aTurn({ checkpoint }) }, imported);
    assert.equal(record, undefined);
    assert.equal(turn.checkpoint?.restorable, false);
    assert.match(turn.checkpoint.reason, reason);
    assert.doesNotMatch(turn.checkpoint.reason, /^not restorable: damaged/);
    assert.notEqual(turn.checkpoint.id, checkpoint.id);
  }
});

test('a checkpoint becomes one of the new session; where its image stayed behind it is files only', () => {
  const position = { furniture: [7], survivors: [], imageTurn: 3, agentTag: 5 };
  for (const image of [0, 1]) {
    const { turn, checkpoint } = inheritedTurn(
      {
        turn: aTurn({ id: 4, checkpoint: aCheckpoint({ hasProcesses: true }) }),
        checkpoint: { version: 1, image, position, createdAt: 9 },
      },
      imported,
    );
    assert.ok(checkpoint && turn.checkpoint);
    assert.equal(turn.checkpoint.id, checkpoint.id);
    assert.notEqual(checkpoint.id, aCheckpoint().id);
    const { sessionId, fileVersion, processImage } = checkpoint;
    assert.deepEqual([sessionId, checkpoint.turn, fileVersion], ['s-new', 4, 'v1']);
    assert.deepEqual(
      [processImage, turn.checkpoint.hasProcesses],
      image === 0 ? ['i0', true] : [undefined, false],
    );
    assert.equal(turn.checkpoint.degraded !== undefined, image === 1);
    assert.deepEqual(
      JSON.parse(checkpoint.position),
      image === 0 ? position : { furniture: [7], survivors: [] },
    );
  }
});
