/**
 * The tree worker as the store sees it: one long-lived child, one request at a time, answers streamed with back-pressure.
 * Owns the child and its frames; knows no versions. A worker that dies fails its request and is started again for the next.
 */

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { constants as osConstants } from 'node:os';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import {
  decodeDetail,
  decodeFailure,
  decodeScan,
  decodeStatFrame,
  headerBytes,
  maxPayloadBytes,
  PayloadWriter,
  replyType,
  requestType,
  scanShallow,
  type Detail,
  type EntryStat,
  type ScanRecord,
} from './treefs-wire.ts';
import { TreeWriter } from './tree-writer.ts';

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

interface Reply {
  readonly type: number;
  readonly payload: Buffer;
}

/** A system call of the worker failed. `errno` is Linux's number. */
export class TreeError extends Error {
  override readonly name = 'TreeError';
  readonly errno: number;
  readonly code: string;
  /** What the worker said: the step and the path. */
  readonly text: string;
  constructor(errno: number, text: string) {
    const code = errnoName(errno);
    super(`${code}: ${text}`);
    this.text = text;
    this.errno = errno;
    this.code = code;
  }
}

export class TreeWorker {
  readonly #path: string;
  readonly #log: Logger;
  #child: Child | undefined;
  #replies: AsyncGenerator<Reply> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #request = 0;
  #closed = false;
  /** Runs against every new child before its first request: takes the directory's lock again after a crash of the worker. */
  #lock: { readonly path: string; readonly pid: number } | undefined;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Takes an exclusive lock file that is held as long as the worker lives. Throws TreeError EAGAIN with the holder's pid as text. */
  async lock(path: string, pid: number): Promise<void> {
    await this.#exchange(requestType.lock, new PayloadWriter().path(path).u32(pid).build());
    this.#lock = { path, pid };
  }

  /** Every entry below `start`, parents first, names in byte order. `flags`: scan…. Returns the warnings (path and errno name). */
  async scan(
    root: string,
    start: string,
    flags: number,
    onRecord: (record: ScanRecord) => void,
  ): Promise<{ readonly entries: number; readonly warnings: string[] }> {
    const warnings: string[] = [];
    const payload = new PayloadWriter()
      .u32(flags)
      .text(Buffer.from(root).toString('latin1'))
      .path(start)
      .build();
    const done = await this.#exchange(requestType.scan, payload, (reply) => {
      if (reply.type === replyType.scan) for (const record of decodeScan(reply.payload)) onRecord(record);
      else if (reply.type === replyType.warning) {
        const { errno, text } = decodeFailure(reply.payload);
        warnings.push(`${text}: ${explain(errno)}`);
      }
    });
    return { entries: done.count, warnings };
  }

  /** The names in one directory. A missing directory has none. */
  async list(root: string, path: string, onName: (name: string) => void): Promise<void> {
    const payload = new PayloadWriter()
      .u32(scanShallow)
      .text(Buffer.from(root).toString('latin1'))
      .path(path)
      .build();
    try {
      await this.#exchange(requestType.scan, payload, (reply) => {
        if (reply.type !== replyType.scan) return;
        for (const record of decodeScan(reply.payload)) if (record.depth > 0) onName(record.name);
      });
    } catch (error) {
      if (error instanceof TreeError && isAbsent(error.errno)) return;
      throw error;
    }
  }

  /** Attributes, link targets and (up to `inlineLimit` bytes) contents, in the order asked for. */
  async detail(
    root: string,
    paths: readonly string[],
    inlineLimit: number,
    onDetail: (detail: Detail) => void,
  ): Promise<void> {
    for (let at = 0; at < paths.length;) {
      const from = at;
      let size = 0;
      while (at < paths.length && at - from < 2000 && size < maxPayloadBytes / 4)
        size += (paths[at++]?.length ?? 0) + 4;
      const writer = new PayloadWriter()
        .u32(inlineLimit)
        .text(Buffer.from(root).toString('latin1'))
        .u32(at - from);
      for (const path of paths.slice(from, at)) writer.path(path);
      await this.#exchange(requestType.detail, writer.build(), (reply) => {
        if (reply.type !== replyType.detail) return;
        const detail = decodeDetail(reply.payload);
        onDetail({ ...detail, index: detail.index + from });
      });
    }
  }

  /** One entry; undefined when it is not there. Other failures throw. */
  async detailOne(root: string, path: string, inlineLimit: number): Promise<Detail | undefined> {
    let found: Detail | undefined;
    await this.detail(root, [path], inlineLimit, (detail) => (found = detail));
    if (!found) throw new TurntableError('internal', 'The tree worker gave no answer.');
    if (found.error === 0) return found;
    if (isAbsent(found.error)) return undefined;
    throw new TreeError(found.error, path);
  }

  /** The blocks of a regular file that hold data; holes are left out. Tells the state before and after. */
  async stream(
    root: string,
    path: string,
    onBlock: (offset: number, data: Buffer) => void | Promise<void>,
  ): Promise<{ readonly before: EntryStat; readonly after: EntryStat }> {
    const stats: EntryStat[] = [];
    const payload = new PayloadWriter().text(Buffer.from(root).toString('latin1')).path(path).build();
    await this.#exchange(requestType.stream, payload, async (reply) => {
      if (reply.type === replyType.stat) stats.push(decodeStatFrame(reply.payload));
      else if (reply.type === replyType.block) {
        await onBlock(Number(reply.payload.readBigUInt64LE(0)), reply.payload.subarray(8));
      }
    });
    const [before, after] = stats;
    if (!before || !after) throw new TurntableError('internal', `The tree worker lost sight of ${path}.`);
    return { before, after };
  }

  /** Makes everything on the file system that holds `root` durable. */
  async sync(root: string): Promise<void> {
    await this.#exchange(
      requestType.sync,
      new PayloadWriter().text(Buffer.from(root).toString('latin1')).build(),
    );
  }

  /** Removes the overlay attributes that name one mount's inodes from every directory below `root`. */
  async stripTies(root: string): Promise<void> {
    await this.#exchange(
      requestType.strip,
      new PayloadWriter().text(Buffer.from(root).toString('latin1')).build(),
    );
  }

  /** Has a mounted overlay copy entries up from its lower, unchanged. */
  async copyUp(merged: string, paths: readonly string[]): Promise<void> {
    for (let at = 0; at < paths.length; at += 400) {
      const part = paths.slice(at, at + 400);
      const writer = new PayloadWriter().text(Buffer.from(merged).toString('latin1')).u32(part.length);
      for (const path of part) writer.path(path);
      await this.#exchange(requestType.copyUp, writer.build());
    }
  }

  async punch(
    root: string,
    path: string,
    ranges: readonly { readonly offset: number; readonly length: number }[],
  ): Promise<number> {
    let freed = 0;
    for (let at = 0; at < ranges.length; at += 10_000) {
      const part = ranges.slice(at, at + 10_000);
      const writer = new PayloadWriter()
        .text(Buffer.from(root).toString('latin1'))
        .path(path)
        .u32(part.length);
      for (const range of part) writer.u64(range.offset).u64(range.length);
      freed += (await this.#exchange(requestType.punch, writer.build())).bytes;
    }
    return freed;
  }

  /** Changes the tree below `root` by the steps that `write` sends. The first failing step ends it (TreeError). `sync`: durable when it resolves. */
  async apply(
    root: string,
    sync: boolean,
    write: (writer: TreeWriter) => Promise<void>,
  ): Promise<{ readonly steps: number; readonly bytes: number }> {
    return await this.#exclusive(async (child) => {
      const request = ++this.#request;
      const send = (type: number, payload: Buffer): Promise<void> | void =>
        this.#send(child, request, type, payload);
      await send(requestType.apply, new PayloadWriter().text(Buffer.from(root).toString('latin1')).build());
      let failure: { readonly error: unknown } | undefined;
      try {
        await write(new TreeWriter(send));
      } catch (error) {
        failure = { error };
      }
      await send(
        requestType.applyEnd,
        new PayloadWriter().u32(sync && failure === undefined ? 1 : 0).build(),
      );
      try {
        const done = await this.#collect(request, undefined);
        if (failure) throw failure.error;
        return { steps: done.count, bytes: done.bytes };
      } catch (error) {
        if (failure) throw failure.error;
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#queue.catch(() => {});
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.stdin.end();
    await exited;
  }

  async #exchange(
    type: number,
    payload: Buffer,
    onReply?: (reply: Reply) => void | Promise<void>,
  ): Promise<{ readonly count: number; readonly bytes: number }> {
    return await this.#exclusive(async (child) => {
      const request = ++this.#request;
      await this.#send(child, request, type, payload);
      return await this.#collect(request, onReply);
    });
  }

  /** Runs `work` when every earlier request is done. */
  async #exclusive<T>(work: (child: Child) => Promise<T>): Promise<T> {
    const run = this.#queue.then(async () => {
      if (this.#closed) throw new TurntableError('internal', 'The store is closed.');
      return await work(await this.#running());
    });
    this.#queue = run.catch(() => {});
    return await run;
  }

  async #running(): Promise<Child> {
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) return this.#child;
    const child = spawn(this.#path, [], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    child.on('error', (error) => this.#log.error('The tree worker cannot run', { error }));
    child.stdin.on('error', () => {});
    child.stderr.on('data', (data: Buffer) =>
      this.#log.warn('Tree worker', { text: data.toString().trim().slice(0, 1000) }),
    );
    this.#child = child;
    this.#replies = readReplies(child.stdout);
    const lock = this.#lock;
    if (lock) {
      const request = ++this.#request;
      await this.#send(
        child,
        request,
        requestType.lock,
        new PayloadWriter().path(lock.path).u32(lock.pid).build(),
      );
      await this.#collect(request, undefined);
    }
    return child;
  }

  #send(child: Child, request: number, type: number, payload: Buffer): Promise<void> | void {
    if (payload.length > maxPayloadBytes)
      throw new TurntableError('internal', 'A request to the tree worker is too large.');
    const header = Buffer.allocUnsafe(headerBytes);
    header.writeUInt32LE(payload.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(0, 6);
    header.writeUInt32LE(request, 8);
    child.stdin.cork();
    child.stdin.write(header);
    const room = child.stdin.write(payload);
    child.stdin.uncork();
    if (room || child.exitCode !== null || child.stdin.destroyed) return;
    return new Promise((resolve) => {
      const settle = (): void => {
        child.stdin.off('drain', settle);
        child.stdin.off('close', settle);
        resolve();
      };
      child.stdin.on('drain', settle);
      child.stdin.on('close', settle);
    });
  }

  async #collect(
    request: number,
    onReply: ((reply: Reply) => void | Promise<void>) | undefined,
  ): Promise<{ readonly count: number; readonly bytes: number }> {
    let failure: { readonly error: unknown } | undefined;
    for (;;) {
      const next = await this.#replies?.next();
      if (!next || next.done) {
        this.#child?.kill('SIGKILL');
        this.#child = undefined;
        throw new TurntableError(
          'internal',
          `The tree worker (${this.#path}) ended in the middle of request ${request}. Try again; if it repeats, see the helper's log.`,
          failure ? { cause: failure.error } : {},
        );
      }
      const reply = next.value;
      if (reply.type === replyType.done) {
        if (failure) throw failure.error;
        return {
          count: Number(reply.payload.readBigUInt64LE(0)),
          bytes: Number(reply.payload.readBigUInt64LE(8)),
        };
      }
      if (reply.type === replyType.failed) {
        const { errno, text } = decodeFailure(reply.payload);
        if (failure) throw failure.error;
        throw new TreeError(errno, text.trim());
      }
      try {
        // After a failure here the rest is still read, so that the next request finds the pipe empty.
        const pending = failure === undefined ? onReply?.(reply) : undefined;
        if (pending) await pending;
      } catch (error) {
        failure = { error };
      }
    }
  }
}

/** Not there, or only behind a symbolic link or a file in the way. */
export function isAbsent(errno: number): boolean {
  const { ENOENT, ENOTDIR, ELOOP } = osConstants.errno;
  return errno === ENOENT || errno === ENOTDIR || errno === ELOOP;
}

async function* readReplies(stream: Readable): AsyncGenerator<Reply> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let wanted = headerBytes;
  try {
    for await (const chunk of stream) {
      if (!Buffer.isBuffer(chunk)) continue;
      held.push(chunk);
      heldBytes += chunk.length;
      if (heldBytes < wanted) continue;
      let data = held.length === 1 && held[0] ? held[0] : Buffer.concat(held, heldBytes);
      wanted = headerBytes;
      while (data.length >= headerBytes) {
        const length = data.readUInt32LE(0);
        if (length > maxPayloadBytes)
          throw new TurntableError('internal', 'The tree worker sent an oversized frame.');
        if (data.length < headerBytes + length) {
          wanted = headerBytes + length;
          break;
        }
        yield { type: data.readUInt16LE(4), payload: data.subarray(headerBytes, headerBytes + length) };
        data = data.subarray(headerBytes + length);
      }
      held = data.length ? [data] : [];
      heldBytes = data.length;
    }
  } catch {
    // The pipe broke: the reader sees the end.
  }
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(osConstants.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

function explain(errno: number): string {
  const name = errnoName(errno);
  if (name === 'EXDEV') return 'another file system is mounted here; its contents are not captured';
  if (name === 'ELOOP') return 'too many directories deep; its contents are not captured';
  if (name === 'ENAMETOOLONG') return 'the path is too long; not captured';
  return `cannot be read (${name})`;
}
