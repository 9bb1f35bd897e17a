/** Which figures the chart shows, in which words and on which scale. Pure; knows nothing of SVG. */

import { z } from 'zod';
import { formatSize } from '../cli/format/units.ts';
import type { PartialFigures } from './result.ts';
import { ms, percent, percentAdded } from './summary.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** The value as people read it. */
  readonly shown: string;
  /** Turntable's, or of what stands beside it. */
  readonly ours: boolean;
  /** What is aimed at; a mark across the bar. */
  readonly aim?: number;
}

export interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly scale: 'linear' | 'log';
  readonly bars: readonly Bar[];
  /** Length of the longest possible bar; the largest value when absent. */
  readonly most?: number;
}

export interface ChartData extends PartialFigures {
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What the chart takes from the details, where it is there. */
const peersDetails = z.looseObject({
  peers: z.array(z.looseObject({ name: z.string(), turnMs: z.number(), bytes: z.number() })),
});

/** The panels whose figures are there. */
export function panels(data: ChartData): Panel[] {
  return [
    recoveryPanel(data),
    sharesPanel(data),
    filesPanel(data),
    overheadPanel(data),
    addedPanel(data),
    peersPanel(data),
  ].filter((panel) => panel !== undefined);
}

function recoveryPanel({ recovery }: PartialFigures): Panel | undefined {
  if (!recovery) return undefined;
  const bar = (label: string, value: number, ours = false): Bar => ({
    ...{ label, value, ours },
    shown: percent(value),
  });
  return {
    title: 'What comes back',
    subtitle: 'restored turns that equal the fault-free state',
    scale: 'linear',
    most: 1,
    bars: [
      bar('Turntable', recovery.ours, true),
      bar('all, every turn', recovery.fullEveryTurn),
      bar('files only', recovery.filesOnly),
      bar('conversation only', recovery.conversationOnly),
    ],
  };
}

function sharesPanel({ inspector, traffic }: PartialFigures): Panel | undefined {
  const bars: Bar[] = [];
  if (traffic) {
    const value = traffic.skipRate;
    bars.push({ label: 'turns skipped', value, shown: percent(value), ours: true });
  }
  if (inspector?.nothingRecognised !== undefined && inspector.nothingTurns) {
    const value = inspector.nothingRecognised;
    bars.push({ label: 'nothing-turns seen', value, shown: percent(value), ours: true });
  }
  if (traffic) {
    const value = traffic.savedVsFull;
    bars.push({ label: 'traffic saved', value, shown: percent(value), ours: true });
  }
  if (bars.length === 0) return undefined;
  const missed =
    inspector?.falseNegatives === undefined
      ? ''
      : `; changes missed: ${inspector.falseNegatives} of ${inspector.turns ?? 0} turns`;
  return {
    title: 'What is left out',
    subtitle: `against keeping everything at every turn${missed}`,
    ...{ scale: 'linear', most: 1, bars },
  };
}

function filesPanel({ files }: PartialFigures): Panel | undefined {
  if (!files) return undefined;
  const sizes = ['1k', '20k', '250k'] as const;
  return {
    title: 'Keeping a change of three files',
    subtitle: 'by files in the repository; logarithmic scale',
    scale: 'log',
    bars: sizes.flatMap((size) => [
      {
        label: `Turntable, ${size}`,
        value: files.changeMs[size],
        shown: ms(files.changeMs[size]),
        ours: true,
      },
      {
        label: `shadow git, ${size}`,
        value: files.shadowGitMs[size],
        shown: ms(files.shadowGitMs[size]),
        ours: false,
      },
    ]),
  };
}

function overheadPanel({ inspector }: PartialFigures): Panel | undefined {
  const overhead = inspector?.overhead;
  if (!overhead) return undefined;
  const bar = (label: string, ratio: number, aim = 0.02): Bar => ({
    ...{ label, value: Math.max(0, ratio - 1), ours: true, aim },
    shown: percentAdded(ratio - 1),
  });
  return {
    title: 'What watching costs',
    subtitle: 'CPU time that BPF adds to the same work; marks: the aims',
    scale: 'linear',
    most: Math.max(0.04, ...Object.values(overhead).map((ratio) => (ratio - 1) * 1.05)),
    bars: [
      bar('git clone', overhead.gitClone),
      bar('untar', overhead.untar),
      bar('find', overhead.find),
      bar('C build', overhead.cBuild),
      bar('npm install', overhead.npmInstall),
      bar('outside a sandbox', overhead.outside, 0.01),
    ],
  };
}

function addedPanel({ time, colocation }: PartialFigures): Panel | undefined {
  const bars: Bar[] = [];
  const add = (label: string, aim: number, unscaled: number, scale: number, scaled: number): void => {
    const measured = [[`${label}, × ${scale}`, scaled]] as const;
    for (const [words, value] of scale === 1
      ? ([[label, scaled]] as const)
      : ([...measured, [`${label}, × 1`, unscaled]] as const))
      bars.push({ label: words, value: Math.max(0, value), shown: percentAdded(value), ours: true, aim });
  };
  if (time) add('one session', 0.019, time.unscaled.addedRatio, time.thinkScale, time.addedRatio);
  if (colocation) {
    const { sandboxes, addedRatioUnscaled, timeScale, addedRatio } = colocation;
    add(`${sandboxes} at once`, 0.01, addedRatioUnscaled, timeScale, addedRatio);
  }
  if (bars.length === 0) return undefined;
  const allReal = (time?.thinkScale ?? 1) === 1 && (colocation?.timeScale ?? 1) === 1;
  return {
    title: 'What it adds to a task',
    subtitle: allReal
      ? 'time, with a model as slow as real ones; marks: the aims'
      : 'time, by length of the model’s waits (× 1: reckoned); marks: the aims',
    scale: 'linear',
    most: Math.max(0.02, ...bars.map((each) => each.value * 1.05)),
    bars,
  };
}

function peersPanel({ details }: ChartData): Panel | undefined {
  const measured = peersDetails.safeParse(details?.['peers']).data?.peers;
  if (!measured) return undefined;
  const short = (name: string): string => name.replace(' style', '').replace('--reflink=auto', 'reflink');
  return {
    title: 'Bytes for each small turn',
    subtitle: 'three files changed, a dev server running; logarithmic scale',
    scale: 'log',
    bars: measured.map(({ name, bytes }, index) => ({
      label: short(name),
      value: Math.max(1, bytes),
      shown: formatSize(bytes),
      ours: index === 0,
    })),
  };
}
