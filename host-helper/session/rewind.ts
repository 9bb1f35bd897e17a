/**
 * Rewind: brings a session back to a turn, in place and undoable. Always makes a safety checkpoint of what is there first,
 * and never overwrites a change that the agent did not make without being told how.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import { lineOf } from '../protocol/reducer.ts';
import { limits, type Turn } from '../protocol/state.ts';
import { shownChanges } from '../inspector/effects.ts';
import type { CheckpointRecord, FileChange } from '../store/store.ts';
import { keepOutsideChanges } from './outside-changes.ts';
import { letAgentGoOn, positionOf, restoreSandbox, wasAtWork } from './restore-session.ts';
import type { Session } from './session.ts';

/** The checkpoint of a turn; throws `notRestorable` with the turn's own reason. */
export function checkpointOf(session: Session, turnId: number): CheckpointRecord {
  const turn = session.turns.get(turnId);
  const record = session.parts.store.metadata.checkpointOf(session.id, turnId);
  if (!record || turn.checkpoint?.restorable !== true) {
    const reason =
      turn.state === 'closed' ? (turn.checkpoint?.reason ?? 'it has no checkpoint') : 'it is still going on';
    throw new TurntableError(
      'notRestorable',
      `Turn ${turnId} cannot be restored: ${reason}. Choose another turn.`,
    );
  }
  return record;
}

export async function previewRewind(session: Session, turnId: number): Promise<ResultOf<'rewind/preview'>> {
  const turn = session.turns.get(turnId);
  const setAside = setAsideBy(session, turnId);
  const leftTheMachine = setAside.flatMap(
    (each) => each.effects?.network.filter((host) => host.allowed) ?? [],
  );
  const base = { leftTheMachine, turnsSetAside: setAside.map((each) => each.id) };
  let record: CheckpointRecord;
  try {
    record = checkpointOf(session, turnId);
  } catch (error) {
    if (!(error instanceof TurntableError) || error.code !== 'notRestorable') throw error;
    return {
      restorable: false,
      reason: error.message,
      changes: [],
      truncated: false,
      processesBack: [],
      processesLost: [],
      outsideChanges: [],
      ...base,
    };
  }
  const head = session.parts.store.metadata.checkpointOf(session.id, session.record.head);
  const { files } = session.parts.store;
  const roots = session.runtime.sandbox.roots;
  const now = await session.lock.run(async () => currentVersion(session));
  const changes = shownChanges(await files.changes(now, record.fileVersion, roots), session.isAgentState);
  const outside = session.turns.open || !head ? [] : await files.changes(head.fileVersion, now, roots);
  const nowAlive = session.turns.get(session.record.head).effects?.processes.survivors ?? [];
  const back = positionOf(record).survivors;
  return {
    restorable: true,
    reason: turn.checkpoint?.reason ?? '',
    changes: changes.slice(0, limits.changedPaths),
    truncated: changes.length > limits.changedPaths,
    processesBack: record.processImage === undefined ? [] : back,
    processesLost: nowAlive.filter((alive) => !back.some((other) => other.command === alive.command)),
    outsideChanges: ownPaths(outside).map((change) => change.path),
    ...base,
  };
}

export async function rewind(session: Session, request: ParamsOf<'rewind'>): Promise<ResultOf<'rewind'>> {
  const target = checkpointOf(session, request.turn);
  return session.lock.run(async () => {
    const startedMs = performance.now();
    const { store } = session.parts;
    session.setStatus('rewinding');
    const wasRunning = session.runtime.up;
    try {
      const outside = await safety(session, request.turn);
      const safetyTurn = session.record.head;
      const safetyRecord = checkpointOf(session, safetyTurn);
      const roots = session.runtime.sandbox.roots;
      const plan = await keepOutsideChanges({
        files: store.files,
        roots,
        outside,
        head: outside.base,
        now: safetyRecord.fileVersion,
        target: target.fileVersion,
        choice: request.conflicts,
      });

      const intent = store.metadata.beginIntent(
        'rewind',
        session.id,
        JSON.stringify({ safetyTurn, target: request.turn }),
      );
      session.nextEpoch();
      session.agent?.letGo();
      await session.runtime.stop();
      await session.runtime.sandbox.prepareUppers();
      const restored = await restoreSandbox(session, target);
      session.setHead(request.turn);
      store.metadata.endIntent(intent);
      const notes = [...restored.notes, ...(await plan.apply(session.runtime.sandbox))];
      session.setStatus('running');
      await letAgentGoOn(session, target, restored, {
        resume:
          request.resume ?? (request.prompt !== undefined || wasAtWork(session.turns.get(request.turn))),
        prompt: request.prompt,
      });
      return {
        safetyTurn,
        head: request.turn,
        restoredProcesses: restored.processes,
        tookMs: performance.now() - startedMs,
        notes,
      };
    } catch (error) {
      if (session.status === 'rewinding') {
        if (wasRunning && session.runtime.up) session.setStatus('running');
        else {
          session.setStatus(
            'failed',
            `the rewind did not finish: \`turntable session resume ${session.id}\` starts the session again at its last safe turn`,
          );
        }
      }
      throw error;
    }
  });
}

interface Outside {
  readonly base: string;
  readonly changes: readonly FileChange[];
}

/**
 * The safety checkpoint: closes what is open as it is, or, between turns, a turn of its own when something has changed.
 * Returns what somebody other than the agent changed since the head.
 */
async function safety(session: Session, target: number): Promise<Outside> {
  const head = session.parts.store.metadata.checkpointOf(session.id, session.record.head);
  if (session.turns.open) {
    await session.closeOpenTurn(true);
    const base =
      session.parts.store.metadata.checkpointOf(session.id, session.record.head)?.fileVersion ?? '';
    return { base, changes: [] };
  }
  if (!session.runtime.up) return { base: head?.fileVersion ?? '', changes: [] };
  await session.closeBetweenTurns(`before the rewind to turn ${target}`);
  const after = session.parts.store.metadata.checkpointOf(session.id, session.record.head);
  if (!head || !after) return { base: head?.fileVersion ?? '', changes: [] };
  const changes = await session.parts.store.files.changes(
    head.fileVersion,
    after.fileVersion,
    session.runtime.sandbox.roots,
  );
  return { base: head.fileVersion, changes: ownPaths(changes) };
}

/** A version of what is there now, without a turn of its own. */
async function currentVersion(session: Session): Promise<string> {
  const { checkpointer, runtime } = session;
  if (!runtime.up) return checkpointer.fileVersion ?? '';
  const captured = await checkpointer.look(runtime.sandbox);
  return captured.version;
}

/** Changes in the developer's folder only, without the agent's book-keeping: what a person may have made. */
function ownPaths(changes: readonly FileChange[]): FileChange[] {
  return changes.filter((change) => change.root === 'workspace' && change.kind !== 'directory');
}

function setAsideBy(session: Session, turnId: number): Turn[] {
  const line = lineOf({ turns: session.turns.all }, session.currentTurn);
  return line.filter((turn) => turn.id > turnId && !isAncestor(session, turn.id, turnId));
}

/** Whether `id` lies on the line to `of`. */
function isAncestor(session: Session, id: number, of: number): boolean {
  return lineOf({ turns: session.turns.all }, of).some((turn) => turn.id === id);
}
