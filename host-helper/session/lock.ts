/** One thing at a time within a session: turns close, rewinds and branches queue behind each other, first come first served. */
export class Lock {
  #tail: Promise<void> = Promise.resolve();
  #depth = 0;
  #closed: Error | undefined;

  /** True while something runs or waits. */
  get busy(): boolean {
    return this.#depth > 0;
  }

  /** Rejects with what `close` was given once the lock is closed, also for those that already waited. */
  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    this.#depth += 1;
    await before;
    try {
      if (this.#closed) throw this.#closed;
      return await work();
    } finally {
      this.#depth -= 1;
      resolve();
    }
  }

  /** Nothing runs any more: what it would work on is gone. Whoever holds the lock finishes. */
  close(error: Error): void {
    this.#closed = error;
  }
}
