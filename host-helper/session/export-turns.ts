/** The turns of a session as an archive tells them: with a checkpoint where its files go along, else as words alone. */

import type { Turn } from '../protocol/state.ts';
import type { CheckpointRecord } from '../store/store.ts';
import type { ArchivedTurn } from './archive-schema.ts';
import { positionOf } from './restore-session.ts';
import { withoutImage } from './session-record.ts';

export interface Exported {
  readonly turn: Turn;
  /** Undefined: its checkpoint stays behind, or there is none. */
  readonly record: CheckpointRecord | undefined;
}

/** `versions` and `images` in the order of their frames; an image that is not among them stays behind. */
export function archivedTurn(
  { turn, record }: Exported,
  versions: readonly string[],
  images: readonly string[],
): ArchivedTurn {
  if (!record) return { turn: withoutCheckpoint(turn) };
  const { processImage } = record;
  const position = positionOf(record);
  const image = processImage === undefined ? -1 : images.indexOf(processImage);
  const lost = processImage !== undefined && image < 0;
  return {
    turn: lost ? filesOnly(turn) : turn,
    checkpoint: {
      version: versions.indexOf(record.fileVersion),
      ...(image < 0 ? {} : { image }),
      position: lost ? withoutImage(position) : position,
      createdAt: record.createdAt,
    },
  };
}

function filesOnly(turn: Turn): Turn {
  if (!turn.checkpoint) return turn;
  const degraded =
    turn.checkpoint.degraded ??
    'files only: its process image could not be read when the session was exported';
  return { ...turn, checkpoint: { ...turn.checkpoint, hasProcesses: false, degraded } };
}

/** A turn that is told of, but cannot be gone back to: small, for only its words are left. */
function withoutCheckpoint(turn: Turn): Turn {
  const { effects: _effects, ...rest } = turn;
  if (turn.checkpoint?.restorable !== true) return turn;
  return {
    ...rest,
    checkpoint: {
      ...turn.checkpoint,
      restorable: false,
      hasProcesses: false,
      reason: 'not restorable: it was left out when the session was exported',
    },
  };
}
