/** Which figures matter most, in which words, and what they ought to be. One list for terminal, README and chart. */

import { formatSize } from '../cli/format/units.ts';
import type { PartialFigures } from './result.ts';
import { rounded } from './statistics.ts';

export interface MainFigure {
  readonly text: string;
  readonly value: string;
  readonly aim: string;
}

/** Only what was measured; the rest is left out. */
export function mainFigures(figures: PartialFigures): MainFigure[] {
  const { inspector, recovery, traffic, time, files, branch, colocation } = figures;
  const rows: (MainFigure | undefined)[] = [
    inspector?.falseNegatives === undefined
      ? undefined
      : {
          text: `False "nothing" on ${inspector.turns ?? 0} labelled turns`,
          value: String(inspector.falseNegatives),
          aim: '0',
        },
    row('Nothing-turns recognised', share(inspector?.nothingRecognised, inspector?.nothingTurns), '≥ 95 %'),
    inspector?.decisionMs && {
      text: 'Deciding what a turn did, p50 and p95',
      value: `${ms(inspector.decisionMs.p50)} and ${ms(inspector.decisionMs.p95)}`,
      aim: '≤ 5 ms and ≤ 25 ms',
    },
    inspector?.overhead && {
      text: 'CPU time added inside a sandbox: git clone, untar, find, C build, npm install',
      value: (['gitClone', 'untar', 'find', 'cBuild', 'npmInstall'] as const)
        .map((name) => percentAdded(inspector.overhead?.[name]) ?? '')
        .join(', '),
      aim: '≤ 2 %',
    },
    row('CPU time added outside any sandbox', percentAdded(inspector?.overhead?.outside), '≤ 1 %'),
    recovery && {
      text: 'Restored turns equal to the fault-free state',
      value: percent(recovery.ours),
      aim: '100 %',
    },
    recovery && {
      text: '… with files only; with the conversation only; with everything kept at every turn',
      value: [recovery.filesOnly, recovery.conversationOnly, recovery.fullEveryTurn].map(percent).join('; '),
      aim: '',
    },
    row('Checkpoint traffic saved against everything at every turn', percent(traffic?.savedVsFull), '≥ 87 %'),
    row('Time added to a task', percentAdded(time?.addedRatio), '≤ 1.9 %'),
    row('Hold-back of a reply, p95', ms(time?.holdBackP95), ''),
    files && {
      text: 'Checkpoint of a 3-file change in 1k, 20k and 250k files',
      value: [files.changeMs['1k'], files.changeMs['20k'], files.changeMs['250k']].map(ms).join(', '),
      aim: '≤ 15 ms, flat',
    },
    files && {
      text: '… and as a shadow-git commit',
      value: [files.shadowGitMs['1k'], files.shadowGitMs['20k'], files.shadowGitMs['250k']]
        .map(ms)
        .join(', '),
      aim: `≥ 100 times ours at 250k (${Math.round(files.shadowGitMs['250k'] / files.changeMs['250k'])})`,
    },
    row('Rewind of files', ms(files?.rewindMs), ''),
    files && {
      text: 'Stored for one changed page of a 1 GB file',
      value: formatSize(files.onePageOf1GBStoredBytes),
      aim: 'well below 10 MB',
    },
    branch && {
      text: `Branch, the first and each of ${branch.count}`,
      value: `${ms(branch.oneMs)} and ${ms(branch.marginalMs)}`,
      aim: '',
    },
    colocation && {
      text: `Time added with ${colocation.sandboxes} sandboxes at once`,
      value: percentAdded(colocation.addedRatio),
      aim: '≤ 1 %',
    },
  ];
  return rows.filter((each) => each !== undefined);
}

function row(text: string, value: string | undefined, aim: string): MainFigure | undefined {
  return value === undefined ? undefined : { text, value, aim };
}

export function ms(value: number): string;
export function ms(value: number | undefined): string | undefined;
export function ms(value: number | undefined): string | undefined {
  if (value === undefined) return undefined;
  return value >= 1000 ? `${rounded(value / 1000)} s` : `${rounded(value)} ms`;
}

export function percent(value: number): string;
export function percent(value: number | undefined): string | undefined;
export function percent(value: number | undefined): string | undefined {
  return value === undefined ? undefined : `${rounded(100 * value)} %`;
}

export function percentAdded(ratio: number): string;
export function percentAdded(ratio: number | undefined): string | undefined;
export function percentAdded(ratio: number | undefined): string | undefined {
  return ratio === undefined ? undefined : `${(100 * addedShare(ratio)).toFixed(1)} %`;
}

/** Of a ratio to what it would be otherwise (1.02), or of the share that was added (0.02): both stand in bench.json, and the second is small. */
export function addedShare(ratio: number): number {
  return ratio > 0.5 ? ratio - 1 : ratio;
}

function share(part: number | undefined, whole: number | undefined): string | undefined {
  return part === undefined || whole === undefined || whole === 0 ? undefined : percent(part / whole);
}
