/** Shows that something goes on for as long as it does, and never longer. */

import type { Action } from '../protocol/actions.ts';
import { newId } from './ids.ts';

/** Smaller steps are not worth an action. */
const leastStep = 0.01;

export async function withProgress<Value>(
  dispatch: (action: Action) => void,
  label: string,
  sessionId: string | undefined,
  work: (onProgress: (fraction: number) => void) => Promise<Value>,
): Promise<Value> {
  const id = newId('p');
  const progress = { id, label, ...(sessionId === undefined ? {} : { sessionId }) };
  dispatch({ type: 'progress/set', progress });
  let shown = 0;
  try {
    return await work((fraction) => {
      if (fraction - shown < leastStep) return;
      shown = fraction;
      dispatch({ type: 'progress/set', progress: { ...progress, fraction } });
    });
  } finally {
    dispatch({ type: 'progress/done', id });
  }
}
