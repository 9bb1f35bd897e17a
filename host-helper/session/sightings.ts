/**
 * What was seen of a turn's changes so far. It grows while the checkpoint is made, because what a fence has told is told only
 * once: a second try must know what the first one knew. Decides nothing.
 */

import { mergeObservations } from '../inspector/observation.ts';
import type { Observation } from '../inspector/sentry.ts';

export class Sightings {
  readonly #rootNames: readonly string[];
  readonly #dirty: Set<string>;
  readonly #hinted: Set<string>;
  /** Nothing but what was hinted has to be looked at. */
  readonly #hintsSuffice: boolean;
  #observation: Observation;

  /** `dirty` are the roots to look at, `hinted` those of them that hints named. */
  constructor(options: {
    readonly observation: Observation;
    readonly rootNames: readonly string[];
    readonly dirty: ReadonlySet<string>;
    readonly hinted: ReadonlySet<string>;
    readonly hintsSuffice: boolean;
  }) {
    this.#observation = options.observation;
    this.#rootNames = options.rootNames;
    this.#dirty = new Set(options.dirty);
    this.#hinted = new Set(options.hinted);
    this.#hintsSuffice = options.hintsSuffice;
  }

  get observation(): Observation {
    return this.#observation;
  }

  get dirty(): ReadonlySet<string> {
    return this.#dirty;
  }

  get hinted(): ReadonlySet<string> {
    return this.#hinted;
  }

  /** What has changed in each root, as far as it is known for certain; a root that is missing has to be looked at as a whole. */
  get inodes(): ReadonlyMap<string, readonly bigint[]> {
    const known = new Map<string, readonly bigint[]>();
    if (!this.#hintsSuffice || isBlind(this.#observation)) return known;
    for (const { root, inodes, overflow } of this.#observation.roots) {
      const name = this.#rootNames[root];
      if (name !== undefined && !overflow) known.set(name, inodes);
    }
    return known;
  }

  /** One more fence. */
  add(later: Observation): void {
    this.#observation = mergeObservations(this.#observation, later);
    for (const [index, name] of this.#rootNames.entries()) {
      if (!isBlind(later) && !later.roots.find((root) => root.root === index)?.dirty) continue;
      this.#dirty.add(name);
      this.#hinted.add(name);
    }
  }
}

/** Something was lost, or nobody knows where it belongs. */
function isBlind(seen: Observation): boolean {
  return seen.dropped > 0 || seen.unassigned > 0;
}
