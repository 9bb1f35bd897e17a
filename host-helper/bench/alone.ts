/** One measurement by itself, from its own command line: a directory for it, its result as JSON, and nothing left behind. */

import { mkdtemp } from 'node:fs/promises';
import { removeRunDirectory } from '../demo/run-directory.ts';
import { endHelpersBelow } from './abandoned-helpers.ts';
import { stopSignal, untilAborted } from './interruption.ts';

/** Progress goes to standard error. Exit code 130 when interrupted. */
export async function measureAlone(
  name: string,
  json: boolean,
  measure: (directory: string, say: (line: string) => void, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const signal = stopSignal();
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const directory = await mkdtemp(`/var/tmp/turntable-${name}-`);
  try {
    const result = await untilAborted(measure(directory, say, signal), signal, directory, say);
    process.stdout.write(JSON.stringify(result, undefined, json ? undefined : 2) + '\n');
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = signal.aborted ? 130 : 1;
  }
  await endHelpersBelow(directory);
  await removeRunDirectory(directory);
  // What an interrupted measurement left waiting must not keep the process.
  if (signal.aborted) process.exit();
}
