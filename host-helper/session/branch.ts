/**
 * Branch: a second session beside the first, from any restorable turn. It gets its own roots, network and endpoints, inherits
 * the line of turns up to there (so it can be rewound further), and no grants. The first session is not touched.
 */

import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import { lineOf } from '../protocol/reducer.ts';
import { newId } from './ids.ts';
import { letAgentGoOn, restoreSandbox, wasAtWork, type OpenImages } from './restore-session.ts';
import { checkpointOf } from './rewind.ts';
import { SessionRuntime } from './runtime.ts';
import { Session } from './session.ts';

/** Makes and starts the branch; `added` is called as soon as clients may see it. On failure nothing stays. */
export async function branch(
  origin: Session,
  request: ParamsOf<'branch'>,
  added: (session: Session) => void,
  images?: OpenImages,
): Promise<Omit<ResultOf<'branch'>, 'sessionId'> & { session: Session }> {
  const startedMs = performance.now();
  const { parts } = origin;
  // Refuses early, before anything is made.
  checkpointOf(origin, request.turn);
  const { asked: _notHere, ...record } = origin.record;
  const session = new Session(
    parts,
    {
      ...record,
      id: newId('s'),
      title:
        request.title ??
        (request.prompt === undefined ? `${origin.record.title} (branch)` : firstLine(request.prompt)),
      origin: { sessionId: origin.id, turn: request.turn },
      createdAt: Date.now(),
      head: request.turn,
      status: 'running',
      furniture: [],
      agent: {
        name: origin.record.agent.name,
        status: origin.record.agent.name === 'none' ? 'none' : 'stopped',
      },
    },
    origin.env,
  );
  const intent = parts.store.metadata.beginIntent(
    'branch',
    session.id,
    JSON.stringify({ from: origin.id, turn: request.turn }),
  );
  crashPoint('branch:noted');
  parts.store.metadata.putSession(session.id, JSON.stringify(session.record));
  crashPoint('branch:saved');
  // Nobody may stop or remove it before it is whole.
  return session.lock.run(async () => {
    try {
      session.turns.adoptLine(
        lineOf({ turns: origin.turns.all }, request.turn).map((turn) => {
          const checkpoint = parts.store.metadata.checkpointOf(origin.id, turn.id);
          const id = newId('c');
          // Inherited checkpoints share their contents with the origin's: they cost nothing more.
          return {
            turn: turn.checkpoint
              ? { ...turn, checkpoint: { ...turn.checkpoint, id, bytesStored: 0 } }
              : turn,
            ...(checkpoint ? { checkpoint: { ...checkpoint, id, sessionId: session.id } } : {}),
          };
        }),
      );
      crashPoint('branch:recorded');
      await session.createRuntime('create');
      crashPoint('branch:created');
      session.setStatus('branching');
      added(session);
      const record = checkpointOf(session, request.turn);
      const restored = await restoreSandbox(session, record, images);
      crashPoint('branch:restored');
      session.setStatus('running');
      await letAgentGoOn(session, record, restored, {
        resume:
          request.resume ?? (request.prompt !== undefined || wasAtWork(session.turns.get(request.turn))),
        prompt: request.prompt,
      });
      crashPoint('branch:goesOn');
      parts.store.metadata.endIntent(intent);
      crashPoint('branch:done');
      return {
        session,
        restoredProcesses: restored.processes,
        tookMs: performance.now() - startedMs,
        notes: restored.notes,
      };
    } catch (error) {
      await discardUnfinished(session, intent, `Branch ${session.id} could not be made.`);
      throw error;
    }
  });
}

/** With the lock of a session held that did not come to be: nothing of it stays. `why` is for those who wait for it. */
export async function discardUnfinished(session: Session, intent: number, why: string): Promise<void> {
  const { parts } = session;
  session.nextEpoch();
  session.agent?.letGo();
  session.lock.close(new TurntableError('sessionNotFound', why));
  if (session.hasRuntime) await session.runtime.destroy().catch(() => {});
  else await SessionRuntime.removeDirectory(parts.stateDirectory, session.id).catch(() => {});
  parts.authority.removeSession(session.id);
  parts.store.files.forget(session.id);
  parts.store.metadata.removeSession(session.id);
  parts.store.metadata.endIntent(intent);
  parts.dispatch({ type: 'session/removed', sessionId: session.id });
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? text).slice(0, 80);
}
