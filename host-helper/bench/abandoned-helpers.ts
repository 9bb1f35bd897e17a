/** Takes down helpers that an interrupted or failed measurement left running, found by their lock files. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { turntable } from '../demo/helper-process.ts';

/** State directories lie at most so deep below the run's directory. */
const maximumDepth = 4;
const lockName = 'helper.lock';

/** Returns what could not be taken down, in words. */
export async function endHelpersBelow(directory: string): Promise<string[]> {
  const directories = await stateDirectories(directory, maximumDepth);
  // Of a helper that has gone already, `down` says so and that is fine.
  const results = await Promise.all(
    directories.map((stateDirectory) => turntable(['down', '--state-dir', stateDirectory])),
  );
  return results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr.trim());
}

async function stateDirectories(directory: string, depth: number): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  if (entries.some((entry) => entry.name === lockName)) return [directory];
  if (depth === 0) return [];
  const below = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('area'));
  return (
    await Promise.all(below.map((entry) => stateDirectories(join(directory, entry.name), depth - 1)))
  ).flat();
}
