/**
 * The same turns of a sandbox in two windows, one after the other beside each other. A window cuts the last turn off, and the one that
 * is cut is more often a long one: left out, it would hide what held it up. Pure.
 */

import type { SandboxSeen } from './phase.ts';

export interface ComparedTurn {
  readonly addedMs: number;
  /** Without checkpoints. */
  readonly baseMs: number;
  /** The same, had the model's wait not been scaled. */
  readonly unscaledMs: number;
  readonly unfinished: boolean;
}

type Timed = Pick<SandboxSeen, 'turnMs' | 'openMs' | 'waitMs'>;

/**
 * Turns that ended in both windows, and the one that was still open in either as far as it is known: by its age, when that is more
 * than the other one took. A younger one may have had its longest part before it and says nothing.
 */
export function compareTurns(seen: Timed, without: Timed | undefined, timeScale: number): ComparedTurn[] {
  if (!without) return [];
  const compared: ComparedTurn[] = [];
  const most = Math.max(seen.turnMs.length, without.turnMs.length);
  for (let turn = 0; turn < most; turn += 1) {
    const [ended, baseEnded] = [seen.turnMs[turn], without.turnMs[turn]];
    const ours = ended ?? openAt(seen, turn);
    const baseMs = baseEnded ?? openAt(without, turn);
    if (ours === undefined || baseMs === undefined) continue;
    if (ended === undefined && (baseEnded === undefined || ours < baseMs)) continue;
    if (baseEnded === undefined && baseMs < ours) continue;
    compared.push({
      addedMs: ours - baseMs,
      baseMs,
      unscaledMs: baseMs + (seen.waitMs[turn] ?? 0) * (1 / timeScale - 1),
      unfinished: ended === undefined || baseEnded === undefined,
    });
  }
  return compared;
}

function openAt({ turnMs, openMs }: Timed, turn: number): number | undefined {
  return turn === turnMs.length ? openMs : undefined;
}
