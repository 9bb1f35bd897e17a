/**
 * An archive while it is written: objects once each, frames in order, and no more made than somebody reads. One end writes,
 * the other reads; knows nothing of what a session is.
 */

import type { ObjectTaker, StoreObject } from '../store/store.ts';
import { chunkedLimits } from '../store/transfer-check.ts';
import { archiveTooLarge } from '../store/transfer-errors.ts';
import { encodeObjects, FrameEncoder, frameType } from './archive-frames.ts';
import { ArchiveTally } from './archive-tally.ts';

/** Objects are compressed together up to this size. */
const objectsBytes = 1 << 20;
/** The writer waits while so much lies unread. */
const aheadBytes = 4 << 20;

export class ArchiveOutput implements ObjectTaker {
  readonly #encoder = new FrameEncoder();
  readonly #tally = new ArchiveTally();
  readonly #signal: AbortSignal;
  readonly #taken = new Set<string>();
  #objects: StoreObject[] = [];
  #objectsBytes = 0;
  #ready: Buffer[] = [];
  #readyBytes = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #changed = Promise.withResolvers<undefined>();
  /** Everything made so far. */
  bytes = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  has(hash: string): boolean {
    return this.#taken.has(hash);
  }

  async take(object: StoreObject): Promise<void> {
    if (this.#taken.has(object.hash)) return;
    if (this.#taken.size >= chunkedLimits.objects)
      throw archiveTooLarge('it has too many different contents');
    this.#taken.add(object.hash);
    // A large one gets a frame of its own: with others it might be too much for one.
    if (object.data.length >= objectsBytes) await this.#flush();
    this.#objects.push(object);
    this.#objectsBytes += object.data.length;
    if (this.#objectsBytes >= objectsBytes) await this.#flush();
  }

  async frame(type: number, value: unknown): Promise<void> {
    await this.#flush();
    const data = Buffer.from(JSON.stringify(value));
    const tooMuch = this.#tally.add(type, data.length);
    if (tooMuch !== undefined) throw archiveTooLarge(`it has ${tooMuch}`);
    await this.#write(await this.#encoder.encode(type, data));
  }

  async end(notes: readonly string[]): Promise<void> {
    await this.#flush();
    await this.frame(frameType.end, { digest: this.#encoder.digest, notes });
    this.#ended = true;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  /** What is ready, at least one byte unless it is the end. Throws what the writer failed with. */
  async read(maxBytes: number): Promise<{ readonly data: Buffer; readonly done: boolean }> {
    while (this.#readyBytes === 0 && !this.#ended && !this.#failure) {
      this.#signal.throwIfAborted();
      await this.#changed.promise;
    }
    this.#signal.throwIfAborted();
    if (this.#failure) throw this.#failure.error;
    const all = Buffer.concat(this.#ready, this.#readyBytes);
    const data = all.subarray(0, maxBytes);
    const left = all.subarray(maxBytes);
    this.#ready = left.length > 0 ? [left] : [];
    this.#readyBytes = left.length;
    this.#wake();
    return { data, done: this.#ended && left.length === 0 };
  }

  async #flush(): Promise<void> {
    if (this.#objects.length === 0) return;
    const data = encodeObjects(this.#objects);
    this.#objects = [];
    this.#objectsBytes = 0;
    await this.#write(await this.#encoder.encode(frameType.objects, data));
  }

  async #write(data: Buffer): Promise<void> {
    this.#ready.push(data);
    this.#readyBytes += data.length;
    this.bytes += data.length;
    this.#wake();
    while (this.#readyBytes > aheadBytes) {
      this.#signal.throwIfAborted();
      await this.#changed.promise;
    }
    this.#signal.throwIfAborted();
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve(undefined);
  }
}
