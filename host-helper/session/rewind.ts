/**
 * Rewind: brings a session back to a turn, in place and undoable. Always makes a safety checkpoint of what is there first,
 * and never overwrites a change that the agent did not make without being told how.
 */

import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import { lineOf } from '../protocol/reducer.ts';
import { limits, type SessionState, type Turn } from '../protocol/state.ts';
import { shownChanges } from '../inspector/effects.ts';
import type { CheckpointRecord, FileChange, FileVersionId } from '../store/store.ts';
import { newId } from './ids.ts';
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

/** The checkpoint of the head, or of the nearest turn before it that has one. Throws `notRestorable` when none has. */
export function lastRestorable(session: Session): CheckpointRecord {
  const line = lineOf({ turns: session.turns.all }, session.record.head);
  const turn = line.findLast((each) => each.checkpoint?.restorable === true);
  return checkpointOf(session, turn?.id ?? session.record.head);
}

/**
 * Where a session whose sandbox ended goes on. An agent takes a turn that was cut short again, so half of it must not be there,
 * and its processes must: that turn stays in the tree, and the one before it is restored. A command is not run again; what it had
 * done stays.
 */
export function lastWhole(session: Session): { record: CheckpointRecord; cutShort: Turn | undefined } {
  const record = lastRestorable(session);
  const turn = session.turns.get(record.turn);
  const cut = turn.kind === 'agent' && turn.parent !== null && positionOf(record).interrupted === true;
  if (!cut) return { record, cutShort: undefined };
  const line = lineOf({ turns: session.turns.all }, turn.parent ?? 0);
  const before = line.findLast((each) => each.checkpoint?.restorable === true);
  return before
    ? { record: checkpointOf(session, before.id), cutShort: turn }
    : { record, cutShort: undefined };
}

/** The version the session's folders last were known to hold; undefined when nothing of it was captured yet. */
export function versionAt(session: Session): FileVersionId | undefined {
  const line = lineOf({ turns: session.turns.all }, session.record.head);
  return line
    .map((turn) => session.parts.store.metadata.checkpointOf(session.id, turn.id)?.fileVersion)
    .findLast((version) => version !== undefined);
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
  // Refuses early, before anything is stopped.
  checkpointOf(session, request.turn);
  await session.interrupt();
  return session.lock.run(async () => {
    const startedMs = performance.now();
    const { store } = session.parts;
    const target = checkpointOf(session, request.turn);
    const before = { status: session.status, detail: session.record.detail };
    session.setStatus('rewinding');
    let begun = false;
    try {
      const outside = await safety(session, request.turn);
      const safetyRecord = safetyOf(session);
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
      crashPoint('rewind:safe');

      session.nextEpoch();
      session.letGoOfAgent();
      begun = true;
      await session.runtime.stop();
      crashPoint('rewind:ended');
      await keepLastMoment(session, safetyRecord);
      session.beginRestore({ safetyTurn: safetyRecord.turn, target: request.turn });
      crashPoint('rewind:stopped');
      await session.runtime.sandbox.prepareUppers();
      crashPoint('rewind:prepared');
      const restored = await restoreSandbox(session, target);
      crashPoint('rewind:restored');
      const notes = [...restored.notes, ...(await plan.apply(session.runtime.sandbox))];
      crashPoint('rewind:carried');
      session.setHead(request.turn);
      crashPoint('rewind:moved');
      session.restoredWhole();
      crashPoint('rewind:whole');
      session.setStatus('running');
      await letAgentGoOn(session, target, restored, {
        resume:
          request.resume ?? (request.prompt !== undefined || wasAtWork(session.turns.get(request.turn))),
        prompt: request.prompt,
      });
      crashPoint('rewind:done');
      return {
        safetyTurn: safetyRecord.turn,
        head: request.turn,
        restoredProcesses: restored.processes,
        tookMs: performance.now() - startedMs,
        notes,
      };
    } catch (error) {
      if (session.status === 'rewinding') await afterFailure(session, begun, before);
      throw error;
    }
  });
}

/**
 * Between the safety checkpoint and the end of the processes an agent at work may have written more. Not where processes were
 * dumped: their image needs the files as they were at its own instant.
 */
async function keepLastMoment(session: Session, safety: CheckpointRecord): Promise<void> {
  if (safety.processImage !== undefined) return;
  const { version, changes } = await session.checkpointer.look(session.runtime.sandbox);
  if (changes.length === 0) return;
  const turn = session.turns.get(safety.turn);
  const id = newId('c');
  session.turns.publish(
    { ...turn, ...(turn.checkpoint ? { checkpoint: { ...turn.checkpoint, id, reused: false } } : {}) },
    { ...safety, id, fileVersion: version, createdAt: Date.now() },
  );
}

async function afterFailure(
  session: Session,
  begun: boolean,
  before: { readonly status: SessionState['status']; readonly detail: string | undefined },
): Promise<void> {
  if (!begun) {
    session.setStatus(before.status, before.detail);
    return;
  }
  await session.runtime.stop().catch((error: unknown) => {
    session.logger.warn('a sandbox could not be put away after a failed rewind', { error });
  });
  session.letGoOfAgent();
  session.setStatus(
    'failed',
    `the rewind did not finish: \`turntable session resume ${session.id}\` brings back turn ${session.record.head}, as it was before`,
  );
}

/** The checkpoint to come back to; without one nothing may be overwritten. */
function safetyOf(session: Session): CheckpointRecord {
  const { head } = session.record;
  const turn = session.turns.get(head);
  const record = session.parts.store.metadata.checkpointOf(session.id, head);
  if (record && turn.checkpoint?.restorable === true) return record;
  throw new TurntableError(
    'checkpointFailed',
    `Nothing was rewound, because what is there now could not be kept (${turn.checkpoint?.reason ?? 'no checkpoint'}). Remove the reason, for example free some disk space, then rewind again.`,
  );
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
  const base = versionAt(session) ?? '';
  const label = `before the rewind to turn ${target}`;
  if (session.runtime.up) {
    if (session.turns.open) {
      await session.closeOpenTurn(true);
      return { base: versionAt(session) ?? '', changes: [] };
    }
    await session.closeBetweenTurns(label);
  } else await session.keepWhatIsThere(label);
  const after = versionAt(session);
  if (base === '' || after === undefined) return { base, changes: [] };
  const changes = await session.parts.store.files.changes(base, after, session.runtime.sandbox.roots);
  return { base, changes: ownPaths(changes) };
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
  return changes.filter(
    (change) => change.root === 'workspace' && change.kind !== 'directory' && change.timeOnly !== true,
  );
}

function setAsideBy(session: Session, turnId: number): Turn[] {
  const line = lineOf({ turns: session.turns.all }, session.currentTurn);
  return line.filter((turn) => turn.id > turnId && !isAncestor(session, turn.id, turnId));
}

/** Whether `id` lies on the line to `of`. */
function isAncestor(session: Session, id: number, of: number): boolean {
  return lineOf({ turns: session.turns.all }, of).some((turn) => turn.id === id);
}
