/**
 * The host's mount table as the kernel tells it, and unmounting. Knows nothing of sandboxes.
 */
import { readFile } from 'node:fs/promises';
import { isWithin } from './layout.ts';
import { runCommand, tryCommand } from './command.ts';

export interface MountEntry {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** All mounts of this mount namespace, in the kernel's order. */
export async function readMounts(): Promise<MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Parses proc(5) mountinfo. Lines that are not understood are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [head, tail] = line.split(' - ', 2);
    const target = head?.split(' ')[4];
    const [type, source, options] = tail?.split(' ') ?? [];
    if (target === undefined || type === undefined || source === undefined) continue;
    entries.push({
      target: unescape(target),
      type,
      source: unescape(source),
      options: (options ?? '').split(','),
    });
  }
  return entries;
}

/** Unmounts everything at or below a directory, topmost first; lazily where a process on the host still holds it. */
export async function unmountBelow(directory: string): Promise<void> {
  const targets = (await readMounts())
    .map((entry) => entry.target)
    .filter((target) => isWithin(target, directory))
    .reverse();
  for (const target of targets) await unmount(target);
}

/** Unmounts all of them with one command. False when at least one is still held. */
export async function unmountTogether(targets: readonly string[]): Promise<boolean> {
  return (await tryCommand('umount', ['--no-canonicalize', ...targets])).code === 0;
}

/** Unmounts the topmost mount at a path. Returns false when it had to stay attached to its holders (lazy). */
export async function unmount(target: string): Promise<boolean> {
  const result = await tryCommand('umount', ['--no-canonicalize', target]);
  if (result.code === 0) return true;
  await runCommand('umount', ['--no-canonicalize', '--lazy', target]);
  return false;
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
