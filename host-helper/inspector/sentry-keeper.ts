/**
 * Keeps one sentry alive: starts it, and starts it again when it dies, a bounded number of times in a while. While there is none,
 * guarded programs cannot start (closed) and whoever asks for it is told.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Sentry } from './sentry.ts';

const restartDelaysMs = [100, 1_000, 5_000, 15_000];
/** One that lived this long was well: earlier deaths no longer count. */
const wellAfterMs = 10 * 60_000;

export interface SentryKeeperOptions {
  readonly start: () => Promise<Sentry>;
  /** A new sentry is there (also the first): subscribe, watch and guard again. */
  readonly onReady: (sentry: Sentry, first: boolean) => Promise<void>;
  readonly onLost: (detail: string) => void;
  readonly logger: Logger;
}

export class SentryKeeper implements AsyncDisposable {
  readonly #options: SentryKeeperOptions;
  #sentry: Sentry | undefined;
  #closed = false;
  #restarts = 0;

  constructor(options: SentryKeeperOptions) {
    this.#options = options;
  }

  get current(): Sentry | undefined {
    return this.#sentry;
  }

  /** Throws what the first start threw. */
  async start(): Promise<void> {
    await this.#launch(true);
  }

  async #launch(first: boolean): Promise<void> {
    const sentry = await this.#options.start();
    this.#sentry = sentry;
    const startedAtMs = performance.now();
    sentry.onDied((detail) => {
      if (performance.now() - startedAtMs > wellAfterMs) this.#restarts = 0;
      void this.#died(detail);
    });
    await this.#options.onReady(sentry, first);
  }

  async #died(detail: string): Promise<void> {
    if (this.#closed) return;
    this.#sentry = undefined;
    this.#options.onLost(detail);
    const delayMs = restartDelaysMs[this.#restarts++];
    if (delayMs === undefined) {
      this.#options.logger.error('the sentry died too often and is not started again', { detail });
      return;
    }
    await sleep(delayMs);
    if (this.#closed) return;
    try {
      await this.#launch(false);
    } catch (error) {
      await this.#died(
        `it could not be started again: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#sentry?.close();
  }
}
