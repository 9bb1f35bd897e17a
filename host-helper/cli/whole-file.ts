/** A file that is there whole or not at all, however much of it comes and whatever goes wrong. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { TurntableError } from '../protocol/errors.ts';

/** Under another name beside it first. Throws `fileNotFound` when it cannot be written, and what `portions` throws. */
export async function writeFileWhole(
  path: string,
  portions: (write: (data: Buffer) => Promise<void>) => Promise<void>,
): Promise<void> {
  const unfinished = `${path}.${process.pid}.part`;
  // What it holds is nobody else's business.
  const output = createWriteStream(unfinished, { flags: 'wx', mode: 0o600, flush: true });
  // Whoever waits for a step of it is told; nobody waits for the event.
  output.on('error', () => {});
  try {
    await once(output, 'open');
    await portions((data) => writeAll(output, data));
    output.end();
    await once(output, 'close');
    await rename(unfinished, path);
    const directory = await open(dirname(path), 'r');
    await directory.sync().finally(() => directory.close());
  } catch (error) {
    output.destroy();
    await rm(unfinished, { force: true });
    if (error instanceof TurntableError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TurntableError('fileNotFound', `${path} cannot be written: ${reason}. Choose another place.`, {
      cause: error,
    });
  }
}

export async function writeAll(output: Writable, data: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) =>
    output.write(data, (error) => (error ? reject(error) : resolve())),
  );
}
