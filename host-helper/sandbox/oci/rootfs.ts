/**
 * The plain root file system of a sandbox: links for a merged /usr, empty mount points, its own /tmp and /run, and the supervisor.
 * Everything else is mounted over it. What runs in the sandbox is root there and may have put a link in the place of any of these;
 * followed here, on the host, it would lead anywhere. So nothing is followed: what is not ours is moved aside. Call only while the
 * sandbox is down: one that runs could swap what was looked at for something else.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, lstat, mkdir, open, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { supervisorDirectory, supervisorProgram } from './layout.ts';

const links = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const mountPoints = ['proc', 'sys', 'dev', 'usr', 'etc', 'var', 'opt', 'srv', 'mnt', 'media'];

/** Makes what is missing, and makes the supervisor the current one. */
export async function ensureRootfs(rootfs: string, supervisorPath: string): Promise<void> {
  await mkdir(rootfs, { recursive: true, mode: 0o755 });
  for (const name of links) await copyLink(name, rootfs);
  for (const name of [...mountPoints, 'home']) await ensureDirectory(join(rootfs, name), 0o755);
  await ensureDirectory(join(rootfs, 'root'), 0o700);
  await ensureDirectory(join(rootfs, 'tmp'), 0o1777);
  await ensureDirectory(join(rootfs, 'run'), 0o755);
  await ensureDirectory(join(rootfs, 'run/lock'), 0o1777);
  await ensureDirectory(join(rootfs, supervisorDirectory), 0o755);
  await installProgram(supervisorPath, join(rootfs, supervisorProgram));
}

/** A mount point at any depth; directories that exist stay as they are. */
export async function ensureMountPoint(rootfs: string, path: string): Promise<void> {
  let place = rootfs;
  for (const [depth, name] of path.split('/').filter(Boolean).entries()) {
    place = join(place, name);
    // Ours: it was just made to be what the host has, and stays within.
    if (depth === 0 && links.includes(name) && (await readlink(place).catch(() => undefined)) !== undefined)
      continue;
    await ensureDirectory(place, 0o755);
  }
}

/** The host's own layout decides: a link stays a link, a real /bin (not merged) cannot be offered without an overlay and is left out. */
async function copyLink(name: string, rootfs: string): Promise<void> {
  const target = (await readlink(`/${name}`).catch(() => undefined))?.replace(/^\//, '');
  const place = join(rootfs, name);
  if (target === undefined || (await readlink(place).catch(() => undefined)) === target) return;
  await moveAside(place);
  await symlink(target, place);
}

async function ensureDirectory(path: string, mode: number): Promise<void> {
  if ((await lstat(path).catch(() => undefined))?.isDirectory()) return;
  await moveAside(path);
  await mkdir(path);
  await setMode(path, constants.O_DIRECTORY, mode);
}

/** Of the thing itself, as the umask would not have it; never of what a link in its place names. */
async function setMode(path: string, kind: number, mode: number): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | kind);
  try {
    await handle.chmod(mode);
  } finally {
    await handle.close();
  }
}

/** Beside and over: a program that runs must not be written into. */
async function installProgram(source: string, target: string): Promise<void> {
  const [wanted, present] = await Promise.all([stat(source), lstat(target).catch(() => undefined)]);
  if (present?.isFile() && present.size === wanted.size && present.mtimeMs >= wanted.mtimeMs) return;
  const fresh = `${target}.new`;
  await rm(fresh, { recursive: true, force: true });
  await copyFile(source, fresh, constants.COPYFILE_EXCL);
  await setMode(fresh, constants.O_NONBLOCK, 0o755);
  if (present?.isDirectory()) await moveAside(target);
  await rename(fresh, target);
}

/** Keeps what stands in the way of something of ours, under another name. */
async function moveAside(path: string): Promise<void> {
  if (await exists(path)) await rename(path, `${path}.moved-${randomBytes(4).toString('hex')}`);
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
