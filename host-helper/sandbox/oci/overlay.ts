/**
 * Mounts one overlay. Asks for everything that checkpoints need and takes less, visibly, where the file systems below refuse.
 * Knows nothing of what the roots mean.
 */
import { mkdir } from 'node:fs/promises';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import { tryCommand } from './command.ts';
import { readMounts } from './mount-table.ts';

export interface OverlayMount {
  /** Topmost first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
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

/** Mounts and returns the options in effect that matter here. Throws `sandboxFailed` with the kernel's last words. */
export async function mountOverlay(mount: OverlayMount, logger: Logger): Promise<string[]> {
  await Promise.all([mount.upper, mount.work, mount.target].map((path) => mkdir(path, { recursive: true })));
  const places = [
    `lowerdir=${mount.lowers.map(escapeLower).join(':')}`,
    `upperdir=${escapeOption(mount.upper)}`,
    `workdir=${escapeOption(mount.work)}`,
  ].join(',');
  let words = '';
  for (const attempt of attempts) {
    const options = `nosuid,nodev${attempt ? `,${attempt}` : ''},${places}`;
    const result = await tryCommand('mount', [
      ...['--no-canonicalize', '--internal-only', '--make-private'],
      ...['-t', 'overlay', '-o', options, 'turntable', mount.target],
    ]);
    if (result.code === 0) return describe(mount, logger);
    words = result.stderr.trim();
    // Without an index it would mount, over an upper that another mount still writes to.
    if (isHeld(words)) break;
  }
  throw new TurntableError(
    'sandboxFailed',
    `Cannot mount an overlay over ${mount.lowers.join(', ')}: ${words}. Check that the kernel has overlayfs and that the state directory is on a file system with extended attributes (ext4, xfs, btrfs).`,
  );
}

/** Whether a failure means that the upper or work directory belongs to another mount: one that is still held, or one of another lower. */
export function isHeld(words: string): boolean {
  return /busy|stale file handle/i.test(words);
}

/** The kernel may mount with less than was asked for: read what it really did. */
async function describe(mount: OverlayMount, logger: Logger): Promise<string[]> {
  const entry = (await readMounts()).findLast((candidate) => candidate.target === mount.target);
  const options = (entry?.options ?? []).filter((option) =>
    ['index=on', 'nfs_export=on', 'redirect_dir=on'].includes(option),
  );
  if (!options.includes('nfs_export=on')) {
    logger.warn(
      'this folder can only be overlaid without file handles: programs that watch files will not be dumped',
      {
        lowers: mount.lowers,
        options,
      },
    );
  }
  return options;
}

/** Colons separate lowers, commas separate options, and both may be in a folder's name. */
export function escapeLower(path: string): string {
  return escapeOption(path.replace(/[\\:]/g, '\\$&'));
}

function escapeOption(path: string): string {
  return path.replaceAll(',', '\\,');
}
