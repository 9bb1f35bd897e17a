/**
 * The sample session as a client drives it: start the agent, answer what is asked, wait until it has finished. Used by
 * `--once` and by the benchmarks; knows the protocol only.
 */

import type { Client, StateSubscription } from '../protocol/client.ts';
import type { Approval, RootState, SessionState } from '../protocol/state.ts';

export interface WatchedState {
  readonly subscription: StateSubscription;
  /** Resolves with the first state for which `test` holds; rejects naming `what` after `timeoutMs`, or when the helper goes. */
  until<Value>(
    what: string,
    timeoutMs: number,
    test: (state: RootState) => Value | undefined,
  ): Promise<Value>;
}

export async function watchState(client: Client): Promise<WatchedState> {
  const tests = new Set<() => void>();
  let state: RootState | undefined;
  const subscription = await client.subscribe((next) => {
    state = next;
    for (const test of [...tests]) test();
  });
  return {
    subscription,
    until(what, timeoutMs, test) {
      const { promise, resolve, reject } = Promise.withResolvers<NonNullable<ReturnType<typeof test>>>();
      const look = (): void => {
        let value: ReturnType<typeof test> | undefined;
        try {
          value = state === undefined ? undefined : test(state);
        } catch (error) {
          finish();
          reject(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        if (value === undefined || value === null) return;
        finish();
        resolve(value);
      };
      const timer = setTimeout(() => {
        finish();
        reject(new Error(`Waited ${timeoutMs / 1000} s in vain for: ${what}`));
      }, timeoutMs);
      const finish = (): void => {
        clearTimeout(timer);
        tests.delete(look);
        forget?.();
      };
      let forget: (() => void) | undefined;
      tests.add(look);
      look();
      if (tests.has(look))
        forget = client.onClose((cause) => {
          finish();
          reject(new Error(`The helper went while somebody waited for: ${what}`, { cause }));
        });
      // Whoever still waits is told; who left it with its helper need not be.
      promise.catch(() => {});
      return promise;
    },
  };
}

/** Answers every approval by `decide`, until `stop`; tells what was asked. */
export async function answerApprovals(
  client: Client,
  decide: (approval: Approval) => 'allow' | 'deny',
): Promise<{ readonly asked: readonly Approval[]; stop(): void }> {
  const asked = new Map<string, Approval>();
  const subscription = await client.subscribe((state) => {
    for (const approval of Object.values(state.approvals)) {
      if (approval.state !== 'pending' || asked.has(approval.id)) continue;
      asked.set(approval.id, approval);
      // Somebody else may have been quicker, or the caller is gone: both are fine.
      client
        .request('approval/answer', { id: approval.id, decision: decide(approval), scope: 'once' })
        .catch(() => {});
    }
  });
  return {
    get asked() {
      return [...asked.values()];
    },
    stop: () => subscription.close(),
  };
}

/** The session once its agent has ended and its last turn is closed. */
export function untilFinished(
  watched: WatchedState,
  sessionId: string,
  timeoutMs: number,
): Promise<SessionState> {
  return watched.until(`session ${sessionId} to finish`, timeoutMs, (state) => {
    const session = state.sessions[sessionId];
    if (!session) throw new Error(`session ${sessionId} is gone`);
    if (session.status === 'failed') throw new Error(`session ${sessionId} failed: ${session.detail ?? ''}`);
    const ended = session.agent.status === 'finished' || session.agent.status === 'failed';
    const settled =
      session.turns.every((turn) => turn.state === 'closed') && session.turns.at(-1)?.id === session.head;
    return ended && settled ? session : undefined;
  });
}
