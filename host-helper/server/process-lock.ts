/**
 * One helper at a time: a lock that the kernel drops with its process, however that ends. Node has no flock(2), so this
 * is SQLite's own lock on an empty file. Must not know what it guards.
 */

import { open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { TurntableError } from '../protocol/errors.ts';

/** Holds `path` until disposed of. Throws `helperRunning` when another process holds it, `notPermitted` when it cannot be made. */
export async function takeProcessLock(path: string): Promise<Disposable> {
  let lock: DatabaseSync;
  try {
    // Who may read a file may lock it, so nobody else may read this one.
    await (await open(path, 'a', 0o600)).close();
    lock = new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw new TurntableError(
      'notPermitted',
      `Cannot write ${path}: run as root, or give another --state-dir or --socket.`,
      {
        cause,
      },
    );
  }
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    throw new TurntableError(
      'helperRunning',
      `A helper already runs here (it holds ${path}): use it, stop it with \`turntable down\`, or give another --state-dir.`,
      { cause },
    );
  }
  return { [Symbol.dispose]: () => lock.close() };
}
