/**
 * The decision that everything else serves: what must the checkpoint of this turn hold? Pure, so that every rule can be
 * tested as a sentence. It never answers `none` when the inspector was unsure.
 */

import type { EffectClass } from '../protocol/state.ts';
import type { LiveProcess, Observation } from './sentry.ts';
import { ranSince, type RunCounts } from './survivors.ts';

export interface ClassifyInput {
  readonly observation: Observation;
  /** Names by the root numbers the watch used. */
  readonly rootNames: readonly string[];
  readonly hintsComplete: boolean;
  readonly survivors: readonly LiveProcess[];
  /** Survivors of the last process version; undefined when there is none. */
  readonly versioned: RunCounts | undefined;
  /** Open files of the last process version still have the size it expects. */
  readonly imageStillFits: boolean;
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
  const mapped = observation.live.some((process) => process.sharedWritableMapping);
  // A store into a page that is already dirty raises no event at all: only freeze, flush, scan is exact.
  if (mapped) for (const name of input.rootNames) dirtyRoots.add(name);

  return {
    dirtyRoots,
    freeze: survivors.length > 0 || mapped,
    sync: mapped,
    processes: planProcesses(input),
    uncertain,
  };
}

function planProcesses(input: ClassifyInput): Plan['processes'] {
  if (input.survivors.length === 0) return 'none';
  const { versioned } = input;
  if (
    !versioned ||
    !input.imageStillFits ||
    input.alsoUncertain.length > 0 ||
    input.observation.dropped > 0
  ) {
    return 'dump';
  }
  const same = versioned.size === input.survivors.length;
  return same && !input.survivors.some((process) => ranSince(process, versioned)) ? 'keep' : 'dump';
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
