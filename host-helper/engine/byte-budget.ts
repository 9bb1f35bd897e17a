/**
 * How many bytes checkpoints may write in a second: a token bucket that may go into debt. What a job will write is only
 * known when it has, so it is charged by estimate and corrected. Pure: knows no jobs and has no clock of its own.
 */

export interface ByteBudgetOptions {
  /** Refilled at this rate. Infinity switches the budget off. */
  readonly bytesPerSecond: number;
  /** The most that is saved up while nothing is written. */
  readonly burstBytes: number;
  /** How deep in debt one may still begin who may borrow. */
  readonly borrowBytes: number;
}

export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  #balance: number;
  #atMs: number | undefined;

  constructor(options: ByteBudgetOptions) {
    this.#options = options;
    this.#balance = options.burstBytes;
  }

  /** Bytes that may be written now; negative is debt. */
  balance(nowMs: number): number {
    const { bytesPerSecond, burstBytes } = this.#options;
    if (bytesPerSecond === Infinity) return Infinity;
    // A clock that steps back refills nothing.
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = Math.max(nowMs, this.#atMs ?? nowMs);
    this.#balance = Math.min(burstBytes, this.#balance + (passedMs * bytesPerSecond) / 1000);
    return this.#balance;
  }

  /** Whether a job may begin. One that is larger than the whole bucket may too, once the bucket is not in debt. */
  allows(nowMs: number, mayBorrow: boolean): boolean {
    return this.balance(nowMs) > (mayBorrow ? -this.#options.borrowBytes : 0);
  }

  /** Milliseconds until `allows` holds if nothing is written meanwhile; 0 when it does. */
  waitMs(nowMs: number, mayBorrow: boolean): number {
    const missing = (mayBorrow ? -this.#options.borrowBytes : 0) - this.balance(nowMs);
    return missing < 0 ? 0 : Math.ceil((missing * 1000) / this.#options.bytesPerSecond) + 1;
  }

  /** Charges bytes, or gives them back when negative. */
  take(nowMs: number, bytes: number): void {
    if (this.balance(nowMs) === Infinity) return;
    this.#balance = Math.min(this.#options.burstBytes, this.#balance - bytes);
  }
}
