/**
 * How people name things on a command line: a session by a unique prefix or `last`, a turn by number, `head`, `start`
 * or `-1`. Knows only the state.
 */

import { isAbsolute, join } from 'node:path';
import { TurntableError } from '../protocol/errors.ts';
import { lineOf } from '../protocol/reducer.ts';
import type { RootState, SessionState, Turn } from '../protocol/state.ts';

/** Throws `sessionNotFound`, or `invalidParams` for a prefix that several sessions share. */
export function selectSession(state: RootState, reference: string): SessionState {
  const sessions = Object.values(state.sessions);
  if (reference === 'last') {
    const newest = sessions.toSorted((a, b) => b.createdAt - a.createdAt)[0];
    if (!newest) {
      throw new TurntableError(
        'sessionNotFound',
        'There is no session yet: start one with `turntable session start`.',
      );
    }
    return newest;
  }
  const found = byPrefix(sessions, reference, 'session');
  if (!found) {
    throw new TurntableError(
      'sessionNotFound',
      `No session begins with "${reference}": \`turntable session ls\` shows them.`,
    );
  }
  return found;
}

/**
 * The one item whose id is `reference`, or begins with it (its kind's prefix, as in "s-abc", may be left out).
 * Throws `invalidParams` when several do.
 */
export function byPrefix<Item extends { id: string }>(
  items: readonly Item[],
  reference: string,
  noun: string,
): Item | undefined {
  const exact = items.find((item) => item.id === reference);
  if (exact) return exact;
  if (reference === '') return undefined;
  const matches = items.filter(
    ({ id }) => id.startsWith(reference) || id.slice(id.indexOf('-') + 1).startsWith(reference),
  );
  if (matches.length > 1) {
    const ids = matches
      .slice(0, 5)
      .map((item) => item.id)
      .join(', ');
    throw new TurntableError(
      'invalidParams',
      `"${reference}" could be more than one ${noun} (${ids}): give more letters.`,
    );
  }
  return matches[0];
}

/** Throws `turnNotFound`, or `invalidParams` for what is no turn reference. */
export function selectTurn(session: SessionState, reference: string): Turn {
  const turn = session.turns.find((each) => each.id === turnNumber(session, reference));
  if (!turn) {
    throw new TurntableError(
      'turnNotFound',
      `Session ${session.id} has no turn ${reference}: \`turntable turns ${session.id}\` shows them.`,
    );
  }
  return turn;
}

function turnNumber(session: SessionState, reference: string): number | undefined {
  if (reference === 'head') return session.head;
  if (reference === 'start') return 0;
  if (/^\d+$/.test(reference)) return Number(reference);
  if (/^-\d+$/.test(reference)) return lineOf(session, session.head).at(-1 + Number(reference))?.id;
  throw new TurntableError(
    'invalidParams',
    `"${reference}" is no turn: give a number, head, start, or -1 for the one before head.`,
  );
}

/** A path inside the sandbox: relative ones are taken from the workspace. */
export function pathIn(session: SessionState, path: string): string {
  return isAbsolute(path) ? path : join(session.workspace, path);
}
