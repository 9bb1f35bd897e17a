/**
 * A process that a later helper can recognize: its pid together with its start time, because pids are used again.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { z } from 'zod';

/** PF_EXITING of the kernel's flags (field 9 of proc(5) stat). */
const exitingFlag = 0x4;
/** SIGKILL, 9, in a mask of signals. */
const killMask = 1n << 8n;

export const processIdentitySchema = z.object({
  pid: z.int().positive(),
  /** Clock ticks since boot, field 22 of proc(5) stat. */
  startTicks: z.string(),
});

export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** Undefined when there is no such process, or only its zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name may hold anything, so count from its closing parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTicks = fields[19];
  if (startTicks === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks };
}

/** Whether exactly this process still lives. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identify(identity.pid))?.startTicks === identity.startTicks;
}

/** Whether it is gone or on its way: killed, though it may not have come to its end. */
export async function isEnding(identity: ProcessIdentity): Promise<boolean> {
  if (!(await isAlive(identity))) return true;
  const read = (file: string): Promise<string> =>
    readFile(`/proc/${identity.pid}/${file}`, 'utf8').catch(() => '');
  const [stat, status] = await Promise.all([read('stat'), read('status')]);
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  const pending = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)];
  return (
    (flags & exitingFlag) !== 0 || pending.some(([, mask = '0']) => (BigInt(`0x${mask}`) & killMask) !== 0n)
  );
}

/**
 * Whether a process runs under this user and in this namespace of pids. What runs in a sandbox, or under another user, can call
 * itself and its files what it likes, and is never one of ours.
 */
export async function isOfThisHost(pid: number | string): Promise<boolean> {
  const [own, its, status] = await Promise.all([
    readlink('/proc/self/ns/pid'),
    readlink(`/proc/${pid}/ns/pid`).catch(() => undefined),
    readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
  ]);
  return its === own && Number(/^Uid:\s*(\d+)/m.exec(status)?.[1]) === process.getuid?.();
}

/** Sends a signal when it is still that process. */
export async function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Waits until something holds, with a `nudge` now and then. Returns false when it does not at the limit. */
export async function waitUntil(
  holds: () => Promise<boolean>,
  limitMs: number,
  nudge: () => Promise<void>,
): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) return false;
    await nudge();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/** Whether a process has all of these words as arguments. */
export async function anyWith(words: readonly string[]): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.every((word) => argv.includes(word))) return true;
  }
  return false;
}
