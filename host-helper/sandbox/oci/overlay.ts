/**
 * Mounts overlays. Asks for everything that checkpoints need and takes less, visibly, where the file systems below refuse.
 * Knows nothing of what the roots mean.
 */
import { mkdir } from 'node:fs/promises';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import { runCommand } from './command.ts';
import { readMounts } from './mount-table.ts';

export interface OverlayMount {
  /** Topmost first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  /** The work directory is new: what tied the upper to an earlier one has to go. */
  readonly fresh: boolean;
}

/**
 * Best first. nfs_export lets CRIU find watched files again by handle (and needs index); redirect_dir lets a program rename a directory
 * of the lower; without them watchers cannot be dumped and such renames become copies.
 */
const attempts = [
  'index=on,nfs_export=on,redirect_dir=on,metacopy=off',
  'redirect_dir=on,metacopy=off',
  '',
] as const;

/**
 * Mounts several in one go. Returns for each why it was not mounted, or undefined; throws `sandboxFailed` when nothing could be tried.
 */
export async function mountOverlays(
  supervisorPath: string,
  mounts: readonly OverlayMount[],
  logger: Logger,
): Promise<(TurntableError | undefined)[]> {
  if (mounts.length === 0) return [];
  await Promise.all(
    mounts.flatMap((mount) =>
      [mount.upper, mount.work, mount.target].map((path) => mkdir(path, { recursive: true })),
    ),
  );
  const argv = mounts.flatMap((mount) => [mount.target, mount.fresh ? mount.upper : '', placesOf(mount)]);
  const words = await runCommand(supervisorPath, ['overlay', String(attempts.length), ...attempts, ...argv]);
  const lines = words.trimEnd().split('\n');
  await warnOfLess(mounts, logger);
  return mounts.map((mount, index) => {
    const line = lines[index] ?? '-1 0 it said nothing';
    if (!line.startsWith('-1 ')) return undefined;
    return new TurntableError(
      'sandboxFailed',
      `Cannot mount an overlay over ${mount.lowers.join(', ')}: ${line.replace(/^-1 \d+ /, '')}. Check that the kernel has overlayfs and that the state directory is on a file system with extended attributes (ext4, xfs, btrfs).`,
    );
  });
}

function placesOf(mount: OverlayMount): string {
  return [
    `lowerdir=${mount.lowers.map(escapeLower).join(':')}`,
    `upperdir=${escapeOption(mount.upper)}`,
    `workdir=${escapeOption(mount.work)}`,
  ].join(',');
}

/** Whether a failure means that the upper or work directory belongs to another mount: one that is still held, or one of another lower. */
export function isHeld(words: string): boolean {
  return /busy|stale file handle/i.test(words);
}

/** The kernel may mount with less than was asked for: read what it really did. */
async function warnOfLess(mounts: readonly OverlayMount[], logger: Logger): Promise<void> {
  const table = await readMounts();
  for (const mount of mounts) {
    const entry = table.findLast((candidate) => candidate.target === mount.target);
    if (!entry || entry.options.includes('nfs_export=on')) continue;
    logger.warn(
      'this folder can only be overlaid without file handles: programs that watch files will not be dumped',
      {
        lowers: mount.lowers,
        options: entry.options.filter((option) =>
          ['index=on', 'nfs_export=on', 'redirect_dir=on'].includes(option),
        ),
      },
    );
  }
}

/** Colons separate lowers, commas separate options, and both may be in a folder's name. */
export function escapeLower(path: string): string {
  return escapeOption(path.replace(/[\\:]/g, '\\$&'));
}

function escapeOption(path: string): string {
  return path.replaceAll(',', '\\,');
}
