/**
 * The plain root file system of a sandbox: links for a merged /usr, empty mount points, its own /tmp and /run, and the supervisor.
 * Everything else is mounted over it.
 */
import { chmod, copyFile, lstat, mkdir, readlink, rename, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { supervisorDirectory, supervisorProgram } from './layout.ts';

const links = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const mountPoints = ['proc', 'sys', 'dev', 'usr', 'etc', 'var', 'opt', 'srv', 'mnt', 'media'];

/** Makes what is missing. With `withSupervisor` the program is the current one; a restore must find the one that was dumped. */
export async function ensureRootfs(
  rootfs: string,
  supervisorPath: string,
  withSupervisor: boolean,
): Promise<void> {
  await mkdir(rootfs, { recursive: true, mode: 0o755 });
  for (const name of links) await copyLink(name, rootfs);
  for (const name of [...mountPoints, 'home']) await ensureDirectory(join(rootfs, name), 0o755);
  await ensureDirectory(join(rootfs, 'root'), 0o700);
  await ensureDirectory(join(rootfs, 'tmp'), 0o1777);
  await ensureDirectory(join(rootfs, 'run'), 0o755);
  await ensureDirectory(join(rootfs, 'run/lock'), 0o1777);
  await ensureDirectory(join(rootfs, supervisorDirectory), 0o755);
  const program = join(rootfs, supervisorProgram);
  if (withSupervisor || !(await exists(program))) await installProgram(supervisorPath, program);
}

/** A mount point at any depth; parents that exist stay as they are. */
export async function ensureMountPoint(rootfs: string, path: string): Promise<void> {
  await mkdir(join(rootfs, path), { recursive: true, mode: 0o755 });
}

/** The host's own layout decides: a link stays a link, a real /bin (not merged) cannot be offered without an overlay and is left out. */
async function copyLink(name: string, rootfs: string): Promise<void> {
  const target = await readlink(`/${name}`).catch(() => undefined);
  if (target === undefined || (await exists(join(rootfs, name)))) return;
  await symlink(target.replace(/^\//, ''), join(rootfs, name));
}

async function ensureDirectory(path: string, mode: number): Promise<void> {
  if (await exists(path)) return;
  await mkdir(path);
  await chmod(path, mode);
}

/** Beside and over: a program that runs must not be written into. */
async function installProgram(source: string, target: string): Promise<void> {
  const [wanted, present] = await Promise.all([stat(source), stat(target).catch(() => undefined)]);
  if (present?.size === wanted.size && present.mtimeMs >= wanted.mtimeMs) return;
  await copyFile(source, `${target}.new`);
  await chmod(`${target}.new`, 0o755);
  await rename(`${target}.new`, target);
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
