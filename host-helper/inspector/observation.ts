/** Arithmetic on observations: a turn may take several fences (at the boundary, while frozen, after the thaw). Pure. */

import type { Observation } from './sentry.ts';

/** One observation that says what both said; `later` supplies the live processes. */
export function mergeObservations(earlier: Observation | undefined, later: Observation): Observation {
  if (!earlier) return later;
  const roots = new Map(earlier.roots.map((root) => [root.root, root]));
  for (const root of later.roots) {
    const before = roots.get(root.root);
    roots.set(
      root.root,
      before
        ? {
            root: root.root,
            dirty: before.dirty || root.dirty,
            inodes: [...new Set([...before.inodes, ...root.inodes])],
            overflow: before.overflow || root.overflow,
          }
        : root,
    );
  }
  return {
    roots: [...roots.values()],
    unassigned: earlier.unassigned + later.unassigned,
    executed: [...earlier.executed, ...later.executed],
    executedCount: earlier.executedCount + later.executedCount,
    exits: [...earlier.exits, ...later.exits],
    forkCount: earlier.forkCount + later.forkCount,
    live: later.live,
    dropped: earlier.dropped + later.dropped,
    reached: earlier.reached + later.reached,
  };
}

/** The same, without what a turn that is already published has told: kept are doubts and dirt only. */
export function carriedOver(observation: Observation): Observation {
  return { ...observation, executed: [], executedCount: 0, exits: [], forkCount: 0 };
}
