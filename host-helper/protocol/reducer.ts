/**
 * The pure reducer that helper, extension and CLI share. It never mutates, never throws on an action that names
 * something already gone (a late action is not an error), and keeps bounded what would grow without end.
 */

import type { Action } from './actions.ts';
import { limits, type Approval, type RootState, type SessionState, type Turn } from './state.ts';

type Reducers = {
  [Type in Action['type']]: (state: RootState, action: Extract<Action, { type: Type }>) => RootState;
};

const reducers: Reducers = {
  'helper/features': (state, { features }) => ({ ...state, helper: { ...state.helper, features } }),
  'session/added': (state, { session }) => ({
    ...state,
    sessions: { ...state.sessions, [session.id]: session },
  }),
  'session/changed': (state, { sessionId, patch }) =>
    // A patch holds only keys that changed; the schema drops undefined ones on the wire.
    inSession(state, sessionId, (session) => ({ ...session, ...withoutUndefined(patch) })),
  'session/removed': (state, { sessionId }) => ({
    ...state,
    sessions: without(state.sessions, sessionId),
    approvals: Object.fromEntries(
      Object.entries(state.approvals).filter(([, approval]) => approval.sessionId !== sessionId),
    ),
    progress: Object.fromEntries(
      Object.entries(state.progress).filter(([, progress]) => progress.sessionId !== sessionId),
    ),
  }),
  'agent/changed': (state, { sessionId, agent }) =>
    inSession(state, sessionId, (session) => ({ ...session, agent })),
  'head/moved': (state, { sessionId, head }) =>
    inSession(state, sessionId, (session) => ({ ...session, head })),
  'turn/set': (state, { sessionId, turn }) =>
    inSession(state, sessionId, (session) => ({ ...session, turns: withTurn(session.turns, turn) })),
  'approval/set': (state, { approval }) => ({
    ...state,
    approvals: boundedApprovals({ ...state.approvals, [approval.id]: approval }),
  }),
  'progress/set': (state, { progress }) => ({
    ...state,
    progress: { ...state.progress, [progress.id]: progress },
  }),
  'progress/done': (state, { id }) => ({ ...state, progress: without(state.progress, id) }),
};

/** The state after `action`. */
export function reduce(state: RootState, action: Action): RootState {
  // The table is total by its mapped type; TypeScript cannot correlate the union on its own.
  const reducer = reducers[action.type] as (state: RootState, action: Action) => RootState;
  return reducer(state, action);
}

/** The turns from turn 0 to `head`, oldest first: the line that the session is on. */
export function lineOf(session: Pick<SessionState, 'turns'>, head: number): Turn[] {
  const byId = new Map(session.turns.map((turn) => [turn.id, turn]));
  const line: Turn[] = [];
  let at = byId.get(head);
  while (at && line.length <= session.turns.length) {
    line.unshift(at);
    at = at.parent === null ? undefined : byId.get(at.parent);
  }
  return line;
}

/** An empty state, before the first snapshot. */
export function emptyState(version: string, startedAt: number): RootState {
  return { helper: { version, startedAt, features: [] }, sessions: {}, approvals: {}, progress: {} };
}

function inSession(
  state: RootState,
  sessionId: string,
  change: (session: SessionState) => SessionState,
): RootState {
  const session = state.sessions[sessionId];
  if (!session) return state;
  return { ...state, sessions: { ...state.sessions, [sessionId]: change(session) } };
}

function withTurn(turns: Turn[], turn: Turn): Turn[] {
  const at = turns.findIndex((each) => each.id === turn.id);
  if (at < 0) return [...turns, turn].sort((a, b) => a.id - b.id);
  return turns.with(at, turn);
}

function boundedApprovals(approvals: Record<string, Approval>): Record<string, Approval> {
  const settled = Object.values(approvals)
    .filter((approval) => approval.state !== 'pending')
    .sort((a, b) => b.askedAt - a.askedAt);
  const excess = new Set(settled.slice(limits.settledApprovals).map((approval) => approval.id));
  if (excess.size === 0) return approvals;
  return Object.fromEntries(Object.entries(approvals).filter(([id]) => !excess.has(id)));
}

function without<Value>(record: Record<string, Value>, key: string): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).filter(([each]) => each !== key));
}

function withoutUndefined<Patch extends object>(
  patch: Patch,
): { [Key in keyof Patch]: Exclude<Patch[Key], undefined> } {
  return Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Patch]: Exclude<Patch[Key], undefined>;
  };
}
