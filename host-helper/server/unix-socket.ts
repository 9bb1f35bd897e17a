/**
 * The Unix socket as a file: who owns the path, whether a helper already answers there, and who may connect. Must not
 * know what is spoken over it.
 */

import { chmod, chown, lstat, mkdir, readFile, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { takeProcessLock } from './process-lock.ts';

export interface UnixSocketOptions {
  readonly socketPath: string;
  /** The group that may connect; `turntable`, or the group of who called sudo, when absent. */
  readonly group?: string | undefined;
  /** The directory is ours alone: close it to others (0750, or 0751 where it was passable). True for a directory that had to be made. */
  readonly ownDirectory?: boolean | undefined;
  readonly logger: Logger;
}

export interface UnixSocketClaim {
  /** Who may connect besides the owner; undefined when nobody else may. */
  readonly groupId: number | undefined;
  /** Removes the socket and lets another helper take the path. */
  release(): Promise<void>;
}

/** `sun_path` holds 108 bytes with its end. */
const socketPathMaximumBytes = 107;
const probeTimeoutMs = 2_000;

/**
 * Listens on the path: a dead helper's socket is replaced; throws `helperRunning` when a living one holds it,
 * `notPermitted` when the path cannot be used.
 */
export async function listenOnUnixSocket(
  server: Server,
  options: UnixSocketOptions,
): Promise<UnixSocketClaim> {
  const { socketPath, logger } = options;
  if (Buffer.byteLength(socketPath) > socketPathMaximumBytes) {
    throw new TurntableError(
      'notPermitted',
      `The socket path has more than ${socketPathMaximumBytes} bytes, which Linux does not allow: give a shorter --socket.`,
    );
  }
  const groupId = await chooseGroup(options.group);
  await prepareDirectory(dirname(socketPath), options.ownDirectory, groupId, logger);
  // Two helpers that start together must not both replace a stale socket.
  const lock = await takeProcessLock(`${socketPath}.lock`);
  try {
    await removeStaleSocket(socketPath);
    await listenPrivately(server, socketPath);
    await shareWithGroup(socketPath, groupId, 0o660, logger);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return {
    groupId,
    async release() {
      await unlink(socketPath).catch(ignoreMissing);
      lock[Symbol.dispose]();
    },
  };
}

async function removeStaleSocket(socketPath: string): Promise<void> {
  const entry = await lstat(socketPath).catch(ignoreMissing);
  if (!entry) return;
  if (!entry.isSocket()) {
    throw new TurntableError(
      'notPermitted',
      `${socketPath} exists and is not a socket: remove it or give another --socket.`,
    );
  }
  if (await answers(socketPath)) throw helperRunning(socketPath);
  await unlink(socketPath).catch(ignoreMissing);
}

function answers(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(socketPath);
  socket.setTimeout(probeTimeoutMs);
  // One that accepts slowly still lives.
  socket.once('connect', () => resolve(true));
  socket.once('timeout', () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** Binds with no rights for others, so that nobody slips in before the group is set. */
async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject);
  // bind(2) happens inside listen(), synchronously.
  const umask = process.umask(0o177);
  try {
    server.listen(socketPath, () => resolve(undefined));
  } finally {
    process.umask(umask);
  }
  try {
    await promise;
  } finally {
    server.off('error', reject);
  }
}

async function prepareDirectory(
  directory: string,
  own: boolean | undefined,
  groupId: number | undefined,
  logger: Logger,
): Promise<void> {
  const made = await mkdir(directory, { recursive: true, mode: 0o750 });
  if (own ?? made !== undefined) {
    // The right to pass through, where another part gave it, stays: a session's folder may lie below.
    const passable = (await lstat(directory)).mode & 0o001;
    await shareWithGroup(directory, groupId, 0o750 | passable, logger);
  }
  const { mode } = await lstat(directory);
  const everyoneWrites = (mode & 0o002) !== 0;
  const sticky = (mode & 0o1000) !== 0;
  if (everyoneWrites && !sticky) {
    throw new TurntableError(
      'notPermitted',
      `Everyone may replace files in ${directory}, so no socket there can be trusted: chmod o-w it or give another --socket.`,
    );
  }
}

async function shareWithGroup(
  path: string,
  groupId: number | undefined,
  mode: number,
  logger: Logger,
): Promise<void> {
  if (groupId !== undefined) {
    await chown(path, process.getuid?.() ?? 0, groupId).catch((error: unknown) => {
      logger.warn('cannot hand the path to its group: only this user may connect', { path, groupId, error });
    });
  }
  await chmod(path, mode);
}

const defaultGroup = 'turntable';

async function chooseGroup(requested: string | undefined): Promise<number | undefined> {
  const groups = parseGroups(await readFile('/etc/group', 'utf8').catch(() => ''));
  if (requested !== undefined) {
    const groupId = groups.get(requested);
    if (groupId === undefined) {
      throw new TurntableError(
        'notPermitted',
        `There is no group "${requested}": make it with \`groupadd ${requested}\`.`,
      );
    }
    return groupId;
  }
  const invoker = Number(process.env['SUDO_GID'] ?? NaN);
  return groups.get(defaultGroup) ?? (Number.isInteger(invoker) && invoker > 0 ? invoker : undefined);
}

function parseGroups(text: string): Map<string, number> {
  const groups = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id && /^\d+$/.test(id)) groups.set(name, Number(id));
  }
  return groups;
}

function helperRunning(socketPath: string): TurntableError {
  return new TurntableError(
    'helperRunning',
    `A helper already runs on ${socketPath}: use it, stop it with \`turntable down\`, or give another --state-dir.`,
  );
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
