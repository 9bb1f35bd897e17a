/**
 * Removes what dead helpers left under one state directory: containers, door processes, network namespaces, cgroups and mounts of sandboxes
 * that nobody keeps, and what a probe left. Directories of sessions stay: they are the session's business. Nothing of another state
 * directory is touched.
 */
import { join } from 'node:path';
import type { Logger } from '../../log.ts';
import { listCgroups, removeCgroup } from './cgroup.ts';
import { closeDoors, findDoors } from './doors.ts';
import { cgroupParent, isWithin, netnsPrefix, ownerOf } from './layout.ts';
import { readMounts, unmount } from './mount-table.ts';
import { runCommand } from './command.ts';
import { probesIn } from './left-running.ts';
import { deleteNetns, listNetns } from './netns.ts';
import { removeHiddenLayers } from './roots.ts';
import type { Runc } from './runc.ts';

export interface SweepRequest {
  readonly stateDirectory: string;
  readonly runc: Runc;
  readonly logger: Logger;
  /** Ids of sandboxes that stay. */
  readonly keep: ReadonlySet<string>;
}

export async function sweepHost(request: SweepRequest): Promise<void> {
  const { stateDirectory, runc, logger, keep } = request;
  const owner = ownerOf(stateDirectory);
  const prefix = netnsPrefix(owner);
  const removed: string[] = [];

  for (const id of await runc.list()) {
    if (keep.has(id)) continue;
    await runc.remove(id);
    removed.push(`container ${id}`);
  }
  const netnsDirectory = '/run/netns/';
  for (const { netns, identity } of await findDoors(`${netnsDirectory}${prefix}`)) {
    if (keep.has(netns.slice(netnsDirectory.length + prefix.length))) continue;
    await closeDoors(identity);
    removed.push(`doors ${identity.pid}`);
  }
  for (const name of await listNetns(prefix)) {
    if (keep.has(name.slice(prefix.length))) continue;
    await deleteNetns(name);
    removed.push(`netns ${name}`);
  }
  for (const id of await listCgroups(cgroupParent(owner))) {
    if (keep.has(id)) continue;
    await removeCgroup(join(cgroupParent(owner), id));
    removed.push(`cgroup ${id}`);
  }
  if ((await listCgroups(cgroupParent(owner))).length === 0) await removeCgroup(cgroupParent(owner));
  for (const target of await orphanedMounts(stateDirectory, keep)) {
    await unmount(target);
    removed.push(`mount ${target}`);
  }
  for (const directory of await probesIn(stateDirectory)) {
    await runCommand('rm', ['-rf', '--one-file-system', directory]);
    removed.push(directory);
  }
  if (keep.size === 0) await removeHiddenLayers(stateDirectory);
  if (removed.length > 0) logger.info('removed what an earlier helper left', { removed });
}

/** Mounts below the state directory, topmost first, whose path names no sandbox that stays. */
async function orphanedMounts(stateDirectory: string, keep: ReadonlySet<string>): Promise<string[]> {
  return (await readMounts())
    .map((entry) => entry.target)
    .filter((target) => target !== stateDirectory && isWithin(target, stateDirectory))
    .filter((target) => !target.split('/').some((part) => keep.has(part)))
    .reverse();
}
