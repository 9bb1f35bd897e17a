/** Tells when a sandbox has come to rest, by the processor time of its control group. Knows nothing of agents or turns. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const sampleMs = 100;
/** What a program that blinks a cursor uses in one sample at most. */
const idleUsec = 3_000;
const idleSamples = 2;

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
    idle = now !== undefined && before !== undefined && now - before <= idleUsec ? idle + 1 : 0;
    before = now;
  }
}

/** Undefined where the kernel does not tell. */
async function usageUsec(cgroupPath: string): Promise<number | undefined> {
  const text = await readFile(join(cgroupPath, 'cpu.stat'), 'utf8').catch(() => '');
  const found = /^usage_usec (\d+)$/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}
