/**
 * What is remembered of processes, to tell later whether anything of them has changed: that they did not run, and that nobody
 * reached into them meanwhile. When in doubt they have changed. Pure.
 */

import type { LiveProcess, Observation, ProcessState } from './sentry.ts';
import { processKey, type ProcessKey } from './survivors.ts';

/** A process at one time. */
export interface ProcessPrint {
  /** For a person: `node (pid 12)`. */
  readonly name: string;
  readonly runCount: bigint;
  /** Undefined when it was not asked for, or could not be read: then nobody can say that it is unchanged. */
  readonly state: ProcessState | undefined;
}

export type Prints = ReadonlyMap<ProcessKey, ProcessPrint>;

/** What happened in the sandbox besides, that may have changed a process which did not run. */
export type Meanwhile = Pick<Observation, 'reached'>;

const nameChars = 60;

export function printsOf(processes: readonly LiveProcess[], states: readonly ProcessState[] = []): Prints {
  const byKey = new Map(states.map((state) => [processKey(state), state]));
  return new Map(
    processes.map((process) => {
      const key = processKey(process);
      return [key, { name: nameOf(process), runCount: process.runCount, state: byKey.get(key) }];
    }),
  );
}

/** Whether the same processes live and none of them was scheduled: only then it matters what others did to them. */
export function noneRan(before: Prints | undefined, now: Prints): boolean {
  return (
    before?.size === now.size &&
    [...now].every(([key, print]) => before.get(key)?.runCount === print.runCount)
  );
}

/** Why processes are not as they were, in words; empty when nothing of them has changed. */
export function changesSince(before: Prints | undefined, now: Prints, meanwhile: Meanwhile): string[] {
  const reasons: string[] = [];
  const unknown: string[] = [];
  for (const [key, print] of now) {
    const old = before?.get(key);
    if (!old) reasons.push(`${print.name} outlived the turn`);
    else if (old.runCount !== print.runCount) reasons.push(`${print.name} ran`);
    else if (print.state && old.state)
      reasons.push(...reached(print.name, print.state, old.state, meanwhile));
    else unknown.push(`${print.name} could not be looked at`);
  }
  for (const [key, print] of before ?? []) if (!now.has(key)) reasons.push(`${print.name} has ended`);
  // Where another reason is there already nobody has looked, because it would change nothing.
  return reasons.length > 0 ? reasons : unknown;
}

/** Whether an image made when the processes were `version` still serves for them as they are now. */
export function stillDescribes(version: Prints | undefined, now: Prints, meanwhile: Meanwhile): boolean {
  if (!version || changesSince(version, now, meanwhile).length > 0) return false;
  // A file that has another name or size by now cannot be opened again as the image says.
  return [...now].every(([key, print]) => version.get(key)?.state?.files === print.state?.files);
}

/** What may have been done to a process that did not run. */
function reached(name: string, now: ProcessState, old: ProcessState, meanwhile: Meanwhile): string[] {
  const reasons: string[] = [];
  if (now.own !== old.own)
    reasons.push(
      `something that others can change of ${name} has changed (signals, descriptors, limits, shared memory, deleted files)`,
    );
  if (now.uncertain) reasons.push(`others may have changed what ${name} shares with them`);
  if (meanwhile.reached > 0) reasons.push(`memory was written through /proc, perhaps that of ${name}`);
  return reasons;
}

function nameOf(process: LiveProcess): string {
  const command = process.argv[0] ?? process.program;
  const last = command.slice(command.lastIndexOf('/') + 1) || command;
  return `${last.slice(0, nameChars)} (pid ${process.sandboxPid})`;
}
