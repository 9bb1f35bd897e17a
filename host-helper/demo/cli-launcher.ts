/**
 * Writes a `turntable` command that runs this tree's sources on the Node they need, whatever `node` a person's terminal
 * has: for what the editor offers to run, and for the person to copy.
 */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cliPath } from './helper-process.ts';

/** Resolves to the command's path, `DIRECTORY/turntable`. */
export async function writeCliLauncher(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, 'turntable');
  const words = [process.execPath, '--disable-warning=ExperimentalWarning', cliPath()].map(quoted);
  await writeFile(path, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
