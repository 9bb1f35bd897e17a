/**
 * Tells the processes that a turn left behind from the sandbox's own furniture (supervisor, the agent itself, and what the
 * agent had started before its first request). Pure: it judges what the sentry listed.
 */

import type { LiveProcess } from './sentry.ts';

/** Names a process for as long as it lives: pids are used again, start times are not. */
export type ProcessKey = string;

export function processKey(process: Pick<LiveProcess, 'pid' | 'startTicks'>): ProcessKey {
  return `${process.pid}@${process.startTicks}`;
}

/**
 * Live processes that are nobody's furniture. `agentPid` is the agent's main process in the sandbox's pid namespace;
 * `furniture` holds what lived before the first turn. When in doubt a process is a survivor: the checkpoint gets bigger.
 */
export function survivorsAmong(
  live: readonly LiveProcess[],
  agentPid: number | undefined,
  furniture: ReadonlySet<ProcessKey>,
): LiveProcess[] {
  return live.filter(
    (process) =>
      process.sandboxPid !== 1 && process.sandboxPid !== agentPid && !furniture.has(processKey(process)),
  );
}
