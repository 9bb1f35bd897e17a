/** Keeps two runs of the sample apart: they would share a helper, and the first to end would take it from the other. */

import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Throws, naming the other run, while it lives. Disposing lets the next one in; a run that was killed stands in nobody's way. */
export async function onlyRun(directory: string): Promise<AsyncDisposable> {
  const path = join(directory, 'run.pid');
  const other = pidIn(path);
  if (other !== undefined && other !== process.pid && isRun(other)) {
    throw new Error(
      `The sample is open already, in process ${other}: use that one, or stop it (kill ${other}) and try again.`,
    );
  }
  await writeFile(path, `${process.pid}\n`);
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

function pidIn(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** A pid may have gone to another program since. */
function isRun(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('demo/start.ts');
  } catch {
    return false;
  }
}
