/** Which figures the chart shows, in which words and on which scale. Pure; knows nothing of SVG. */

import { z } from 'zod';
import { formatSize } from '../cli/format/units.ts';
import type { PartialFigures } from './result.ts';
import { addedShare, ms, percent, percentAdded } from './summary.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** The value as people read it. */
  readonly shown: string;
  /** Turntable's, or of what stands beside it. */
  readonly ours: boolean;
}

export interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly scale: 'linear' | 'log';
  readonly bars: readonly Bar[];
  /** Length of the longest possible bar; the largest value when absent. */
  readonly most?: number;
  /** What is aimed at. */
  readonly aim?: { readonly value: number };
}

export interface ChartData extends PartialFigures {
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What the chart takes from the details, where it is there. */
const recoveryDetails = z.looseObject({ skipRate: z.number() });
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

function sharesPanel({ inspector, traffic, details }: ChartData): Panel | undefined {
  const bars: Bar[] = [];
  const skipped = recoveryDetails.safeParse(details?.['recovery']).data?.skipRate;
  if (skipped !== undefined)
    bars.push({ label: 'turns skipped', value: skipped, shown: percent(skipped), ours: true });
  if (
    inspector?.nothingRecognised !== undefined &&
    inspector.nothingTurns !== undefined &&
    inspector.nothingTurns > 0
  ) {
    const value = inspector.nothingRecognised / inspector.nothingTurns;
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
  const bar = (label: string, ratio: number): Bar => ({
    ...{ label, value: Math.max(0, ratio - 1), ours: true },
    shown: percentAdded(ratio),
  });
  return {
    title: 'What watching costs',
    subtitle: 'CPU time added to the same work; the line is 2 %',
    scale: 'linear',
    aim: { value: 0.02 },
    most: Math.max(0.04, ...Object.values(overhead).map((ratio) => (ratio - 1) * 1.05)),
    bars: [
      bar('git clone', overhead.gitClone),
      bar('untar', overhead.untar),
      bar('find', overhead.find),
      bar('C build', overhead.cBuild),
      bar('npm install', overhead.npmInstall),
      bar('outside a sandbox', overhead.outside),
    ],
  };
}

function addedPanel({ time, colocation }: PartialFigures): Panel | undefined {
  const bars: Bar[] = [];
  const bar = (label: string, value: number): Bar => ({
    ...{ label, value: Math.max(0, addedShare(value)), ours: true },
    shown: percentAdded(value),
  });
  if (time) bars.push(bar('one session', time.addedRatio));
  if (colocation) bars.push(bar(`${colocation.sandboxes} at once`, colocation.addedRatio));
  if (bars.length === 0) return undefined;
  return {
    title: 'What it adds to a task',
    subtitle: 'time until the agent is done; the line is 1 %',
    scale: 'linear',
    aim: { value: 0.01 },
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
