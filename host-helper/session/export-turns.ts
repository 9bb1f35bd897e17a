/** The turns of a session as an archive tells them: with a checkpoint where its files go along, else as words alone. */

import type { Turn } from '../protocol/state.ts';
import type { CheckpointRecord } from '../store/store.ts';
import { archiveTooLarge } from '../store/transfer-errors.ts';
import { frameType } from './archive-frames.ts';
import type { ArchivedTurn } from './archive-schema.ts';
import { ArchiveTally } from './archive-tally.ts';
import { positionOf } from './restore-session.ts';
import { withoutImage } from './session-record.ts';

export interface Exported {
  readonly turn: Turn;
  /** Undefined: its checkpoint stays behind, or there is none. */
  readonly record: CheckpointRecord | undefined;
}

/** Ids, and the place of each in the order of the frames. */
export type Places = ReadonlyMap<string, number>;

export function placesOf(ids: Iterable<string>): Places {
  return new Map([...ids].map((id, place) => [id, place]));
}

/** Throws `archiveTooLarge` for what no import would take, before hours go into it. */
export function mustFit(line: readonly Exported[], versions: Places, images: Places): void {
  const tally = new ArchiveTally();
  const add = (type: number, bytes: number): void => {
    const tooMuch = tally.add(type, bytes);
    if (tooMuch !== undefined) throw archiveTooLarge(`it has ${tooMuch}`);
  };
  for (const _version of versions) add(frameType.version, 0);
  for (const _image of images) add(frameType.image, 0);
  for (const each of line)
    add(frameType.turn, Buffer.byteLength(JSON.stringify(archivedTurn(each, versions, images))));
}

/** An image that is not among `images` stays behind. */
export function archivedTurn({ turn, record }: Exported, versions: Places, images: Places): ArchivedTurn {
  if (!record) return { turn: withoutCheckpoint(turn) };
  const { processImage } = record;
  const position = positionOf(record);
  const image = processImage === undefined ? undefined : images.get(processImage);
  const lost = processImage !== undefined && image === undefined;
  const version = versions.get(record.fileVersion);
  if (version === undefined) throw new Error(`the file version of turn ${turn.id} is not in the archive`);
  return {
    turn: lost ? filesOnly(turn) : turn,
    checkpoint: {
      version,
      ...(image === undefined ? {} : { image }),
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
