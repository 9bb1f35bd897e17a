/**
 * The shape of bench.json. Ratios are plain numbers (1.02 is two per cent more), times are milliseconds, sizes bytes. What stands
 * here is promised to whoever reads the file; `details` may hold anything beside it.
 */

import { z } from 'zod';

const figure = z.number();
/** By number of files in the repository. */
const bySize = z.object({ '1k': figure, '20k': figure, '250k': figure });

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
export const trafficSchema = z.object({ savedVsFull: figure });
export const timeSchema = z.object({ addedRatio: figure, holdBackP95: figure });

export const filesSchema = z.object({
  /** Checkpoint of a change of three files: deciding and capturing, medians. */
  changeMs: bySize,
  /** The same change committed to a repository beside the work tree, in the same run. */
  shadowGitMs: bySize,
  rewindMs: figure,
  /** After a first capture of a file of 1 GB, one page of it is changed. */
  onePageOf1GBStoredBytes: figure,
});

export const branchSchema = z.object({ oneMs: figure, marginalMs: figure, count: figure });
export const colocationSchema = z.object({ sandboxes: figure, addedRatio: figure, holdBackP95: figure });

/** The figures of a whole run. */
export const figuresSchema = z.object({
  inspector: corpusSchema.extend({ overhead: overheadSchema }),
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
  machine: z.object({ cpus: figure, memoryBytes: figure, kernel: z.string() }),
  sections: z.array(z.object({ name: z.string(), tookMs: figure, error: z.string().optional() })),
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

/** Which figures a complete run would have and this one has not, as paths. */
export function missingFigures(result: PartialFigures): string[] {
  const { error } = figuresSchema.safeParse(result);
  return (error?.issues ?? []).map((issue) => issue.path.join('.'));
}
