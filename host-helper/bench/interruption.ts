/**
 * What Ctrl-C does to a measurement: helpers that it started are taken down, so that whatever waits for them ends, and then it gets
 * a while to put back what it changed.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { endHelpersBelow } from './abandoned-helpers.ts';

/** How long an interrupted measurement gets; a helper may just be starting. */
const unwindMs = 60_000;

/** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
  return stop.signal;
}

/** The result of `work`, whose helpers all lie below `directory`. Throws when interrupted, after everything was put back. */
export async function untilAborted<Value>(
  work: Promise<Value>,
  signal: AbortSignal,
  directory: string,
  say: (line: string) => void,
): Promise<Value> {
  const { promise: aborted, resolve } = Promise.withResolvers<'aborted'>();
  const onAbort = (): void => resolve('aborted');
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const first = await Promise.race([work.then((value) => ({ value })), aborted]);
    if (first !== 'aborted') return first.value;
    say('\nstopping: what was started is taken down …');
    await unwound(work, directory);
    throw new Error('interrupted');
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function unwound(work: Promise<unknown>, directory: string): Promise<void> {
  const ended = work.then(
    () => 'ended' as const,
    () => 'ended' as const,
  );
  const deadline = performance.now() + unwindMs;
  do {
    // More than once: one that was just starting has only now a lock to be found by.
    await endHelpersBelow(directory);
    if ((await Promise.race([ended, sleep(1_000, undefined, { ref: false })])) === 'ended') return;
  } while (performance.now() < deadline);
}
