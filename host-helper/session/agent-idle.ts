/**
 * Tells when a sandbox has come to rest, by the processor time of its control group and the state of its threads. Knows nothing
 * of agents or turns.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const sampleMs = 100;
/** What a program that blinks a cursor uses in one sample at most. */
const idleUsec = 3_000;
const idleSamples = 3;

/**
 * Resolves when next to nothing has run for a moment, or after `capMs`: something in there may always be busy. Rejects when
 * `signal` aborts.
 */
export async function untilIdle(cgroupPath: string, capMs: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + capMs;
  let before = await usageUsec(cgroupPath);
  for (let idle = 0; idle < idleSamples && performance.now() < deadline;) {
    await sleep(sampleMs, undefined, { signal, ref: false });
    const now = await usageUsec(cgroupPath);
    const little = now !== undefined && before !== undefined && now - before <= idleUsec;
    idle = little && !(await someWouldRun(cgroupPath)) ? idle + 1 : 0;
    before = now;
  }
}

/** Undefined where the kernel does not tell. */
async function usageUsec(cgroupPath: string): Promise<number | undefined> {
  const text = await readFile(join(cgroupPath, 'cpu.stat'), 'utf8').catch(() => '');
  const found = /^usage_usec (\d+)$/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** On a busy host a thread may want to run for long before it gets to: that is no rest. Nor is waiting for the disk. */
async function someWouldRun(cgroupPath: string): Promise<boolean> {
  const pids = (await readFile(join(cgroupPath, 'cgroup.procs'), 'utf8').catch(() => '')).split('\n');
  for (const pid of pids.filter((each) => each !== '')) {
    for (const thread of await readdir(`/proc/${pid}/task`).catch((): string[] => [])) {
      const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => '');
      if (/\) [RD] /.test(stat)) return true;
    }
  }
  return false;
}
