/**
 * A and B in turns within one run, so that the drift of a noisy machine cancels out. Owns the order and the arithmetic; knows
 * nothing of what is measured.
 */

import { median, medianInterval, rounded } from './statistics.ts';

export interface Taken {
  readonly cpuMs: number;
  readonly wallMs: number;
}

export interface PairedRatio {
  /** CPU time with over CPU time without: median of the pairs' ratios, and where that median lies with 95 %. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  readonly wallRatio: number;
  readonly pairs: number;
  /** CPU milliseconds of one run without, median. */
  readonly baseCpuMs: number;
  readonly baseWallMs: number;
  /** Every pair: CPU milliseconds with and without. */
  readonly taken: readonly (readonly [number, number])[];
}

export interface PairingLimits {
  /** No new pair is begun after so long. */
  readonly budgetMs: number;
  readonly minimumPairs: number;
  readonly maximumPairs: number;
  readonly signal: AbortSignal;
}

/** Runs pairs until the budget is used. A first pair only warms the caches. */
export async function measurePairs(
  limits: PairingLimits,
  run: (on: boolean) => Promise<Taken>,
): Promise<PairedRatio> {
  const taken: { readonly on: Taken; readonly off: Taken }[] = [];
  const startedMs = performance.now();
  for (let pair = -1; pair < limits.maximumPairs; pair += 1) {
    limits.signal.throwIfAborted();
    if (pair >= limits.minimumPairs && performance.now() - startedMs > limits.budgetMs) break;
    // Which goes first alternates: the second finds warmer caches.
    const onFirst = pair % 2 === 0;
    const first = await run(onFirst);
    const second = await run(!onFirst);
    if (pair >= 0) taken.push(onFirst ? { on: first, off: second } : { on: second, off: first });
  }
  const ratios = taken.map(({ on, off }) => on.cpuMs / off.cpuMs);
  const { low, high } = medianInterval(ratios);
  return {
    ratio: rounded(median(ratios), 4),
    low: rounded(low, 4),
    high: rounded(high, 4),
    wallRatio: rounded(median(taken.map(({ on, off }) => on.wallMs / off.wallMs)), 4),
    pairs: taken.length,
    baseCpuMs: rounded(median(taken.map(({ off }) => off.cpuMs))),
    baseWallMs: rounded(median(taken.map(({ off }) => off.wallMs))),
    taken: taken.map(({ on, off }) => [rounded(on.cpuMs, 4), rounded(off.cpuMs, 4)]),
  };
}
