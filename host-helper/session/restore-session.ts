/**
 * Brings a sandbox to a checkpoint: files first, then processes from their image, or a fresh start where there is none or it
 * cannot be restored. Shared by rewind, branch and resume, so that all three mean the same by "restored".
 */

import { crashPoint } from '../crash-point.ts';
import type { Turn } from '../protocol/state.ts';
import type { CheckpointRecord, ProcessImageStore } from '../store/store.ts';
import { positionSchema, type Position } from './session-record.ts';
import type { Session } from './session.ts';

export interface Restored {
  readonly processes: boolean;
  /** The agent inside the image is alive and as of this very turn. */
  readonly agentAlive: boolean;
  /** What could not be brought back, in words. */
  readonly notes: string[];
}

/** Where a restore gets its process image: the store, or one that several branches share. */
export type OpenImages = Pick<ProcessImageStore, 'open'>;

export function positionOf(record: CheckpointRecord): Position {
  return positionSchema.parse(JSON.parse(record.position));
}

/**
 * `session`'s sandbox must be down with its uppers prepared. Afterwards it is up and watched; doors are closed when
 * processes came back (the caller opens them when the session is ready) and open otherwise.
 */
export async function restoreSandbox(
  session: Session,
  record: CheckpointRecord,
  images: OpenImages = session.parts.store.images,
): Promise<Restored> {
  const { runtime, parts, checkpointer } = session;
  const { sandbox } = runtime;
  const notes: string[] = [];
  await parts.store.files.restore({
    sandboxId: sandbox.id,
    roots: sandbox.roots,
    version: record.fileVersion,
  });
  checkpointer.startFrom(record.fileVersion);
  crashPoint('restore:files');

  const position = positionOf(record);
  if (record.processImage !== undefined) {
    const noDump = parts.noDump();
    if (noDump !== undefined) {
      notes.push(`processes are not brought back: ${noDump}`);
    } else {
      try {
        const image = await images.open(record.processImage);
        crashPoint('restore:opened');
        try {
          await runtime.restore(image.directory);
        } finally {
          await image.release();
        }
        crashPoint('restore:processes');
        return { processes: true, agentAlive: position.imageTurn === record.turn, notes };
      } catch (error) {
        notes.push(
          `processes could not be brought back: ${error instanceof Error ? error.message : String(error)}`,
        );
        session.logger.warn('restore of processes failed; starting without them', { notes });
        // A failed restore may have touched files; put them back exactly.
        await sandbox.prepareUppers();
        await parts.store.files.restore({
          sandboxId: sandbox.id,
          roots: sandbox.roots,
          version: record.fileVersion,
        });
      }
    }
  } else if (position.survivors.length > 0) {
    notes.push(`${position.survivors.length} processes of that turn were not dumped and do not come back`);
  }
  await runtime.start();
  return { processes: false, agentAlive: false, notes };
}

/** Whether the agent had more to do after this turn: it had asked for a tool and was about to be told the result. */
export function wasAtWork(turn: Turn): boolean {
  return turn.kind === 'agent' && (turn.conversation?.toolCalls.length ?? 0) > 0;
}

/** Lets the agent go on after a restore: in memory where it is of this turn, else from its transcript. */
export async function letAgentGoOn(
  session: Session,
  record: CheckpointRecord,
  restored: Restored,
  wish: { readonly resume: boolean; readonly prompt: string | undefined },
): Promise<void> {
  const { runtime } = session;
  session.setFurniture(new Set());
  let goesOn = false;
  if (restored.processes && record.processImage !== undefined) {
    const position = positionOf(record);
    const found = session.adoptAgent(position.agentTag);
    goesOn = found && restored.agentAlive && wish.resume && wish.prompt === undefined;
    if (found && !goesOn) await session.stopAgent(true);
    session.setFurniture(
      await session.checkpointer.restored(
        runtime.watch,
        { id: record.processImage, turn: position.imageTurn ?? record.turn, agentTag: position.agentTag },
        session.agentProcess,
        goesOn ? position.furniture : [],
      ),
    );
    await runtime.openDoors();
  }
  if (!session.agent || goesOn) return;
  if (wish.resume) await session.resumeAgent(wish.prompt);
  else
    session.setAgent({
      name: session.record.agent.name,
      status: wasAtWork(session.turns.get(record.turn)) ? 'stopped' : 'finished',
    });
}
