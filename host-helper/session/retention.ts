/**
 * Which checkpoints are kept how long: by number, age and bytes, and what is never given up. Decides from turns alone; removes
 * nothing and reads nothing but the person's file.
 */

import { open } from 'node:fs/promises';
import { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';
import { lineOf } from '../protocol/reducer.ts';
import type { Turn } from '../protocol/state.ts';

const bytes = z.number().int().nonnegative();
const retentionSchema = z.strictObject({
  /** So many of the newest turns of a session always stay restorable. */
  keepNewest: z.number().int().min(1).default(20),
  /** Checkpoints of one session. */
  maxCheckpoints: z.number().int().min(1).default(2000),
  maxAgeDays: z.number().positive().default(90),
  /** What the checkpoints of one session added, together. */
  maxSessionBytes: bytes.optional(),
  /** All that the store takes; the oldest checkpoints of all sessions go first. */
  maxStoreBytes: bytes.optional(),
  /** Free space that checkpoints leave alone. */
  reserveFreeBytes: bytes.optional(),
});
export type Retention = z.infer<typeof retentionSchema>;

export const defaultRetention: Retention = retentionSchema.parse({});

const dayMs = 86_400_000;

/** The retention in `path`; the defaults when there is no such file. Throws `invalidParams` saying what is wrong in it. */
export async function loadRetention(path: string): Promise<Retention> {
  let text: string;
  try {
    await using file = await open(path, 'r');
    if (((await file.stat()).mode & 0o002) !== 0) {
      throw new TurntableError(
        'notPermitted',
        `Everybody may write ${path}, so it says nothing. Run "chmod o-w ${path}", look at what is in it, and start again.`,
      );
    }
    text = await file.readFile('utf8');
  } catch (cause) {
    if (cause instanceof TurntableError) throw cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return defaultRetention;
    throw new TurntableError(
      'notPermitted',
      `The retention file ${path} cannot be read. Mend its permissions or remove it, then start again.`,
      { cause },
    );
  }
  try {
    return retentionSchema.parse(JSON.parse(text));
  } catch (cause) {
    const what =
      cause instanceof z.ZodError
        ? cause.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
        : String(cause);
    throw new TurntableError(
      'invalidParams',
      `The retention file ${path} is wrong (${what}). Mend or remove it, then start again.`,
      { cause },
    );
  }
}

/** One session, as far as retention looks at it. */
export interface RetainedSession {
  readonly id: string;
  readonly head: number;
  readonly turns: readonly Turn[];
  /** Turns whose checkpoint is in the store: also of those that cannot be restored, where it only takes space. */
  readonly kept: ReadonlySet<number>;
  /** Turns that unfinished work needs. */
  readonly needed: ReadonlySet<number>;
}

export interface Expiry {
  readonly sessionId: string;
  readonly turn: number;
  /** In words, to follow "expired". */
  readonly why: string;
}

/** Which checkpoints are to go now by number, age and bytes of their session, oldest first. */
export function dueExpiries(session: RetainedSession, policy: Retention, now: number): Expiry[] {
  const kept = keptTurns(session);
  const spare = protectedTurns(session, policy.keepNewest);
  let count = kept.length;
  let held = kept.reduce((sum, turn) => sum + (turn.checkpoint?.bytesStored ?? 0), 0);
  const due: Expiry[] = [];
  for (const turn of kept) {
    if (spare.has(turn.id)) continue;
    const why = whyDue(turn, policy, now, count, held);
    if (why === undefined) continue;
    count -= 1;
    held -= turn.checkpoint?.bytesStored ?? 0;
    due.push({ sessionId: session.id, turn: turn.id, why });
  }
  return due;
}

/** What could go when room is short: first what nobody can restore, then the oldest. */
export function spareExpiries(
  sessions: readonly RetainedSession[],
  policy: Retention,
  why: string,
): Expiry[] {
  return sessions
    .flatMap((session) => {
      const spare = protectedTurns(session, policy.keepNewest);
      return keptTurns(session)
        .filter((turn) => !spare.has(turn.id))
        .map((turn) => ({ sessionId: session.id, turn }));
    })
    .sort(
      (a, b) => Number(isRestorable(a.turn)) - Number(isRestorable(b.turn)) || endOf(a.turn) - endOf(b.turn),
    )
    .map(({ sessionId, turn }) => ({ sessionId, turn: turn.id, why }));
}

/**
 * Never given up: where the session started and where it is, the newest few, what unfinished work needs, and the end of every
 * line that was set aside, for that is where undoing a rewind leads.
 */
export function protectedTurns(session: RetainedSession, keepNewest: number): Set<number> {
  const parents = new Set(session.turns.map((turn) => turn.parent));
  const ends = session.turns.filter((turn) => !parents.has(turn.id)).map((turn) => turn.id);
  const newest = keptTurns(session)
    .filter(isRestorable)
    .slice(-keepNewest)
    .map((turn) => turn.id);
  // Where a resume starts when the head itself cannot be restored, and what the folders were last known to hold; the same for the ends.
  const lastOn = (id: number): number[] => {
    const line = lineOf({ turns: [...session.turns] }, id);
    const last = [line.findLast(isRestorable), line.findLast((turn) => session.kept.has(turn.id))];
    return [id, ...last.flatMap((turn) => turn?.id ?? [])];
  };
  return new Set([0, ...lastOn(session.head), ...ends.flatMap(lastOn), ...newest, ...session.needed]);
}

function keptTurns(session: RetainedSession): Turn[] {
  return session.turns
    .filter((turn) => turn.state === 'closed' && session.kept.has(turn.id))
    .sort((a, b) => a.id - b.id);
}

function isRestorable(turn: Turn): boolean {
  return turn.checkpoint?.restorable === true;
}

function whyDue(
  turn: Turn,
  policy: Retention,
  now: number,
  count: number,
  heldBytes: number,
): string | undefined {
  if (now - endOf(turn) > policy.maxAgeDays * dayMs) return `after ${policy.maxAgeDays} days`;
  if (count > policy.maxCheckpoints) return `beyond the newest ${policy.maxCheckpoints} of the session`;
  if (policy.maxSessionBytes !== undefined && heldBytes > policy.maxSessionBytes)
    return `beyond ${policy.maxSessionBytes} bytes of the session`;
  return undefined;
}

function endOf(turn: Turn): number {
  return turn.endedAt ?? turn.startedAt;
}
