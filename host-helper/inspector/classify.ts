/**
 * The decision that everything else serves: what must the checkpoint of this turn hold? Pure, so that every rule can be
 * tested as a sentence. It never answers `none` when the inspector was unsure.
 */

import type { EffectClass } from '../protocol/state.ts';
import type { Observation } from './sentry.ts';

export interface ClassifyInput {
  readonly observation: Observation;
  /** Names by the root numbers the watch used. */
  readonly rootNames: readonly string[];
  readonly hintsComplete: boolean;
  /** How many processes outlive the turn. */
  readonly survivors: number;
  /** Why they are not as they were at the last checkpoint; empty when nothing of them has changed. */
  readonly processChanges: readonly string[];
  /** The last image still serves for them. */
  readonly imageServes: boolean;
  /** One that ran since files were last captured has a writable shared mapping of a file. */
  readonly mapperRan: boolean;
  /** Reasons from outside the sentry (for example a restarted helper). */
  readonly alsoUncertain: readonly string[];
}

export interface Plan {
  /** Roots to look at; empty when hints prove that nothing changed. */
  readonly dirtyRoots: ReadonlySet<string>;
  /** Stand still while files are captured (someone may be writing). */
  readonly freeze: boolean;
  /** Flush the state file system first (stores through shared mappings). */
  readonly sync: boolean;
  /** `dump` the processes, `keep` the last image, or there are `none` worth keeping. */
  readonly processes: 'dump' | 'keep' | 'none';
  readonly uncertain: readonly string[];
  /** Why processes count as changed; the class follows from it. */
  readonly processChanges: readonly string[];
}

/** What to do before anything was captured. */
export function planCheckpoint(input: ClassifyInput): Plan {
  const { observation, survivors } = input;
  const uncertain = [...input.alsoUncertain];
  if (observation.dropped > 0) uncertain.push(`${observation.dropped} kernel events were lost`);
  // Not knowing which root a change belongs to makes every root dirty; the scan then tells, so nothing stays unsure.
  const lookEverywhere = uncertain.length > 0 || observation.unassigned > 0 || !input.hintsComplete;

  const dirtyRoots = new Set<string>();
  for (const [index, name] of input.rootNames.entries()) {
    const seen = observation.roots.find((root) => root.root === index);
    if (lookEverywhere || !seen || seen.dirty || seen.overflow) dirtyRoots.add(name);
  }
  // A store into a page that is already dirty raises no event at all: only freeze, flush, scan is exact.
  if (input.mapperRan) for (const name of input.rootNames) dirtyRoots.add(name);

  // Whoever was not seen may have reached into a process as well.
  const doubt =
    survivors > 0 && uncertain.length > 0 && input.processChanges.length === 0
      ? ['nobody can say that the processes are unchanged']
      : [];
  const processChanges = [...input.processChanges, ...doubt];
  return {
    dirtyRoots,
    // Those who sleep write nothing; whether they slept on is looked at afterwards.
    freeze: (survivors > 0 && processChanges.length > 0) || input.mapperRan,
    sync: input.mapperRan,
    processes: survivors === 0 ? 'none' : input.imageServes && doubt.length === 0 ? 'keep' : 'dump',
    uncertain,
    processChanges,
  };
}

export interface Outcome {
  /** Net changes that are not the agent's own book-keeping. */
  readonly changedPaths: number;
  /** Survivors now differ from those of the checkpoint before (started, ended or ran). */
  readonly processesChanged: boolean;
  readonly uncertain: readonly string[];
}

/** The class, once the net changes are known. */
export function classOf(outcome: Outcome): EffectClass {
  const files = outcome.changedPaths > 0 || outcome.uncertain.length > 0;
  if (outcome.processesChanged) return files ? 'full' : 'processes';
  return files ? 'files' : 'none';
}
