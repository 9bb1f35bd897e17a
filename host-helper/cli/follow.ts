/** Shows on the spinner what the helper says it is doing, and on stderr when a person has to answer. */

import type { Client } from '../protocol/client.ts';
import { approvalSubject, shortId } from './format/approvals.ts';
import { printable } from './format/style.ts';
import type { Progress } from './progress.ts';

/** Follows one session's progress (any session's when undefined) until disposed of. */
export async function followProgress(
  client: Client,
  sessionId: string | undefined,
  progress: Progress,
): Promise<AsyncDisposable> {
  const told = new Set<string>();
  const subscription = await client.subscribe((state) => {
    const mine = Object.values(state.progress).filter(
      (each) => sessionId === undefined || each.sessionId === sessionId,
    );
    const newest = mine.at(-1);
    if (newest) {
      const part = newest.fraction === undefined ? '' : ` ${Math.round(newest.fraction * 100)} %`;
      progress.label(printable(newest.label) + part);
    }
    for (const approval of Object.values(state.approvals)) {
      if (approval.state !== 'pending' || approval.sessionId !== sessionId || told.has(approval.id)) continue;
      told.add(approval.id);
      progress.note(
        `turntable: waits for your answer: ${approvalSubject(approval)}\n  turntable approve ${shortId(approval.id)}   or   turntable deny ${shortId(approval.id)}`,
      );
    }
  });
  return { [Symbol.asyncDispose]: () => Promise.resolve(subscription.close()) };
}
