/** Shows that something goes on for as long as it does, and never longer. */

import type { Action } from '../protocol/actions.ts';
import { newId } from './ids.ts';

export async function withProgress<Value>(
  dispatch: (action: Action) => void,
  label: string,
  sessionId: string | undefined,
  work: () => Promise<Value>,
): Promise<Value> {
  const id = newId('p');
  dispatch({
    type: 'progress/set',
    progress: { id, label, ...(sessionId === undefined ? {} : { sessionId }) },
  });
  try {
    return await work();
  } finally {
    dispatch({ type: 'progress/done', id });
  }
}
