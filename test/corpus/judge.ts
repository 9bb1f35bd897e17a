/** Compares what the helper said of a turn with what the oracle saw. Pure. */

import type { EffectClass, Turn } from '../../host-helper/protocol/state.ts';
import type { Difference, Label } from './oracle.ts';

/** One turn, judged. */
export interface Verdict {
  readonly id: string;
  readonly family: string;
  /** Whether it is a turn of the corpus, or only prepares one. Both must be without a false "nothing". */
  readonly counted: boolean;
  readonly label: Label;
  readonly expected: Label | undefined;
  readonly effectClass: EffectClass;
  readonly decisionMs: number;
  readonly tookMs: number;
  /** Why this is a false negative, in words; empty when it is none. */
  readonly missed: readonly string[];
  /** What the oracle saw, shortened: for whoever looks for the reason. */
  readonly seen: string;
  /** What the helper gave as its reasons. */
  readonly reasons: string;
}

const covers: Readonly<Record<Label, readonly EffectClass[]>> = {
  nothing: ['none', 'files', 'processes', 'full'],
  files: ['files', 'full'],
  processes: ['processes', 'full'],
  full: ['full'],
};

const shownFacts = 6;

/** What a turn's class, effects or checkpoint leave out of what has really changed. */
export function missedBy(turn: Turn, difference: Difference): string[] {
  const { effects, effectClass, checkpoint } = turn;
  if (!effects || !effectClass || !checkpoint) return ['the turn was not closed'];
  const missed: string[] = [];
  if (!covers[difference.label].includes(effectClass))
    missed.push(`class ${effectClass} where ${difference.label} changed`);
  if (!checkpoint.restorable) missed.push(`not restorable: ${checkpoint.reason}`);
  const named = new Set(effects.files.entries.map((entry) => entry.path));
  // Of a file with several names one is enough where only the names changed, or where the turn says that there are others.
  const doubted = effects.uncertain.some((reason) => reason.includes('has other names'));
  const byAnother = (path: string): boolean =>
    (doubted || difference.isOnlyRenamed(path)) && difference.namesOf(path).some((name) => named.has(name));
  const unnamed = difference.paths.filter((path) => !named.has(path) && !byAnother(path));
  if (!effects.files.truncated && unnamed.length > 0)
    missed.push(`paths not named: ${unnamed.slice(0, shownFacts).join(', ')}`);
  const survivors = new Set(effects.processes.survivors.map((survivor) => survivor.pid));
  const living = difference.processes.filter((fact) => !fact.startsWith('ended '));
  const strangers = living.filter((fact) => !survivors.has(pidIn(fact)));
  if (strangers.length > 0) missed.push(`processes not named: ${strangers.slice(0, shownFacts).join(', ')}`);
  if (living.length > 0 && checkpoint.processesMs === 0 && checkpoint.degraded === undefined)
    missed.push('processes changed, but no new image of them was made');
  return missed;
}

function pidIn(fact: string): number {
  return Number(/(\d+):/.exec(fact)?.[1]);
}

/** The first few facts of a difference, for a person. */
export function shown(difference: Difference): string {
  const facts = [...difference.paths, ...difference.processes];
  const more = facts.length > shownFacts ? ` and ${facts.length - shownFacts} more` : '';
  return facts.slice(0, shownFacts).join(', ') + more;
}
