/**
 * Makes processes that are stopped (Ctrl-Z, SIGSTOP, a terminal's SIGTTIN) fit for a dump. CRIU seizes what it writes down, and a seized
 * process has to leave its stop for that, which the first version's freezer does not let it do: CRIU would wait until the sandbox thaws.
 * A stop that is still to come is no hindrance: CRIU finds the pending signal, writes the process down as stopped and leaves it so.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxCgroup } from '../sandbox.ts';

/** Of a frozen sandbox: those that are stopped are told to go on and, before they can, to stop. */
export async function postponeStops(cgroup: SandboxCgroup): Promise<void> {
  for (const pid of await processesOf(cgroup.path)) {
    if (!(await isStopped(pid))) continue;
    try {
      // The later signal takes the place of the one before it: no handler of a SIGCONT runs.
      process.kill(pid, 'SIGCONT');
      process.kill(pid, 'SIGSTOP');
    } catch (error) {
      // Killed meanwhile, and gone.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}

async function processesOf(directory: string): Promise<number[]> {
  const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
  const pids = text
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries)
    if (entry.isDirectory()) pids.push(...(await processesOf(join(directory, entry.name))));
  return pids;
}

/** Frozen by the first version of control groups it shows as asleep, and only where it waits tells. */
async function isStopped(pid: number): Promise<boolean> {
  const tasks = `/proc/${pid}/task`;
  for (const thread of await readdir(tasks).catch(() => [])) {
    const status = await readFile(join(tasks, thread, 'status'), 'utf8').catch(() => '');
    if (/^State:\s*T/m.test(status)) return true;
    const waits = await readFile(join(tasks, thread, 'wchan'), 'utf8').catch(() => '');
    if (waits === 'do_signal_stop') return true;
  }
  return false;
}
