/** For commands that go on until the person ends them. */

import type { Client } from '../protocol/client.ts';

/** Resolves on Ctrl-C or SIGTERM; rejects when the connection is lost. */
export async function untilInterrupted(client: Client): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const stop = (): void => resolve(undefined);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const forget = client.onClose((error) => (error ? reject(error) : resolve(undefined)));
  try {
    await promise;
  } finally {
    forget();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** Fires on Ctrl-C or SIGTERM: the request under way is given up, and the helper told. */
export function interrupted(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort());
  return abort.signal;
}
