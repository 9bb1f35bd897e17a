/**
 * The host-wide queue of checkpoint work: runs jobs as the schedule says, bounds what waits, and tells how it goes. It knows
 * jobs by their sandbox and kind alone, nothing of files, paths or processes.
 *
 * A checkpoint once begun runs to its end: half of one is worth nothing.
 */

import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { ByteBudget } from './byte-budget.ts';
import { QueuedJob, type MergeKey, type Run } from './queued-job.ts';
import { Schedule, type JobKind } from './schedule.ts';
import { WaitLog, type SandboxStats, type Waits } from './waits.ts';

export interface JobRequest<T> {
  /** Whose work it is. Work for the whole host has a name of its own, like a sandbox. */
  readonly sandboxId: string;
  readonly kind: JobKind;
  /** A reply is waiting for it. */
  readonly urgent: boolean;
  /** What it will probably write; what it says it wrote counts in the end. */
  readonly estimateBytes?: number;
  /** A job with this key that has not begun takes this one in. */
  readonly merge?: MergeKey<T>;
  run: Run<T>;
}

export interface Job<T> {
  /** What `run` gave. Rejects with `cancelled` when it never started, `overloaded` when the queue was full. */
  readonly done: Promise<T>;
  /** A reply has begun to wait. Nothing happens to a job that runs or has ended. */
  makeUrgent(): void;
  /**
   * True when the job had not started: it never will, unless others were merged into it, who still get its result. A running
   * job that nobody else waits for gets its signal aborted and decides itself.
   */
  cancel(): boolean;
}

/** `long`: background work is not taken, and whoever can should wait. `full`: only jobs that a reply waits for are taken. */
export type Pressure = 'none' | 'long' | 'full';

export interface EngineStats {
  readonly mode: 'on' | 'off';
  readonly pressure: Pressure;
  readonly queued: number;
  readonly running: number;
  /** Jobs begun so far. */
  readonly started: number;
  /** Jobs that another one was done for. */
  readonly merged: number;
  /** Jobs not taken because too many waited. */
  readonly refused: number;
  readonly bytes: number;
  /** Bytes that may be written now without waiting; negative is debt; null without a limit. */
  readonly balanceBytes: number | null;
  readonly waitMs: Waits;
  readonly sandboxes: readonly SandboxStats[];
}

export interface Engine extends AsyncDisposable {
  readonly running: number;
  readonly queued: number;
  readonly pressure: Pressure;
  submit<T>(request: JobRequest<T>): Job<T>;
  /** Resolves once the queue is short: for work that can be put off, before it is even prepared. Rejects when `signal` aborts. */
  whenShort(signal?: AbortSignal): Promise<void>;
  stats(): EngineStats;
  /** Resolves when nothing runs and nothing waits. New jobs are still taken. */
  drain(): Promise<void>;
  /** Rejects what has not started with `cancelled` and resolves when what runs has ended. */
  close(): Promise<void>;
}

/** Milliseconds, and a way to be called later. */
export interface Clock {
  now(): number;
  /** Returns what cancels the call. */
  later(afterMs: number, call: () => void): () => void;
}

export interface EngineOptions {
  /** `off`: every job starts as soon as its sandbox has no other one; no limits, no order. For comparison. Default `on`. */
  readonly mode?: 'on' | 'off';
  /** Checkpoints at once. Default 2. */
  readonly maxConcurrent?: number;
  /** Process dumps at once. Default 1: each stops a sandbox and writes its memory. */
  readonly maxDumps?: number;
  /** Jobs that wait, all sandboxes together. Default 1000; urgent ones are taken up to twice that. */
  readonly maxQueued?: number;
  /** Jobs of one sandbox that wait. Default 32. */
  readonly maxQueuedPerSandbox?: number;
  /** Default 256 MiB; a second's worth may be saved up, and two may be borrowed. */
  readonly bytesPerSecond?: number;
  readonly clock?: Clock;
  readonly logger: Logger;
}

const patienceMs = { urgent: 1_000, ordinary: 5_000, background: 60_000 };
/** The share of the queue from which on it is long. */
const longShare = 0.5;

const realClock: Clock = {
  now: () => performance.now(),
  later: (afterMs, call) => {
    const timer = setTimeout(call, afterMs);
    return () => clearTimeout(timer);
  },
};

/** What the queue needs to know of any job, whatever its result. */
type AnyJob = Pick<
  QueuedJob<unknown>,
  'sandboxId' | 'kind' | 'urgent' | 'sinceMs' | 'estimateBytes' | 'bytes' | 'start' | 'drop'
>;

export function createEngine(options: EngineOptions): Engine {
  return new CheckpointEngine(options);
}

class CheckpointEngine implements Engine {
  readonly #mode: 'on' | 'off';
  readonly #maxQueued: number;
  readonly #maxQueuedPerSandbox: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #budget: ByteBudget;
  readonly #schedule: Schedule<AnyJob>;
  readonly #log = new WaitLog();
  readonly #whenIdle = new Set<() => void>();
  readonly #whenShort = new Set<() => void>();
  #cancelWake: (() => void) | undefined;
  #merged = 0;
  #refused = 0;
  #closed = false;

  constructor(options: EngineOptions) {
    const { mode = 'on', maxConcurrent = 2, maxDumps = 1, bytesPerSecond = 256 * 1024 ** 2 } = options;
    if (maxConcurrent < 1 || maxDumps < 1 || !(bytesPerSecond > 0))
      throw new RangeError('An engine needs room for one job and some bytes at least.');
    this.#mode = mode;
    this.#maxQueued = options.maxQueued ?? 1000;
    this.#maxQueuedPerSandbox = options.maxQueuedPerSandbox ?? 32;
    this.#clock = options.clock ?? realClock;
    this.#logger = options.logger;
    const limited = mode === 'on';
    const rate = limited ? bytesPerSecond : Infinity;
    this.#budget = new ByteBudget({ bytesPerSecond: rate, burstBytes: rate, borrowBytes: 2 * rate });
    this.#schedule = new Schedule(
      {
        maxConcurrent: limited ? maxConcurrent : Infinity,
        maxDumps: limited ? maxDumps : Infinity,
        maxBackground: limited ? 1 : Infinity,
        patienceMs: limited ? patienceMs : { urgent: 0, ordinary: 0, background: 0 },
        bytesPerMs: bytesPerSecond / 1000,
      },
      this.#budget,
    );
  }

  get running(): number {
    return this.#schedule.running;
  }

  get queued(): number {
    return this.#schedule.queued;
  }

  get pressure(): Pressure {
    if (this.queued >= this.#maxQueued) return 'full';
    return this.queued >= this.#maxQueued * longShare ? 'long' : 'none';
  }

  submit<T>(request: JobRequest<T>): Job<T> {
    const { sandboxId, kind, urgent, merge, run } = request;
    const earlier = this.#mode === 'on' ? QueuedJob.waitingFor(merge, sandboxId, kind) : undefined;
    if (earlier) {
      this.#merged += 1;
      const handle = this.#handle(earlier);
      if (urgent) handle.makeUrgent();
      return handle;
    }
    const refusal = this.#refusal(request);
    if (refusal) {
      const refused = Promise.reject<T>(refusal);
      refused.catch(() => undefined);
      return { done: refused, makeUrgent: () => undefined, cancel: () => false };
    }
    const job = new QueuedJob<T>({
      sandboxId,
      kind,
      urgent,
      sinceMs: this.#clock.now(),
      estimateBytes: request.estimateBytes ?? 0,
      merge,
      run,
    });
    this.#schedule.add(job);
    const handle = this.#handle(job);
    this.#pump();
    return handle;
  }

  whenShort(signal?: AbortSignal): Promise<void> {
    if (this.pressure === 'none') return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      this.#whenShort.delete(resolve);
      reject(new TurntableError('cancelled', 'Given up before the queue was short. Try again later.'));
    };
    this.#whenShort.add(resolve);
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    return promise.finally(() => signal?.removeEventListener('abort', leave));
  }

  stats(): EngineStats {
    const balance = this.#budget.balance(this.#clock.now());
    return {
      mode: this.#mode,
      pressure: this.pressure,
      queued: this.queued,
      running: this.running,
      started: this.#log.started,
      merged: this.#merged,
      refused: this.#refused,
      bytes: this.#log.bytes,
      balanceBytes: balance === Infinity ? null : Math.round(balance),
      waitMs: this.#log.waits,
      sandboxes: this.#log.sandboxes((sandboxId) => this.#schedule.queuedOf(sandboxId)),
    };
  }

  drain(): Promise<void> {
    return this.#idle ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.add(resolve));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#schedule.waiting) {
      this.#schedule.remove(job);
      job.drop(new TurntableError('cancelled', 'The helper is stopping; this checkpoint was not begun.'));
    }
    this.#pump();
    await this.drain();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #idle(): boolean {
    return this.running === 0 && this.queued === 0;
  }

  #handle<T>(job: QueuedJob<T>): Job<T> {
    const holder = job.hold();
    let given = false;
    return {
      done: holder.promise,
      makeUrgent: () => {
        if (given || job.state !== 'queued') return;
        job.makeUrgent();
        this.#pump();
      },
      cancel: () => {
        if (given || job.state === 'ended') return false;
        if (job.state === 'running') {
          if (job.holders === 1) job.abort();
          else given = !job.release(holder);
          return false;
        }
        given = true;
        if (job.release(holder)) {
          this.#schedule.remove(job);
          job.drop(new TurntableError('cancelled', 'Nobody waits for this checkpoint any more.'));
        }
        this.#pump();
        return true;
      },
    };
  }

  /** Why a job is not taken. Never silent: the turn it was for says so. */
  #refusal({
    sandboxId,
    kind,
    urgent,
  }: Pick<JobRequest<unknown>, 'sandboxId' | 'kind' | 'urgent'>): TurntableError | undefined {
    if (this.#closed) {
      return new TurntableError(
        'cancelled',
        'The helper is stopping, so no checkpoint is made. Start it again.',
      );
    }
    const own = this.#schedule.queuedOf(sandboxId);
    const room = urgent ? 2 * this.#maxQueued : this.#maxQueued;
    const putOff = kind === 'background' && this.pressure !== 'none';
    if (own < this.#maxQueuedPerSandbox && this.queued < room && !putOff) return undefined;
    this.#refused += 1;
    const what =
      own >= this.#maxQueuedPerSandbox
        ? `${own} checkpoints of this session already wait. Stop what makes them, or wait a moment.`
        : `${this.queued} checkpoints already wait. Stop some sessions or wait a moment.`;
    this.#logger.warn('a job was not taken: too many wait', {
      sandbox: sandboxId,
      kind,
      queued: this.queued,
    });
    return new TurntableError('overloaded', what);
  }

  #pump(): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    for (;;) {
      const nowMs = this.#clock.now();
      const job = this.#schedule.next(nowMs);
      if (!job) {
        // Only bytes hold back what has a slot: nothing needs to end for it to begin.
        const waitMs = this.#schedule.waitMs(nowMs);
        if (waitMs !== undefined && waitMs !== Infinity)
          this.#cancelWake = this.#clock.later(waitMs, () => this.#pump());
        break;
      }
      this.#begin(job, nowMs);
    }
    if (this.pressure === 'none') settleAll(this.#whenShort);
    if (this.#idle) settleAll(this.#whenIdle);
  }

  #begin(job: AnyJob, startedMs: number): void {
    const { sandboxId, kind } = job;
    this.#log.began(sandboxId, startedMs - job.sinceMs);
    const failed = (error: unknown): void =>
      this.#logger.debug('a job failed', { sandbox: sandboxId, kind, error });
    void job.start(failed).then(() => {
      const nowMs = this.#clock.now();
      this.#schedule.ended(job, nowMs, nowMs - startedMs, job.bytes);
      this.#log.ended(sandboxId, nowMs - startedMs, job.bytes);
      this.#pump();
    });
  }
}

function settleAll(waiting: Set<() => void>): void {
  for (const resolve of waiting) resolve();
  waiting.clear();
}
