/**
 * The host-wide queue of checkpoint work: how many jobs run at once and which goes next. It knows jobs by their sandbox
 * and kind alone, nothing of files or processes.
 *
 * Order: sandboxes for which a reply waits first, then round-robin between sandboxes, first in first out within one,
 * one job of a sandbox at a time. An urgent job makes the ones before it in its sandbox urgent too, for it must wait for
 * them. A checkpoint once begun runs to its end: half of one is worth nothing.
 */

import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';

export interface JobRequest<T> {
  readonly sandboxId: string;
  /** `processes` needs the one slot for dumps as well. */
  readonly kind: 'files' | 'processes';
  /** A reply is waiting for it. */
  readonly urgent: boolean;
  run(signal: AbortSignal): Promise<T>;
}

export interface Job<T> {
  /** What `run` gave. Rejects with `cancelled` when it never started, `overloaded` when the queue was full. */
  readonly done: Promise<T>;
  /** A reply has begun to wait. Nothing happens to a job that runs or has ended. */
  makeUrgent(): void;
  /** True when the job had not started: it never will. A running job gets its signal aborted and decides itself. */
  cancel(): boolean;
}

export interface Engine extends AsyncDisposable {
  readonly running: number;
  readonly queued: number;
  submit<T>(request: JobRequest<T>): Job<T>;
  /** Resolves when nothing runs and nothing waits. New jobs are still taken. */
  drain(): Promise<void>;
  /** Rejects what has not started with `cancelled` and resolves when what runs has ended. */
  close(): Promise<void>;
}

export interface EngineOptions {
  /** Jobs at once. Default 2. */
  readonly maxConcurrent?: number;
  /** Process dumps at once. Default 1: each stops a sandbox and writes its memory. */
  readonly maxDumps?: number;
  /** Jobs that wait, all sandboxes together. Default 1000. */
  readonly maxQueued?: number;
  readonly logger: Logger;
}

interface Entry {
  readonly sandboxId: string;
  readonly kind: 'files' | 'processes';
  urgent: boolean;
  state: 'queued' | 'running' | 'ended';
  readonly controller: AbortController;
  start(): Promise<void>;
  reject(error: TurntableError): void;
}

export function createEngine(options: EngineOptions): Engine {
  const { maxConcurrent = 2, maxDumps = 1, maxQueued = 1000, logger } = options;
  if (maxConcurrent < 1 || maxDumps < 1) throw new RangeError('An engine needs room for one job at least.');
  /** Insertion order is the round: a sandbox that was served goes to the end. Never holds an empty list. */
  const lanes = new Map<string, Entry[]>();
  const busy = new Set<string>();
  const idle = new Set<() => void>();
  let running = 0;
  let dumps = 0;
  let queued = 0;
  let closed = false;

  const startable = (entry: Entry): boolean =>
    !busy.has(entry.sandboxId) && (entry.kind === 'files' || dumps < maxDumps);

  const next = (): Entry | undefined => {
    let fallback: Entry | undefined;
    for (const lane of lanes.values()) {
      const head = lane[0];
      if (!head || !startable(head)) continue;
      if (lane.some((entry) => entry.urgent)) return head;
      fallback ??= head;
    }
    return fallback;
  };

  const remove = (entry: Entry): void => {
    const lane = lanes.get(entry.sandboxId);
    const index = lane?.indexOf(entry) ?? -1;
    if (!lane || index < 0) return;
    lane.splice(index, 1);
    queued--;
    if (lane.length === 0) lanes.delete(entry.sandboxId);
  };

  const pump = (): void => {
    while (running < maxConcurrent) {
      const entry = next();
      if (!entry) break;
      remove(entry);
      const rest = lanes.get(entry.sandboxId);
      if (rest) {
        lanes.delete(entry.sandboxId);
        lanes.set(entry.sandboxId, rest);
      }
      entry.state = 'running';
      running++;
      busy.add(entry.sandboxId);
      if (entry.kind === 'processes') dumps++;
      void entry.start().then(() => {
        entry.state = 'ended';
        running--;
        busy.delete(entry.sandboxId);
        if (entry.kind === 'processes') dumps--;
        pump();
      });
    }
    if (running === 0 && queued === 0) {
      for (const resolve of idle) resolve();
      idle.clear();
    }
  };

  const drain = (): Promise<void> =>
    running === 0 && queued === 0 ? Promise.resolve() : new Promise((resolve) => idle.add(resolve));

  const engine: Engine = {
    get running() {
      return running;
    },
    get queued() {
      return queued;
    },
    submit<T>(request: JobRequest<T>): Job<T> {
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      // A caller may look at `done` late or never; in a daemon that must not count as an unhandled rejection.
      promise.catch(() => undefined);
      if (closed || queued >= maxQueued) {
        reject(
          closed
            ? new TurntableError(
                'cancelled',
                'The helper is stopping, so no checkpoint is made. Start it again.',
              )
            : new TurntableError(
                'overloaded',
                `${maxQueued} checkpoints already wait. Stop some sessions or wait a moment.`,
              ),
        );
        return { done: promise, makeUrgent: () => undefined, cancel: () => false };
      }
      const controller = new AbortController();
      const entry: Entry = {
        sandboxId: request.sandboxId,
        kind: request.kind,
        urgent: request.urgent,
        state: 'queued',
        controller,
        reject,
        async start() {
          try {
            resolve(await request.run(controller.signal));
          } catch (error) {
            logger.debug('a job failed', { sandbox: request.sandboxId, kind: request.kind, error });
            reject(error);
          }
        },
      };
      const lane = lanes.get(entry.sandboxId);
      if (lane) lane.push(entry);
      else lanes.set(entry.sandboxId, [entry]);
      queued++;
      pump();
      return {
        done: promise,
        makeUrgent() {
          if (entry.state !== 'queued') return;
          entry.urgent = true;
          pump();
        },
        cancel() {
          if (entry.state === 'queued') {
            entry.state = 'ended';
            remove(entry);
            reject(new TurntableError('cancelled', 'The checkpoint was cancelled before it began.'));
            pump();
            return true;
          }
          if (entry.state === 'running') controller.abort();
          return false;
        },
      };
    },
    drain,
    async close() {
      closed = true;
      for (const lane of [...lanes.values()]) {
        for (const entry of [...lane]) {
          entry.state = 'ended';
          remove(entry);
          entry.reject(
            new TurntableError('cancelled', 'The helper is stopping; this checkpoint was not begun.'),
          );
        }
      }
      await drain();
    },
    [Symbol.asyncDispose]: () => engine.close(),
  };
  return engine;
}
