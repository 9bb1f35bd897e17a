/** One thing at a time within a session: turns close, rewinds and branches queue behind each other, first come first served. */
export class Lock {
  #tail: Promise<void> = Promise.resolve();
  #depth = 0;

  /** True while something runs or waits. */
  get busy(): boolean {
    return this.#depth > 0;
  }

  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    this.#depth += 1;
    await before;
    try {
      return await work();
    } finally {
      this.#depth -= 1;
      resolve();
    }
  }
}
