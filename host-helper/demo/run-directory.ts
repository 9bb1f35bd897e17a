/**
 * The directory of one unattended run: made fresh, and removed only when nothing is mounted below it any more. Removing
 * through a mount would reach what is mounted there.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { rootPrefix } from '../cli/launch.ts';

/** Not below /tmp: on many machines that is a tmpfs, where uppers cannot carry what overlayfs needs. */
export function makeRunDirectory(): Promise<string> {
  return mkdtemp('/var/tmp/turntable-once-');
}

/** Removes the directory. Throws with it whole, naming the mounts, when something is still mounted at or below it. */
export async function removeRunDirectory(directory: string): Promise<void> {
  const mounts = mountsBelow(directory, await readFile('/proc/self/mountinfo', 'utf8'));
  if (mounts.length > 0) {
    throw new Error(
      `${directory} is kept: ${mounts.length} mounts are left in it (${mounts[0] ?? ''} …). ` +
        'Its state/helper.log may say why; `umount` them, then remove it.',
    );
  }
  // The helper's state is root's. One file system: something mounted in between stays what it is.
  await promisify(execFile)('env', [...rootPrefix(), 'rm', '-rf', '--one-file-system', '--', directory]);
}

/** Mount points at or below `directory`, read from the text of a mountinfo file. */
export function mountsBelow(directory: string, mountinfo: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))))
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}
