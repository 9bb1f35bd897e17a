/**
 * The rail: which rows a session's tree of turns becomes, newest first. Runs of turns that changed nothing fold;
 * turns that a rewind set aside hang, dashed, above the turn they followed; branches are offshoots of theirs.
 * Pure: no DOM, no clock.
 */
import type { Approval, SessionState, Turn } from '../../host-helper/protocol/state.ts';
export type RailRow = {
    kind: 'turn';
    key: string;
    turn: Turn; /** On the line to now, or set aside by a rewind. */
    aside: boolean;
    asks: Approval[];
    head: boolean;
}
/** `turns` oldest first; at least two. */
 | {
    kind: 'fold';
    key: string;
    turns: Turn[];
    expanded: boolean;
    aside: boolean;
} | {
    kind: 'aside';
    key: string;
    turns: Turn[];
    expanded: boolean;
    from: number;
} | {
    kind: 'branch';
    key: string;
    session: SessionState;
    from: number;
};
export interface RailInput {
    session: SessionState;
    /** All sessions, to find the branches of this one. */
    sessions: SessionState[];
    /** Pending approvals of this session. */
    asks: Approval[];
    /** Keys of folded rows that the person opened, and of open ones that they closed (with `!` in front). */
    toggled: ReadonlySet<string>;
    /** The previewed turn, which is never hidden in a fold. */
    selected: number | null;
}
/** The turns from the start to the newest on the session's line: to its head, and past it while a turn is open. */
export declare function currentLine(session: SessionState): Turn[];
/** The session's rows, newest first. */
export declare function buildRail(input: RailInput): RailRow[];
/** Turns to show on the strip, left to right: the line, then what a rewind set aside if nothing has followed it. */
export declare function stripTurns(session: SessionState): {
    turn: Turn;
    aside: boolean;
}[];
