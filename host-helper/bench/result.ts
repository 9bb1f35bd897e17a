/**
 * The shape of bench.json. Times are milliseconds (`holdBackP95` too), sizes bytes, shares 0 to 1. `overhead` is CPU with / CPU without
 * (1.02 is 2 % more); every `addedRatio` is added time / base time (0.01 is 1 %). What stands here is promised to whoever reads the
 * file; `details` may hold anything beside it.
 */

import { z } from 'zod';

const figure = z.number();
/** By number of files in the repository. */
const bySize = z.object({ '1k': figure, '20k': figure, '250k': figure });

/** Of the BPF programs alone. As `overhead`: CPU with / CPU without; as `programShare`: time within them / CPU with. */
export const overheadSchema = z.object({
  gitClone: figure,
  untar: figure,
  find: figure,
  cBuild: figure,
  npmInstall: figure,
  /** Work outside any sandbox while one is watched. */
  outside: figure,
});

/** What the labelled corpus says of the inspector. */
export const corpusSchema = z.object({
  turns: figure,
  falseNegatives: figure,
  nothingTurns: figure,
  /** Share of the nothing-turns, 0 to 1. */
  nothingRecognised: figure,
  decisionMs: z.object({ p50: figure, p95: figure }),
});

/** Shares of restored turns that equal the fault-free state. */
export const recoverySchema = z.object({
  ours: figure,
  filesOnly: figure,
  conversationOnly: figure,
  fullEveryTurn: figure,
});
/** `skipRate`: the share of turns that needed no checkpoint. */
/** `savedVsPlainImages`: what ours stored, against the images of full every turn kept as they were written. */
export const trafficSchema = z.object({
  savedVsFull: figure,
  savedVsPlainImages: figure.optional(),
  skipRate: figure,
});
/** With the model's waits times `thinkScale`; `unscaled` is the same work reckoned behind waits as long as real ones. */
export const timeSchema = z.object({
  addedRatio: figure,
  holdBackP95: figure,
  thinkScale: figure,
  unscaled: z.object({ addedRatio: figure, holdBackP95: figure }),
});

export const filesSchema = z.object({
  /** A change of three files, from the end of its turn until its checkpoint is published: medians. */
  changeMs: bySize,
  /** The same change committed to a repository beside the work tree, in the same run. */
  shadowGitMs: bySize,
  /** Of a change of three files, in 20k. */
  rewindMs: figure,
  rewindBySizeMs: bySize,
  /** After a first capture of a file of 1 GB, one page of it is changed. */
  onePageOf1GBStoredBytes: figure,
  onePageOf1GBMs: figure,
  /** The same change in 20k files, late in a session: after so many of them were changed, and at the so-manieth turn. */
  afterChanged: z.array(z.object({ files: figure, ms: figure })).min(1),
  atTurn: z.array(z.object({ turn: figure, ms: figure })).min(1),
});

/** Of files only, and of a session with a server that outlived its turn; `withProcesses` of `count` branches brought it back. */
export const branchSchema = z.object({
  oneMs: figure,
  marginalMs: figure,
  count: figure,
  survivor: z.object({ oneMs: figure, marginalMs: figure, withProcesses: figure }),
});
/** With the model's waits scaled by `timeScale`; `addedRatioUnscaled` is the same added time behind waits as long as real ones. */
export const colocationSchema = z.object({
  sandboxes: figure,
  addedRatio: figure,
  holdBackP95: figure,
  timeScale: figure,
  turnsCompared: figure,
  addedRatioUnscaled: figure,
});

/** The figures of a whole run. */
export const figuresSchema = z.object({
  inspector: corpusSchema.extend({ overhead: overheadSchema, programShare: overheadSchema.optional() }),
  recovery: recoverySchema,
  traffic: trafficSchema,
  time: timeSchema,
  files: filesSchema,
  branch: branchSchema,
  colocation: colocationSchema,
});

/** Of a run of some sections only, or one in which a section failed, the others stay. */
export const partialFiguresSchema = figuresSchema
  .extend({ inspector: figuresSchema.shape.inspector.partial() })
  .partial();

export const resultSchema = partialFiguresSchema.extend({
  startedAt: z.string(),
  tookMs: figure,
  quick: z.boolean(),
  /** As git describes it; ends in `-dirty` when files were changed, and is `unknown` where git is not. */
  commit: z.string(),
  /** How many runs brought these figures: more than one when `--only` added to it. */
  runs: figure,
  machine: z.object({ cpus: figure, memoryBytes: figure, kernel: z.string() }),
  sections: z.array(
    z.object({
      name: z.string(),
      tookMs: figure,
      error: z.string().optional(),
      /** What a whole run does and this one did not. */
      leftOut: z.string().optional(),
    }),
  ),
  /** By section: everything else it measured. */
  details: z.record(z.string(), z.unknown()),
});

export type Figures = z.infer<typeof figuresSchema>;
export type PartialFigures = z.infer<typeof partialFiguresSchema>;
export type BenchResult = z.infer<typeof resultSchema>;
export type SizeKey = keyof z.infer<typeof bySize>;

/** Two sections may each bring a part of the inspector's figures. */
export function mergeFigures(one: PartialFigures, other: PartialFigures): PartialFigures {
  const inspector = { ...one.inspector, ...other.inspector };
  return { ...one, ...other, ...(Object.keys(inspector).length > 0 ? { inspector } : {}) };
}

/** Whether figures of both may stand in one file: the same program, measured alike on the same machine. */
export function comparable(one: BenchResult, other: BenchResult): boolean {
  const known = !/^unknown$|-dirty$/.test(one.commit);
  const { machine: a } = one;
  const { machine: b } = other;
  const sameMachine = a.cpus === b.cpus && a.memoryBytes === b.memoryBytes && a.kernel === b.kernel;
  return known && sameMachine && one.commit === other.commit && one.quick === other.quick;
}

/** `before` with the sections that `added` measured in their place. What failed in `added` leaves what was there. */
export function withSections(before: BenchResult, added: BenchResult): BenchResult {
  const done = added.sections.filter(({ error }) => error === undefined);
  const names = new Set(done.map(({ name }) => name));
  const sections = [...before.sections.filter(({ name }) => !names.has(name)), ...done];
  return {
    ...before,
    ...added,
    ...mergeFigures(before, added),
    startedAt: before.startedAt,
    tookMs: sections.reduce((sum, { tookMs }) => sum + tookMs, 0),
    runs: before.runs + 1,
    sections,
    details: { ...before.details, ...added.details },
  };
}

/** Which figures a complete run would have and this one has not, as paths. */
export function missingFigures(result: PartialFigures): string[] {
  const { error } = figuresSchema.safeParse(result);
  return (error?.issues ?? []).map((issue) => issue.path.join('.'));
}
