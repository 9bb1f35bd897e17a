/**
 * One job as it waits and runs: who waits for it, and how it settles for all of them. Jobs that may stand for each other are
 * merged here while they wait. Knows nothing of order and limits.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { JobKind, Waiting } from './schedule.ts';

/** Does the work. `wrote` tells of bytes written to disk as they become known, which the engine bounds over time. */
export type Run<T> = (signal: AbortSignal, wrote: (bytes: number) => void) => Promise<T>;

/**
 * Jobs of a sandbox that are submitted with the same key are merged while they wait: what waits does for both (a collection),
 * with one result for all who wait. Made once by whoever submits, so that only jobs with the same kind of result can meet.
 */
export class MergeKey<T> {
  /** By sandbox and kind. For QueuedJob only. */
  readonly waiting = new Map<string, QueuedJob<T>>();
}

export interface QueuedJobOptions<T> {
  readonly sandboxId: string;
  readonly kind: JobKind;
  readonly urgent: boolean;
  readonly sinceMs: number;
  readonly estimateBytes: number;
  readonly merge: MergeKey<T> | undefined;
  readonly run: Run<T>;
}

export class QueuedJob<T> implements Waiting {
  readonly sandboxId: string;
  readonly kind: JobKind;
  readonly sinceMs: number;
  readonly estimateBytes: number;
  readonly #merge: MergeKey<T> | undefined;
  readonly #holders = new Set<PromiseWithResolvers<T>>();
  readonly #controller = new AbortController();
  readonly #run: Run<T>;
  #urgent: boolean;
  #state: 'queued' | 'running' | 'ended' = 'queued';
  #bytes = 0;

  constructor(options: QueuedJobOptions<T>) {
    this.sandboxId = options.sandboxId;
    this.kind = options.kind;
    this.sinceMs = options.sinceMs;
    this.estimateBytes = options.estimateBytes;
    this.#merge = options.merge;
    this.#run = options.run;
    this.#urgent = options.urgent;
    this.#merge?.waiting.set(this.#place, this);
  }

  /** The job that waits under the same key, if there is one. */
  static waitingFor<T>(
    key: MergeKey<T> | undefined,
    sandboxId: string,
    kind: JobKind,
  ): QueuedJob<T> | undefined {
    return key?.waiting.get(placeOf(sandboxId, kind));
  }

  get urgent(): boolean {
    return this.#urgent;
  }

  get state(): 'queued' | 'running' | 'ended' {
    return this.#state;
  }

  /** How many wait for the result. */
  get holders(): number {
    return this.#holders.size;
  }

  /** Bytes that it said it wrote. */
  get bytes(): number {
    return this.#bytes;
  }

  makeUrgent(): void {
    this.#urgent = true;
  }

  /** One more who waits for the result. */
  hold(): PromiseWithResolvers<T> {
    const holder = Promise.withResolvers<T>();
    // It may be looked at late or never; in a daemon that must not count as an unhandled rejection.
    holder.promise.catch(() => undefined);
    this.#holders.add(holder);
    return holder;
  }

  /** One who waits gives up. True when nobody is left, so that the job need not be done. */
  release(holder: PromiseWithResolvers<T>): boolean {
    this.#holders.delete(holder);
    holder.reject(new TurntableError('cancelled', 'Given up: the work was not waited for.'));
    return this.#holders.size === 0;
  }

  /** Settles when the work has ended, either way. Never rejects. */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    this.#leave('running');
    try {
      const result = await this.#run(this.#controller.signal, (bytes) => (this.#bytes += bytes));
      for (const holder of this.#holders) holder.resolve(result);
    } catch (error) {
      onFailure(error);
      for (const holder of this.#holders) holder.reject(error);
    }
    this.#state = 'ended';
  }

  /** The running job is asked to end; it decides itself. */
  abort(): void {
    this.#controller.abort();
  }

  /** It will never be run. */
  drop(error: TurntableError): void {
    this.#leave('ended');
    for (const holder of this.#holders) holder.reject(error);
  }

  get #place(): string {
    return placeOf(this.sandboxId, this.kind);
  }

  #leave(state: 'running' | 'ended'): void {
    this.#state = state;
    if (this.#merge?.waiting.get(this.#place) === this) this.#merge.waiting.delete(this.#place);
  }
}

function placeOf(sandboxId: string, kind: JobKind): string {
  return `${kind} ${sandboxId}`;
}
