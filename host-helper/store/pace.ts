/** Long work that never waits for anything: now and then it has to let others go first. */

const unitsAtOnce = 1_000;

export class Pace {
  #units = 0;

  /** So much was done; something to wait for when it is time to. A unit is an entry, or a kilobyte. */
  done(units: number): Promise<void> | undefined {
    this.#units += units;
    if (this.#units < unitsAtOnce) return undefined;
    this.#units = 0;
    return new Promise((resolve) => setImmediate(resolve));
  }
}
