/** Which figures matter most, in which words, and what they ought to be. One list for terminal, README and chart. */

import { formatSize } from '../cli/format/units.ts';
import type { PartialFigures, SizeKey } from './result.ts';
import { rounded } from './statistics.ts';

export interface MainFigure {
  readonly text: string;
  readonly value: string;
  readonly aim: string;
}

/** Only what was measured; the rest is left out. */
export function mainFigures(figures: PartialFigures): MainFigure[] {
  const { inspector, recovery, traffic, time, files, branch, colocation } = figures;
  const overhead = inspector?.overhead;
  const rows: (MainFigure | undefined)[] = [
    inspector?.falseNegatives === undefined
      ? undefined
      : {
          text: `False "nothing" on ${inspector.turns ?? 0} labelled turns`,
          value: String(inspector.falseNegatives),
          aim: '0',
        },
    inspector?.nothingRecognised !== undefined && inspector.nothingTurns
      ? {
          text: `Recognised of ${inspector.nothingTurns} turns that changed nothing`,
          value: percent(inspector.nothingRecognised),
          aim: '≥ 95 %',
        }
      : undefined,
    inspector?.decisionMs && {
      text: 'Deciding what to keep (plan of the checkpoint), p50 and p95',
      value: `${ms(inspector.decisionMs.p50)} and ${ms(inspector.decisionMs.p95)}`,
      aim: '≤ 5 ms and ≤ 25 ms',
    },
    overhead && {
      text: 'CPU time that the BPF programs add to the same work: git clone, untar, find, C build, npm install',
      value: (['gitClone', 'untar', 'find', 'cBuild', 'npmInstall'] as const)
        .map((name) => percentAdded(overhead[name] - 1))
        .join(', '),
      aim: '≤ 2 %',
    },
    overhead && {
      text: '… and to work outside any sandbox',
      value: percentAdded(overhead.outside - 1),
      aim: '≤ 1 %',
    },
    inspector?.programShare && {
      text: '… of which within the programs, by the kernel’s own account: the same five, then outside',
      value: (['gitClone', 'untar', 'find', 'cBuild', 'npmInstall', 'outside'] as const)
        .map((name) => percent(inspector.programShare?.[name] ?? Number.NaN))
        .join(', '),
      aim: '',
    },
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
    traffic && {
      text: 'Checkpoint traffic saved against everything at every turn',
      value: percent(traffic.savedVsFull),
      aim: '≥ 87 %',
    },
    traffic?.savedVsPlainImages === undefined
      ? undefined
      : {
          text: '… and kept, against whole images kept as they are written',
          value: percent(traffic.savedVsPlainImages),
          aim: '',
        },
    traffic && {
      text: 'Turns that needed no checkpoint',
      value: percent(traffic.skipRate),
      aim: '',
    },
    time && {
      text: `Time added to a task${behind(time.thinkScale)}`,
      value: both(percentAdded, time.thinkScale, time.addedRatio, time.unscaled.addedRatio),
      aim: '≤ 1.9 %',
    },
    time && {
      text: 'Hold-back of a reply, p95, likewise',
      value: both(ms, time.thinkScale, time.holdBackP95, time.unscaled.holdBackP95),
      aim: '',
    },
    files && {
      text: 'Checkpoint of a 3-file change in 1k, 20k and 250k files, until it is published',
      value: bySize(files.changeMs),
      aim: '≤ 15 ms, flat',
    },
    files && {
      text: '… and as a shadow-git commit',
      value: bySize(files.shadowGitMs),
      aim: `≥ 100 times ours at 250k (${rounded(files.shadowGitMs['250k'] / files.changeMs['250k'])})`,
    },
    files && {
      text: `… in 20k files, after ${files.afterChanged.map((each) => each.files.toLocaleString('en')).join(' and ')} were changed in the session`,
      value: files.afterChanged.map((each) => ms(each.ms)).join(', '),
      aim: 'flat',
    },
    files && {
      text: `… in 20k files, at turn ${files.atTurn.map((each) => each.turn).join(' and ')}`,
      value: files.atTurn.map((each) => ms(each.ms)).join(', '),
      aim: 'flat',
    },
    files && {
      text: 'Rewind of a 3-file change in 1k, 20k and 250k files',
      value: bySize(files.rewindBySizeMs),
      aim: '',
    },
    files && {
      text: 'One changed page of a 1 GB file: stored, and how long its checkpoint takes',
      value: `${formatSize(files.onePageOf1GBStoredBytes)} in ${ms(files.onePageOf1GBMs)}`,
      aim: 'well below 10 MB',
    },
    branch && {
      text: `Branch of files only, the first and each of ${branch.count}`,
      value: `${ms(branch.oneMs)} and ${ms(branch.marginalMs)}`,
      aim: '',
    },
    branch && {
      text: `… with a server that outlived its turn (${branch.survivor.withProcesses} of ${branch.count} brought it back)`,
      value: `${ms(branch.survivor.oneMs)} and ${ms(branch.survivor.marginalMs)}`,
      aim: '',
    },
    colocation && {
      text: `Time added with ${colocation.sandboxes} sandboxes at once (${colocation.turnsCompared} turns)${behind(colocation.timeScale)}`,
      value: both(percentAdded, colocation.timeScale, colocation.addedRatio, colocation.addedRatioUnscaled),
      aim: '≤ 1 %',
    },
    colocation && {
      text: 'Hold-back of a reply then, p95',
      value: ms(colocation.holdBackP95),
      aim: '',
    },
  ];
  return rows.filter((each) => each !== undefined);
}

/** Behind which waits a time was measured. */
function behind(scale: number): string {
  return scale === 1
    ? ', with a model as slow as real ones'
    : `, the model’s waits at ${scale} of real ones; reckoned for real waits`;
}

/** What was measured, and where that was behind shortened waits what is reckoned for real ones. */
function both(show: (value: number) => string, scale: number, measured: number, reckoned: number): string {
  return scale === 1 ? show(measured) : `${show(measured)}; ${show(reckoned)}`;
}

export function ms(value: number): string {
  return value >= 1000 ? `${rounded(value / 1000)} s` : `${rounded(value)} ms`;
}

export function percent(share: number): string {
  return `${rounded(100 * share)} %`;
}

/** Of what was added, as a share of what it was added to. */
export function percentAdded(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function bySize(values: Readonly<Record<SizeKey, number>>): string {
  return [values['1k'], values['20k'], values['250k']].map(ms).join(', ');
}
