/**
 * How long BPF programs ran, by the kernel's own account (kernel.bpf_stats_enabled, proc(5) fdinfo). What the kernel does to get into a
 * program and out of it is not in it: tens of nanoseconds each.
 */

import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const statistics = '/proc/sys/kernel/bpf_stats_enabled';

/** Lets the kernel keep account until disposed of; then it is as it was before. */
export async function keepBpfAccount(): Promise<AsyncDisposable> {
  const before = await readFile(statistics, 'utf8');
  await writeFile(statistics, '1');
  return { [Symbol.asyncDispose]: async () => writeFile(statistics, before) };
}

/** Milliseconds that the programs held by a process have run while account was kept. */
export async function bpfMsOf(pid: number): Promise<number> {
  // A program may be held more than once.
  const nsById = new Map<string, number>();
  for (const file of await readdir(`/proc/${pid}/fd`)) {
    if ((await readlink(`/proc/${pid}/fd/${file}`).catch(() => '')) !== 'anon_inode:bpf-prog') continue;
    const text = await readFile(`/proc/${pid}/fdinfo/${file}`, 'utf8').catch(() => '');
    const id = /^prog_id:\s*(\d+)$/m.exec(text)?.[1];
    const ns = /^run_time_ns:\s*(\d+)$/m.exec(text)?.[1];
    if (id !== undefined && ns !== undefined) nsById.set(id, Number(ns));
  }
  return nsById.values().reduce((sum, ns) => sum + ns, 0) / 1e6;
}

/** The children of this process that execute a file. */
export async function childrenExecuting(path: string): Promise<number[]> {
  const found: number[] = [];
  for (const thread of await readdir('/proc/self/task')) {
    const children = await readFile(join('/proc/self/task', thread, 'children'), 'utf8');
    for (const pid of children.split(' ').filter((word) => word !== '')) {
      if ((await readlink(`/proc/${pid}/exe`).catch(() => '')) === path) found.push(Number(pid));
    }
  }
  return found;
}
