/** Waits for a child process. */

import type { ChildProcess } from 'node:child_process';

/** Its exit code, or 128 + 9 for one that a signal ended; rejects when it could not be started. */
export function exitCodeOf(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 137));
  return promise;
}
