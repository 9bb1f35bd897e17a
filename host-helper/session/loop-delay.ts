/** How late this process was to turn to what waited for it: one helper serves all sandboxes, so whatever stands in its way delays all. */

import { monitorEventLoopDelay } from 'node:perf_hooks';

const resolutionMs = 10;

export interface LoopDelay extends Disposable {
  /** Milliseconds beyond the sampling interval, since the last reading. */
  read(): { readonly p50: number; readonly p95: number; readonly max: number };
}

export function watchLoopDelay(): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const inMs = (ns: number): number => Math.max(0, Math.round(ns / 1e4) / 100 - resolutionMs);
  return {
    read() {
      // Before the first sample the histogram's numbers mean nothing.
      if (delay.count === 0) return { p50: 0, p95: 0, max: 0 };
      const read = { p50: inMs(delay.percentile(50)), p95: inMs(delay.percentile(95)), max: inMs(delay.max) };
      delay.reset();
      return read;
    },
    [Symbol.dispose]: () => void delay.disable(),
  };
}
