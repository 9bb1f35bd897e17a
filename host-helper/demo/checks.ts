/** A list of claims that a run makes and whether each held; what `--once` reports. */

export interface Check {
  readonly claim: string;
  readonly held: boolean;
  readonly detail: string | undefined;
}

export class Checks {
  readonly all: Check[] = [];

  get failed(): Check[] {
    return this.all.filter((check) => !check.held);
  }

  /** Notes the claim and returns whether it held. */
  claim(claim: string, held: boolean, detail?: string): boolean {
    this.all.push({ claim, held, detail: held ? undefined : detail });
    return held;
  }

  equal(claim: string, actual: unknown, expected: unknown): boolean {
    const same = JSON.stringify(actual) === JSON.stringify(expected);
    return this.claim(claim, same, `expected ${JSON.stringify(expected)}, found ${JSON.stringify(actual)}`);
  }
}
