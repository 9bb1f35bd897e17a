/**
 * The rail: which rows a session's tree of turns becomes, newest first. Runs of turns that changed nothing fold;
 * turns that a rewind set aside hang, dashed, above the turn they followed; branches are offshoots of theirs.
 * Pure: no DOM, no clock.
 */

import { lineOf } from '../../host-helper/protocol/reducer.ts';
import type { Approval, SessionState, Turn } from '../../host-helper/protocol/state.ts';

export type RailRow =
  | {
      kind: 'turn';
      key: string;
      turn: Turn;
      /** On the line to now, or set aside by a rewind. */ aside: boolean;
      asks: Approval[];
      head: boolean;
    }
  /** `turns` oldest first; at least two. */
  | { kind: 'fold'; key: string; turns: Turn[]; expanded: boolean; aside: boolean }
  | { kind: 'aside'; key: string; turns: Turn[]; expanded: boolean; from: number }
  | { kind: 'branch'; key: string; session: SessionState; from: number };

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
export function currentLine(session: SessionState): Turn[] {
  const line = lineOf(session, session.head);
  let tip = session.head;
  for (const turn of session.turns) {
    if (turn.parent === tip && turn.state !== 'closed') {
      line.push(turn);
      tip = turn.id;
    }
  }
  return line;
}

/** The session's rows, newest first. */
export function buildRail(input: RailInput): RailRow[] {
  const { session } = input;
  const line = currentLine(session);
  const onLine = new Set(line.map((turn) => turn.id));
  const branches = Map.groupBy(
    input.sessions.filter((each) => each.origin?.sessionId === session.id),
    (each) => each.origin?.turn ?? -1,
  );
  const children = Map.groupBy(session.turns, (turn) => turn.parent ?? -1);

  const rows: RailRow[] = [];
  let run: Turn[] = [];
  const flush = (): void => {
    rows.push(...foldRun(run.toReversed(), false, input));
    run = [];
  };
  for (const turn of line.toReversed()) {
    const asides = (children.get(turn.id) ?? []).filter((each) => !onLine.has(each.id));
    const offshoots = branches.get(turn.id) ?? [];
    if (asides.length > 0 || offshoots.length > 0) flush();
    for (const aside of asides.toReversed()) {
      const turns = descendants(aside, children);
      const key = `aside-${aside.id}`;
      // Just rewound: what was set aside is what the person may want back, so it starts open.
      const fresh = line.at(-1)?.id === turn.id;
      const holdsSelected = turns.some((each) => each.id === input.selected);
      const expanded = holdsSelected || (input.toggled.has(key) ? !fresh : fresh);
      rows.push({ kind: 'aside', key, turns, expanded, from: turn.id });
      if (expanded) rows.push(...foldRun(turns, true, input));
    }
    for (const branch of offshoots) {
      rows.push({ kind: 'branch', key: `branch-${branch.id}`, session: branch, from: turn.id });
    }
    run.push(turn);
  }
  flush();
  return rows;
}

/** Turns to show on the strip, left to right: the line, then what a rewind set aside if nothing has followed it. */
export function stripTurns(session: SessionState): { turn: Turn; aside: boolean }[] {
  const line = currentLine(session);
  const tip = line.at(-1)?.id;
  const children = Map.groupBy(session.turns, (turn) => turn.parent ?? -1);
  const onLine = new Set(line.map((turn) => turn.id));
  const asides = (children.get(tip ?? -1) ?? [])
    .filter((each) => !onLine.has(each.id))
    .flatMap((each) => descendants(each, children));
  return [
    ...line.map((turn) => ({ turn, aside: false })),
    ...asides.toSorted((a, b) => a.id - b.id).map((turn) => ({ turn, aside: true })),
  ];
}

/** Splits turns (oldest first) into rows, newest first; neighbours that changed nothing share one. */
function foldRun(turns: Turn[], aside: boolean, input: RailInput): RailRow[] {
  const rows: RailRow[] = [];
  let quiet: Turn[] = [];
  const flush = (): void => {
    if (quiet.length === 1 && quiet[0]) rows.push(turnRow(quiet[0], aside, input));
    if (quiet.length > 1) {
      const key = `fold-${quiet[0]?.id ?? 0}`;
      const expanded = input.toggled.has(key) || quiet.some((turn) => turn.id === input.selected);
      rows.push({ kind: 'fold', key, turns: quiet, expanded, aside });
      if (expanded) rows.push(...quiet.toReversed().map((turn) => turnRow(turn, aside, input)));
    }
    quiet = [];
  };
  for (const turn of turns.toReversed()) {
    if (foldable(turn, input)) {
      quiet.unshift(turn);
    } else {
      flush();
      rows.push(turnRow(turn, aside, input));
    }
  }
  flush();
  return rows;
}

function turnRow(turn: Turn, aside: boolean, input: RailInput): RailRow {
  return {
    kind: 'turn',
    key: `turn-${turn.id}`,
    turn,
    aside,
    asks: input.asks.filter((ask) => ask.turn === turn.id),
    head: turn.id === input.session.head,
  };
}

function foldable(turn: Turn, input: RailInput): boolean {
  return (
    turn.state === 'closed' &&
    turn.effectClass === 'none' &&
    (turn.kind === 'agent' || turn.kind === 'command') &&
    turn.checkpoint?.restorable !== false &&
    !input.asks.some((ask) => ask.turn === turn.id)
  );
}

/** A turn and all that followed it, oldest first. */
function descendants(turn: Turn, children: Map<number, Turn[]>): Turn[] {
  const found: Turn[] = [];
  const queue = [turn];
  for (let next = queue.shift(); next; next = queue.shift()) {
    found.push(next);
    queue.push(...(children.get(next.id) ?? []));
  }
  return found.toSorted((a, b) => a.id - b.id);
}
