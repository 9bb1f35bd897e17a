/**
 * Puts together what a turn did, as clients are shown it: bounded lists, sandbox pids and paths, the agent's own
 * book-keeping marked. Pure.
 */

import {
  limits,
  type ChangedPath,
  type Effects,
  type Executed,
  type ReachedHost,
  type Survivor,
} from '../protocol/state.ts';
import type { FileChange } from '../store/store.ts';
import type { LiveProcess, Observation } from './sentry.ts';
import type { Prints } from './prints.ts';

export interface EffectsInput {
  readonly observation: Observation;
  readonly changes: readonly FileChange[];
  readonly isAgentState: (path: string) => boolean;
  readonly survivors: readonly LiveProcess[];
  /** As the last image holds them; undefined when there is none. */
  readonly versioned: Prints | undefined;
  readonly portsByPid: ReadonlyMap<number, readonly number[]>;
  /** Host pids (with start) that were survivors when the turn before was closed. */
  readonly known: ReadonlySet<string>;
  readonly keyOf: (process: LiveProcess) => string;
  readonly network: readonly ReachedHost[];
  readonly uncertain: readonly string[];
  /** Why processes count as changed. */
  readonly processChanges: readonly string[];
}

export function buildEffects(input: EffectsInput): Effects {
  const changes = shownChanges(input.changes, input.isAgentState);
  const own = changes.filter((change) => change.agentState !== true);
  return {
    files: {
      added: own.filter((each) => each.change === 'added').length,
      changed: own.filter((each) => each.change === 'changed').length,
      removed: own.filter((each) => each.change === 'removed').length,
      // The developer's files first; book-keeping last, where a long list is cut.
      entries: [...own, ...changes.filter((each) => each.agentState === true)].slice(0, limits.changedPaths),
      truncated: changes.length > limits.changedPaths,
    },
    processes: {
      survivors: input.survivors.map((process) => shownSurvivor(process, input)),
      executed: executedOf(input.observation),
      executedCount: input.observation.executedCount,
    },
    network: [...input.network],
    uncertain: [...input.uncertain],
    droppedEvents: input.observation.dropped,
    reasons: reasonsOf(input, own),
  };
}

/** Doubts first, then processes, then files by their roots: what is cut off says less. */
function reasonsOf(input: EffectsInput, own: readonly ChangedPath[]): string[] {
  const shown = new Set(own.map((change) => change.path));
  const byRoot = new Map<string, number>();
  for (const { root, path } of input.changes)
    if (shown.has(path)) byRoot.set(root, (byRoot.get(root) ?? 0) + 1);
  const files = [...byRoot].map(
    ([root, count]) => `${count} ${count === 1 ? 'path' : 'paths'} changed in ${root}`,
  );
  const all = [...input.uncertain, ...input.processChanges, ...files];
  if (all.length <= limits.reasons) return all;
  return [...all.slice(0, limits.reasons - 1), `and ${all.length - limits.reasons + 1} more`];
}

/** A store's changes as clients are shown them. */
export function shownChanges(
  changes: readonly FileChange[],
  isAgentState: (path: string) => boolean,
): ChangedPath[] {
  return changes.map((change) => ({
    path: change.path,
    change: change.change,
    kind: change.kind,
    sizeBytes: change.sizeBytes,
    ...(isAgentState(change.path) ? { agentState: true } : {}),
  }));
}

function shownSurvivor(process: LiveProcess, input: EffectsInput): Survivor {
  return {
    pid: process.sandboxPid,
    command: shortened(process.argv.length > 0 ? process.argv.join(' ') : process.program),
    ports: [...(input.portsByPid.get(process.pid) ?? [])],
    startedInTurn: !input.known.has(input.keyOf(process)),
    ran: input.versioned?.get(input.keyOf(process))?.runCount !== process.runCount,
  };
}

function executedOf(observation: Observation): Executed[] {
  const exitCodes = new Map(observation.exits.map((exit) => [exit.pid, exit.exitCode]));
  return observation.executed.slice(0, limits.executed).map((event) => {
    const exitCode = exitCodes.get(event.pid);
    return {
      program: event.program,
      argv: event.argv.slice(0, limits.argvShown).map(shortened),
      ...(exitCode === undefined ? {} : { exitCode }),
    };
  });
}

function shortened(text: string): string {
  return text.length > limits.argShownChars ? `${text.slice(0, limits.argShownChars - 1)}…` : text;
}
