/** Somebody else who has something to do in the same process. */

/** Counts its turns: in long work that never waits for anything there are none. */
export class Others implements Disposable {
  turns = 0;
  #next = setImmediate(() => this.#turn());

  #turn(): void {
    this.turns += 1;
    this.#next = setImmediate(() => this.#turn());
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#next);
  }
}
