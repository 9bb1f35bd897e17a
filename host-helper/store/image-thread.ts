/**
 * A thread that reads the store beside the helper: hashing and unpacking a sandbox's memory must not stop the loop that
 * other sandboxes' replies wait on. Owns the thread and its messages; started with the first request, one request at a time.
 */

import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { errorCodes, TurntableError, type ErrorName } from '../protocol/errors.ts';
import { damaged } from './database.ts';
import { NoRoom, type PackedDump } from './image-packer.ts';
import type { Verification } from './verify.ts';

const imageSchema = z.object({ format: z.literal(2), manifest: z.string(), root: z.string() });
const lostPacks = z.array(z.number());

export const threadDataSchema = z.object({ databasePath: z.string(), packDirectory: z.string() });
export const threadRequestSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('pack'),
    lostPacks,
    directory: z.string(),
    packPath: z.string(),
    maxBytes: z.number(),
    whole: z.boolean(),
  }),
  z.object({ type: z.literal('unpack'), lostPacks, image: imageSchema, directory: z.string() }),
  z.object({ type: z.literal('mark'), lostPacks, images: z.array(imageSchema), lastRow: z.number() }),
  z.object({ type: z.literal('verify'), lostPacks, contents: z.boolean() }),
  z.object({ type: z.literal('close'), lostPacks }),
]);
export type ThreadRequest = z.infer<typeof threadRequestSchema>;
type RequestOf<Type extends ThreadRequest['type']> = Omit<
  Extract<ThreadRequest, { type: Type }>,
  'type' | 'lostPacks'
>;

export type ThreadReply =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly kind: 'noRoom' | 'known' | 'other';
      readonly code: string;
      readonly message: string;
    };

/** What each request resolves with: both ends are this very program, so the types are trusted. */
interface Results {
  pack: PackedDump;
  unpack: undefined;
  mark: Uint8Array;
  verify: Verification;
  close: undefined;
}

const entry = import.meta.filename.endsWith('.ts')
  ? new URL('./image-thread-entry.ts', import.meta.url)
  : new URL('./image-thread.js', import.meta.url);

export interface ImageThreadOptions {
  readonly databasePath: string;
  readonly packDirectory: string;
  readonly lostPacks: () => ReadonlySet<number>;
}

export class ImageThread {
  readonly #options: ImageThreadOptions;
  #worker: Worker | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: ImageThreadOptions) {
    this.#options = options;
  }

  /** Throws `NoRoom`, `storeDamaged`, or what the system said (with its `code`). */
  async ask<Type extends Exclude<ThreadRequest['type'], 'close'>>(
    type: Type,
    request: RequestOf<Type>,
    onProgress?: (fraction: number) => void,
  ): Promise<Results[Type]> {
    const run = this.#queue.then(() => {
      if (this.#closed) throw new TurntableError('internal', 'The store is closed.');
      return this.#exchange({ ...request, type, lostPacks: [...this.#options.lostPacks()] }, onProgress);
    });
    this.#queue = run.catch(() => {});
    return (await run) as Results[Type];
  }

  /** Waits for what is under way; the thread's connection is closed when it resolves. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#queue;
    const worker = this.#worker;
    if (!worker) return;
    await this.#exchange({ type: 'close', lostPacks: [] }, undefined).catch(() => {});
    await worker.terminate();
  }

  async #exchange(message: object, onProgress: ((fraction: number) => void) | undefined): Promise<unknown> {
    const worker = (this.#worker ??= this.#start());
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const onMessage = (reply: ThreadReply | { readonly progress: number }): void => {
      if ('progress' in reply) onProgress?.(reply.progress);
      else if (reply.ok) resolve(reply.value);
      else reject(failureOf(reply));
    };
    const onEnd = (error: unknown): void => {
      this.#worker = undefined;
      reject(
        new TurntableError(
          'internal',
          `The image thread ended (${error instanceof Error ? error.message : `exit code ${String(error)}`}). Try again; if it repeats, see the helper's log.`,
          error instanceof Error ? { cause: error } : {},
        ),
      );
    };
    worker.on('message', onMessage);
    worker.once('error', onEnd);
    worker.once('exit', onEnd);
    worker.ref();
    try {
      worker.postMessage(message);
      return await promise;
    } finally {
      worker.off('message', onMessage);
      worker.off('error', onEnd);
      worker.off('exit', onEnd);
      worker.unref();
    }
  }

  #start(): Worker {
    const { databasePath, packDirectory } = this.#options;
    const worker = new Worker(entry, { workerData: { databasePath, packDirectory } });
    // Between requests nobody listens: the next one finds the thread gone and starts another.
    worker.on('error', () => (this.#worker = this.#worker === worker ? undefined : this.#worker));
    return worker;
  }
}

function failureOf(reply: Extract<ThreadReply, { ok: false }>): Error {
  if (reply.kind === 'noRoom') return new NoRoom(reply.message);
  if (reply.kind === 'known' && reply.code in errorCodes) {
    return new TurntableError(reply.code as ErrorName, reply.message);
  }
  if (reply.code.startsWith('ERR_SQLITE')) return damaged(`The metadata cannot be read (${reply.message})`);
  return Object.assign(new Error(reply.message), reply.code === '' ? {} : { code: reply.code });
}
