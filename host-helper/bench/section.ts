/** What a part of the benchmark is: a name to choose it by, and a measurement that gives figures, details and tables. */

import type { PartialFigures } from './result.ts';

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  /** What a reader has to know to read it; a line or two. */
  readonly note?: string;
}

export interface Measured {
  readonly figures: PartialFigures;
  /** Plain data, for `details` of bench.json. */
  readonly details: unknown;
  readonly tables: readonly Table[];
  /** What a whole run does and this quick one did not, in words. */
  readonly leftOut?: string;
}

export interface SectionContext {
  /** Fresh, the section's own; removed when the whole run is over. */
  readonly directory: string;
  readonly quick: boolean;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Section {
  readonly name: string;
  readonly text: string;
  run(context: SectionContext): Promise<Measured>;
}
