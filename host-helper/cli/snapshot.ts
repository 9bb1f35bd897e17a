/** Short ways to the state for commands that look once. */

import type { Client } from '../protocol/client.ts';
import type { RootState, SessionState } from '../protocol/state.ts';
import { selectSession } from './select.ts';

/** The state now. */
export async function snapshotOf(client: Client): Promise<RootState> {
  const { state } = await client.request('subscribe', {});
  return state;
}

/** The session that `reference` names. Throws `sessionNotFound`, `invalidParams`. */
export async function sessionOf(client: Client, reference: string): Promise<SessionState> {
  return selectSession(await snapshotOf(client), reference);
}
