/** Sums up judged turns: by family for a person, in one object for a program. Pure. */

import type { CorpusResult } from './run-corpus.ts';
import type { Verdict } from './judge.ts';

export interface FamilySummary {
  readonly family: string;
  readonly turns: number;
  readonly nothing: number;
  readonly recognised: number;
  readonly falseNegatives: number;
}

/** What `--json` prints last, in one line. */
export interface CorpusSummary {
  readonly turns: number;
  readonly falseNegatives: number;
  readonly nothingTurns: number;
  /** Share of the nothing-turns with class `none`, 0..1. */
  readonly nothingRecognised: number;
  readonly decisionMs: { readonly p50: number; readonly p95: number };
  readonly families: readonly FamilySummary[];
  /** False negatives, and nothing-turns that were taken for something. */
  readonly misses: readonly { readonly id: string; readonly what: string }[];
  /** Turns of which the corpus's author and the oracle think differently. */
  readonly corpusErrors: readonly { readonly id: string; readonly what: string }[];
  readonly rewinds: { readonly checked: number; readonly wrong: number };
}

export function summarize(result: CorpusResult): CorpusSummary {
  const counted = result.verdicts.filter((verdict) => verdict.counted);
  const nothing = counted.filter((verdict) => verdict.label === 'nothing');
  const wrongRewinds = result.rewinds.filter((rewind) => rewind.wrong.length > 0);
  const families = [...new Set(counted.map((verdict) => verdict.family))].sort();
  const decisions = counted.map((verdict) => verdict.decisionMs).sort((a, b) => a - b);
  return {
    turns: counted.length,
    falseNegatives: result.verdicts.filter(isMissed).length + wrongRewinds.length,
    nothingTurns: nothing.length,
    nothingRecognised: share(nothing.filter(isRecognised).length, nothing.length),
    decisionMs: { p50: percentile(decisions, 0.5), p95: percentile(decisions, 0.95) },
    families: families.map((family) => summaryOf(family, counted)),
    misses: [
      ...result.verdicts
        .filter(isMissed)
        .map((verdict) => ({ id: verdict.id, what: `${verdict.missed.join('; ')}: ${verdict.seen}` })),
      ...wrongRewinds.map(({ id, wrong }) => ({ id, what: `after a rewind: ${wrong.join(', ')}` })),
      ...nothing
        .filter((verdict) => !isRecognised(verdict))
        .map((verdict) => ({
          id: verdict.id,
          what: `class ${verdict.effectClass} for nothing: ${verdict.reasons}`,
        })),
    ],
    corpusErrors: counted
      .filter((verdict) => verdict.expected !== verdict.label)
      .map((verdict) => ({
        id: verdict.id,
        what: `expected ${verdict.expected ?? ''}, the oracle saw ${verdict.label}: ${verdict.seen}`,
      })),
    rewinds: { checked: result.rewinds.length, wrong: wrongRewinds.length },
  };
}

/** The table by family. */
export function table(summary: CorpusSummary): string {
  const rows = [
    ['family', 'turns', 'nothing', 'recognised', 'missed'],
    ...summary.families.map((each) => [
      each.family,
      String(each.turns),
      String(each.nothing),
      each.nothing === 0 ? '' : `${((100 * each.recognised) / each.nothing).toFixed(0)} %`,
      String(each.falseNegatives),
    ]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}

function summaryOf(family: string, counted: readonly Verdict[]): FamilySummary {
  const own = counted.filter((verdict) => verdict.family === family);
  const nothing = own.filter((verdict) => verdict.label === 'nothing');
  return {
    family,
    turns: own.length,
    nothing: nothing.length,
    recognised: nothing.filter(isRecognised).length,
    falseNegatives: own.filter(isMissed).length,
  };
}

function isMissed(verdict: Verdict): boolean {
  return verdict.missed.length > 0;
}

function isRecognised(verdict: Verdict): boolean {
  return verdict.effectClass === 'none';
}

function share(part: number, whole: number): number {
  return whole === 0 ? 1 : part / whole;
}

function percentile(sorted: readonly number[], at: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))] ?? 0;
  return Math.round(value * 100) / 100;
}
