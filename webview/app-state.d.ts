/**
 * The webview's state and how messages and choices change it. Pure: no DOM, no VS Code; the helper's state inside is
 * kept by the protocol's own reducer, so that it cannot drift from what the extension sees.
 */
import type { Approval, ChangedPath, RootState, SessionState, Turn } from '../host-helper/protocol/state.ts';
import type { ConnectionView, HostMessage, RewindPreview, SavedView } from './messages.ts';
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
export declare function initialState(saved: SavedView | undefined): AppState;
/** The state after a message from the extension. */
export declare function applyMessage(state: AppState, message: HostMessage): AppState;
/** Previews a turn of the session in view; null goes back to now. Keeps what is known of the same turn. */
export declare function select(state: AppState, turn: number | null): AppState;
/** The turn one step older (-1) or newer (+1) than the previewed one, in the order of the strip; null is now. */
export declare function step(state: AppState, by: number): number | null;
/** The session in view. */
export declare function currentSession(state: AppState): SessionState | undefined;
/** Sessions, newest first. */
export declare function sessionsOf(state: AppState): SessionState[];
/** The turn that the details show: the previewed one, else the newest that is closed. */
export declare function shownTurn(state: AppState): Turn | undefined;
/** Requests that wait for a person, oldest first; of one session or of all. */
export declare function pendingApprovals(root: RootState | null, sessionId?: string): Approval[];
