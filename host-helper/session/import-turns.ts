/** The turns of an archive as a new session inherits them: checkpoints of its own, and no word of this helper's put into its mouth. */

import type { Turn } from '../protocol/state.ts';
import type { FileVersionId } from '../store/store.ts';
import type { ArchivedTurn } from './archive-schema.ts';
import { newId } from './ids.ts';
import { damagedPrefix, withoutImage } from './session-record.ts';
import type { InheritedTurn } from './turn-log.ts';

export interface Imported {
  readonly sessionId: string;
  /** In the order of the archive's frames. */
  readonly versions: readonly FileVersionId[];
  /** The same; undefined for one that stayed behind. */
  readonly images: readonly (string | undefined)[];
}

export function inheritedTurn({ turn, checkpoint }: ArchivedTurn, imported: Imported): InheritedTurn {
  const fileVersion = checkpoint && imported.versions[checkpoint.version];
  if (!checkpoint || !turn.checkpoint || fileVersion === undefined) return { turn: notRestorable(turn) };
  const processImage = checkpoint.image === undefined ? undefined : imported.images[checkpoint.image];
  const lost = checkpoint.image !== undefined && processImage === undefined;
  const id = newId('c');
  return {
    turn: {
      ...turn,
      checkpoint: {
        ...turn.checkpoint,
        id,
        hasProcesses: processImage !== undefined,
        ...(lost
          ? { degraded: 'files only: its processes stayed behind when the session was imported' }
          : {}),
      },
    },
    checkpoint: {
      id,
      sessionId: imported.sessionId,
      turn: turn.id,
      fileVersion,
      processImage,
      position: JSON.stringify(lost ? withoutImage(checkpoint.position) : checkpoint.position),
      createdAt: checkpoint.createdAt,
    },
  };
}

/** Under an id that no checkpoint of this helper has, and not "damaged": what is damaged here may become whole again. */
function notRestorable(turn: Turn): Turn {
  const { checkpoint } = turn;
  if (!checkpoint) return turn;
  const { restorable, reason } = checkpoint;
  const ours = restorable
    ? 'not restorable: it is not in the archive that the session was imported from'
    : reason.startsWith(damagedPrefix)
      ? 'not restorable: it was damaged before the session was exported'
      : reason;
  return { ...turn, checkpoint: { ...checkpoint, id: newId('c'), restorable: false, reason: ours } };
}
