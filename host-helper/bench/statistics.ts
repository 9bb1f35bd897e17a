/** Medians, percentiles and intervals of small samples. Pure. */

const resamples = 2000;

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Linear between the two nearest ranks; NaN for an empty sample. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * Where the median would lie in 95 of 100 samples like this one (percentile bootstrap, Efron 1979). Always the same for the
 * same values: the resampling draws from a generator with a fixed seed.
 */
export function medianInterval(values: readonly number[]): { readonly low: number; readonly high: number } {
  const next = generator(values.length + 1);
  const medians = Array.from({ length: resamples }, () =>
    median(values.map(() => values[Math.floor(next() * values.length)] ?? Number.NaN)),
  );
  return { low: percentile(medians, 2.5), high: percentile(medians, 97.5) };
}

/** To so many significant digits: more would be noise. */
export function rounded(value: number, digits = 3): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value;
}

/** A linear congruential generator; its quality is of no account here. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
