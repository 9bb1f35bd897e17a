/**
 * Holds a reply back until the turn before is safe, at most for a cap, and measures the time that really added.
 */

export interface Release {
  /** The cap ended the wait, not the checkpoint. */
  readonly capped: boolean;
}

/** Waits for `safe`, but no longer than `capMs` and not when `signal` aborts first. */
export async function waitUntilSafe(
  safe: Promise<void>,
  capMs: number,
  signal: AbortSignal,
): Promise<Release> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const capped = new Promise<Release>((resolve) => {
    timer = setTimeout(() => resolve({ capped: true }), capMs);
  });
  const aborted = new Promise<Release>((resolve) => {
    onAbort = () => resolve({ capped: false });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([safe.then(() => ({ capped: false })), capped, aborted]);
  } finally {
    clearTimeout(timer);
    if (onAbort) signal.removeEventListener('abort', onAbort);
  }
}
