/**
 * The control group of a sandbox: which directory it is (pure v2 or the hybrid layout), freezing through it, and removing what is left.
 * Limits are runc's business, through whatever controllers there are.
 */
import { mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TurntableError } from '../../protocol/errors.ts';
import type { SandboxCgroup } from '../sandbox.ts';
import { readMounts } from './mount-table.ts';

const freezeTimeoutMs = 10_000;

/** The cgroup2 directory that a process is in. Throws `unsupportedHost` when the host has no cgroup2. */
export async function cgroupOf(pid: number): Promise<SandboxCgroup> {
  const membership = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const path = /^0::(\/.*)$/m.exec(membership)?.[1];
  const mount = (await readMounts()).find((entry) => entry.type === 'cgroup2');
  if (path === undefined || mount === undefined) {
    throw new TurntableError(
      'unsupportedHost',
      'This host has no cgroup2 hierarchy. Mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) and start again.',
    );
  }
  const directory = join(mount.target, path);
  return { path: directory, id: (await stat(directory, { bigint: true })).ino };
}

/** Makes the cgroup2 directory before anything runs in it, so that it can be watched from the first program on; runc joins what is there. */
export async function reserveCgroup(cgroupsPath: string): Promise<SandboxCgroup> {
  const mount = (await readMounts()).find((entry) => entry.type === 'cgroup2');
  if (mount === undefined) {
    throw new TurntableError(
      'unsupportedHost',
      'This host has no cgroup2 hierarchy. Mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) and start again.',
    );
  }
  const directory = join(mount.target, cgroupsPath);
  await mkdir(directory, { recursive: true });
  return { path: directory, id: (await stat(directory, { bigint: true })).ino };
}

/** Stops or lets go everything in a cgroup2 directory and waits until the kernel says so. */
export async function setFrozen(cgroup: SandboxCgroup, frozen: boolean): Promise<void> {
  await writeFile(join(cgroup.path, 'cgroup.freeze'), frozen ? '1' : '0');
  const wanted = `frozen ${frozen ? 1 : 0}`;
  const deadline = Date.now() + freezeTimeoutMs;
  for (let pauseMs = 0; ; pauseMs = Math.min(20, pauseMs + 1)) {
    const events = await readFile(join(cgroup.path, 'cgroup.events'), 'utf8');
    if (events.includes(wanted)) return;
    if (Date.now() > deadline) {
      if (frozen) await writeFile(join(cgroup.path, 'cgroup.freeze'), '0');
      throw new TurntableError(
        'timedOut',
        `The sandbox did not ${frozen ? 'freeze' : 'thaw'} within ${freezeTimeoutMs} ms. A process in it waits inside the kernel; try again.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Sets how many processes there may be, in whichever hierarchy counts them. */
export async function limitProcesses(cgroupsPath: string, maxProcesses: number): Promise<void> {
  const mounts = (await readMounts()).filter((entry) => entry.type.startsWith('cgroup'));
  for (const { target } of mounts) {
    const path = join(target, cgroupsPath, 'pids.max');
    // Not every hierarchy has this controller; where runc could set the limit, this can.
    await writeFile(path, String(maxProcesses), { flag: 'r+' }).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    });
  }
}

/** Removes the empty directories of a cgroup path in every hierarchy; ones that still hold processes stay. */
export async function removeCgroup(cgroupsPath: string): Promise<void> {
  const mounts = (await readMounts()).filter((entry) => entry.type.startsWith('cgroup'));
  for (const { target } of mounts) {
    await removeTree(join(target, cgroupsPath));
    // The parent goes with its last child.
    if (cgroupsPath.lastIndexOf('/') > 0)
      await rmdir(join(target, dirname(cgroupsPath))).catch(() => undefined);
  }
}

/** Names of the directories below a cgroup path, over all hierarchies. */
export async function listCgroups(cgroupsPath: string): Promise<string[]> {
  const mounts = (await readMounts()).filter((entry) => entry.type.startsWith('cgroup'));
  const names = new Set<string>();
  for (const { target } of mounts) {
    for (const entry of await readdir(join(target, cgroupsPath), { withFileTypes: true }).catch(() => [])) {
      if (entry.isDirectory()) names.add(entry.name);
    }
  }
  return [...names];
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  await rmdir(directory).catch(() => undefined);
}
