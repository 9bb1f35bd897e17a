/**
 * How long a model takes for a reply. Real ones: median 10 s, 90 % within 46 s, which a lognormal distribution meets. Seeded by
 * task and step, so that every run of a task waits the same; scaled, so that a benchmark ends.
 */

import { seeded } from './random.ts';

const medianMs = 10_000;
const p90Ms = 46_000;
/** ln(p90 / median) is 1.2816 deviations. */
const deviation = Math.log(p90Ms / medianMs) / 1.2816;

/** Of the unscaled distribution: longer than anybody waits is cut. */
const longestMs = 120_000;

/** The wait before the reply to the request that knows of `callsTaken` tool calls. */
export function thinkTimes(task: string, scale: number): (callsTaken: number) => number {
  return (callsTaken) => {
    const drawn = seeded(`${task}/${callsTaken}`).normal();
    return scale * Math.min(longestMs, medianMs * Math.exp(deviation * drawn));
  };
}
