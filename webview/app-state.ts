/**
 * The webview's state and how messages and choices change it. Pure: no DOM, no VS Code; the helper's state inside is
 * kept by the protocol's own reducer, so that it cannot drift from what the extension sees.
 */

import { reduce } from '../host-helper/protocol/reducer.ts';
import type { Approval, ChangedPath, RootState, SessionState, Turn } from '../host-helper/protocol/state.ts';
import type { ConnectionView, HostMessage, RewindPreview, SavedView } from './messages.ts';
import { stripTurns } from './view-model/rail.ts';

export interface Forecast {
  turn: number;
  preview?: RewindPreview;
  error?: string;
}

export interface AllChanges {
  turn: number;
  changes: ChangedPath[];
  truncated: boolean;
  error?: string;
}

export interface AppState {
  connection: ConnectionView | undefined;
  root: RootState | null;
  canStart: boolean;
  sessionId: string | null;
  /** The previewed turn; null is now. */
  turn: number | null;
  /** For the previewed turn, when it has come. */
  forecast: Forecast | undefined;
  allChanges: AllChanges | undefined;
  /** The approval to put the focus on, once it is drawn. */
  focusApproval: string | undefined;
}

/** Before the first message; `saved` is where the person was before a reload. */
export function initialState(saved: SavedView | undefined): AppState {
  return {
    connection: undefined,
    root: null,
    canStart: false,
    sessionId: saved?.sessionId ?? null,
    turn: saved?.turn ?? null,
    forecast: undefined,
    allChanges: undefined,
    focusApproval: undefined,
  };
}

/** The state after a message from the extension. */
export function applyMessage(state: AppState, message: HostMessage): AppState {
  switch (message.type) {
    case 'snapshot':
      return settle({
        ...state,
        connection: message.connection,
        root: message.state,
        canStart: message.canStart,
      });
    case 'connection':
      return { ...state, connection: message.connection };
    case 'action':
      return state.root ? settle({ ...state, root: reduce(state.root, message.action) }) : state;
    case 'show':
      return select({ ...state, sessionId: message.sessionId }, message.turn);
    case 'show-approval': {
      const approval = state.root?.approvals[message.approvalId];
      if (!approval) return state;
      return { ...select({ ...state, sessionId: approval.sessionId }, null), focusApproval: approval.id };
    }
    case 'forecast':
      if (message.sessionId !== state.sessionId || message.turn !== state.turn) return state;
      return {
        ...state,
        forecast: {
          turn: message.turn,
          ...(message.preview ? { preview: message.preview } : {}),
          ...(message.error === undefined ? {} : { error: message.error }),
        },
      };
    case 'changes':
      if (message.sessionId !== state.sessionId) return state;
      return {
        ...state,
        allChanges: {
          turn: message.turn,
          changes: message.changes,
          truncated: message.truncated,
          ...(message.error === undefined ? {} : { error: message.error }),
        },
      };
  }
}

/** Previews a turn of the session in view; null goes back to now. Keeps what is known of the same turn. */
export function select(state: AppState, turn: number | null): AppState {
  const same = state.turn === turn;
  return settle({ ...state, turn, forecast: same ? state.forecast : undefined });
}

/** The turn one step older (-1) or newer (+1) than the previewed one, in the order of the strip; null is now. */
export function step(state: AppState, by: number): number | null {
  const session = currentSession(state);
  if (!session) return null;
  const turns = stripTurns(session).map(({ turn }) => turn.id);
  const at = state.turn === null ? turns.length : turns.indexOf(state.turn);
  const next = at + by;
  // Past the newest is now, not a preview of the newest.
  if (next >= turns.length) return null;
  return turns[Math.max(0, next)] ?? null;
}

/** The session in view. */
export function currentSession(state: AppState): SessionState | undefined {
  return state.sessionId === null ? undefined : state.root?.sessions[state.sessionId];
}

/** Sessions, newest first. */
export function sessionsOf(state: AppState): SessionState[] {
  return Object.values(state.root?.sessions ?? {}).toSorted((a, b) => b.createdAt - a.createdAt);
}

/** The turn that the details show: the previewed one, else the newest that is closed. */
export function shownTurn(state: AppState): Turn | undefined {
  const session = currentSession(state);
  if (!session) return undefined;
  const wanted = state.turn ?? session.head;
  return session.turns.find((turn) => turn.id === wanted);
}

/** Requests that wait for a person, oldest first; of one session or of all. */
export function pendingApprovals(root: RootState | null, sessionId?: string): Approval[] {
  return Object.values(root?.approvals ?? {})
    .filter((each) => each.state === 'pending' && (sessionId === undefined || each.sessionId === sessionId))
    .toSorted((a, b) => a.askedAt - b.askedAt);
}

/** Requests of a session that were answered or came to nothing, oldest first. */
export function settledApprovals(root: RootState | null, sessionId: string): Approval[] {
  return Object.values(root?.approvals ?? {})
    .filter((each) => each.state !== 'pending' && each.sessionId === sessionId)
    .toSorted((a, b) => a.askedAt - b.askedAt);
}

/** Keeps the choice valid when sessions and turns come and go. */
function settle(state: AppState): AppState {
  if (!state.root) return state;
  let { sessionId, turn } = state;
  if (sessionId === null || !state.root.sessions[sessionId]) {
    sessionId =
      (sessionsOf(state).find((each) => each.status !== 'stopped' && !each.origin) ?? sessionsOf(state)[0])
        ?.id ?? null;
    turn = null;
  }
  const session = sessionId === null ? undefined : state.root.sessions[sessionId];
  if (turn !== null && !session?.turns.some((each) => each.id === turn)) turn = null;
  if (sessionId === state.sessionId && turn === state.turn) return state;
  return { ...state, sessionId, turn, forecast: undefined, allChanges: undefined };
}
