/**
 * The human queue: what waits for a person, who answered, and which grants an answer left. It knows nothing of rules
 * or of how an effect is carried out. Everything that is not a clear yes is a no: a time-out, a caller that died, a
 * helper that stops, a full queue, an audit log that cannot be written.
 *
 * `once` covers the request that was shown and is used up by it. `session` leaves a grant for the same key. A grant
 * belongs to one session: it dies with it, is not inherited by a branch (a branch starts with none), and is no part of
 * a checkpoint, so neither a grant nor its revocation is undone by a rewind.
 */

import { randomUUID } from 'node:crypto';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { limits, type Approval } from '../protocol/state.ts';
import type { AuditLog } from './audit.ts';

export type Scope = 'once' | 'session';

export interface ApprovalRequest {
  readonly sessionId: string;
  readonly turn: number;
  /** Which rule asked, in words. */
  readonly rule: string;
  /** What a grant for the session would cover: the key decides, the words are for people. */
  readonly grantKey: string;
  readonly covers: string;
  /** Requests of one session with the same `shareKey` wait for one answer (connections to the same host). */
  readonly shareKey?: string;
  /** Default 5 minutes. */
  readonly timeoutMs?: number;
  /** Aborted when the caller is gone. */
  readonly signal?: AbortSignal;
}

export interface ApprovalOutcome {
  readonly allowed: boolean;
  /** Of the answer; undefined when nobody answered. */
  readonly scope: Scope | undefined;
  /** Why, for the caller and the log. */
  readonly reason: string;
  /** Undefined when it never came into the queue. */
  readonly approvalId: string | undefined;
}

export interface SessionGrant {
  readonly id: string;
  readonly sessionId: string;
  readonly key: string;
  /** What it covers, precisely and in words. */
  readonly covers: string;
  readonly rule: string;
  readonly grantedBy: string;
  readonly grantedAt: number;
}

export interface Approvals {
  /** Never rejects. */
  request(subject: Approval['subject'], request: ApprovalRequest): Promise<ApprovalOutcome>;
  /** The first valid answer wins. Throws `approvalNotFound` or `approvalSettled`. `scope` defaults to once. */
  answer(
    id: string,
    decision: 'allow' | 'deny',
    scope: Scope | undefined,
    by: string,
    reason?: string,
  ): Promise<Approval>;
  /** Pending ones, and with `all` the lately settled ones too; oldest first. */
  list(query?: { sessionId?: string; all?: boolean }): Approval[];
  /** The grant that covers a key, if the session has one. */
  grantFor(sessionId: string, key: string): SessionGrant | undefined;
  grants(sessionId?: string): SessionGrant[];
  /** Takes a grant back from now on. Takes effect even when the audit log fails; then rejects. Throws `approvalNotFound`. */
  revoke(grantId: string, by: string): Promise<void>;
  /** The session is gone: its grants with it, what it waits for is denied. */
  removeSession(sessionId: string): void;
  /** The helper stops: everything pending is denied. */
  close(): void;
}

interface Waiter {
  settle(outcome: ApprovalOutcome): void;
}

interface Entry {
  approval: Approval;
  readonly request: ApprovalRequest;
  readonly waiters: Set<Waiter>;
  timer: NodeJS.Timeout | undefined;
  /** An answer is being written to the audit log: later answers are too late. */
  answering: boolean;
}

const defaultTimeoutMs = 5 * 60_000;

export function createApprovals(options: {
  readonly dispatch: (approval: Approval) => void;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly logger: Logger;
  /** Pending requests a session may have; more are denied. Default 100. */
  readonly pendingLimit?: number;
  readonly now?: () => number;
}): Approvals {
  const { dispatch, audit, logger, pendingLimit = 100, now = Date.now } = options;
  const entries = new Map<string, Entry>();
  const grants = new Map<string, SessionGrant>();
  let closed = false;

  const publish = (approval: Approval): void => {
    try {
      dispatch(approval);
    } catch (error) {
      // A client's trouble must not decide about an effect.
      logger.error('An approval could not be shown', { id: approval.id, error });
    }
  };

  /** Settles for good. Later calls change nothing. */
  const settle = (
    entry: Entry,
    change: Partial<Approval> & { state: Exclude<Approval['state'], 'pending'> },
    reason: string,
  ): void => {
    if (entry.approval.state !== 'pending') return;
    clearTimeout(entry.timer);
    entry.approval = { ...entry.approval, ...change, reason };
    publish(entry.approval);
    const allowed = change.state === 'allowed';
    for (const waiter of entry.waiters) {
      waiter.settle({
        allowed,
        scope: allowed ? entry.approval.scope : undefined,
        reason,
        approvalId: entry.approval.id,
      });
    }
    entry.waiters.clear();
    forgetOld();
  };

  const note = (kind: string, entry: Entry, data: Record<string, unknown> = {}): void => {
    audit
      .append(kind, entry.approval.sessionId, { approval: entry.approval.id, ...data })
      .catch((error: unknown) => {
        logger.error('An approval that ended in a denial was not audited', {
          id: entry.approval.id,
          kind,
          error,
        });
      });
  };

  const expire = (entry: Entry): void => {
    if (entry.approval.state !== 'pending') return;
    settle(entry, { state: 'expired' }, 'Nobody answered in time. No answer is a no.');
    note('approval.expired', entry);
  };

  const withdraw = (entry: Entry, reason: string): void => {
    if (entry.approval.state !== 'pending') return;
    settle(entry, { state: 'withdrawn' }, reason);
    note('approval.withdrawn', entry, { reason });
  };

  const forgetOld = (): void => {
    const settled = [...entries.values()].filter((entry) => entry.approval.state !== 'pending');
    for (const entry of settled.slice(0, Math.max(0, settled.length - limits.settledApprovals)))
      entries.delete(entry.approval.id);
  };

  const wait = (entry: Entry, signal: AbortSignal | undefined): Promise<ApprovalOutcome> =>
    new Promise((resolve) => {
      const waiter: Waiter = {
        settle(outcome) {
          signal?.removeEventListener('abort', leave);
          resolve(outcome);
        },
      };
      const leave = (): void => {
        entry.waiters.delete(waiter);
        resolve(denied('The caller is gone.', entry.approval.id));
        if (entry.waiters.size === 0) withdraw(entry, 'The caller is gone.');
      };
      entry.waiters.add(waiter);
      if (signal?.aborted) leave();
      else signal?.addEventListener('abort', leave, { once: true });
    });

  const pending = (sessionId: string): Entry[] =>
    [...entries.values()].filter(
      (entry) => entry.approval.sessionId === sessionId && entry.approval.state === 'pending',
    );

  const grant = (entry: Entry, by: string): SessionGrant => ({
    id: randomUUID(),
    sessionId: entry.approval.sessionId,
    key: entry.request.grantKey,
    covers: entry.request.covers,
    rule: entry.approval.rule,
    grantedBy: by,
    grantedAt: now(),
  });

  return {
    async request(subject, request) {
      if (closed) return denied('The helper is stopping.', undefined);
      if (request.signal?.aborted) return denied('The caller is gone.', undefined);
      const open = pending(request.sessionId);
      const shared =
        request.shareKey === undefined
          ? undefined
          : open.find((entry) => entry.request.shareKey === request.shareKey);
      if (shared) return wait(shared, request.signal);
      if (open.length >= pendingLimit) {
        return denied(
          `${pendingLimit} questions of this session already wait for an answer. Answer those first.`,
          undefined,
        );
      }
      const askedAt = now();
      const timeoutMs = request.timeoutMs ?? defaultTimeoutMs;
      const approval: Approval = {
        id: randomUUID(),
        sessionId: request.sessionId,
        turn: request.turn,
        askedAt,
        expiresAt: askedAt + timeoutMs,
        rule: request.rule,
        subject,
        state: 'pending',
      };
      const entry: Entry = { approval, request, waiters: new Set(), timer: undefined, answering: false };
      entries.set(approval.id, entry);
      const outcome = wait(entry, request.signal);
      try {
        await audit.append('approval.asked', request.sessionId, {
          approval: approval.id,
          turn: approval.turn,
          rule: approval.rule,
          subject,
        });
      } catch (error) {
        settle(
          entry,
          { state: 'denied' },
          `It could not be written to the audit log, so it is denied. ${messageOf(error)}`,
        );
        return outcome;
      }
      if (entry.approval.state === 'pending') {
        entry.timer = setTimeout(() => expire(entry), timeoutMs);
        publish(entry.approval);
      }
      return outcome;
    },

    async answer(id, decision, scope = 'once', by, reason) {
      const entry = entries.get(id);
      if (!entry)
        throw new TurntableError(
          'approvalNotFound',
          'This approval is not known (any more). List the pending ones with "turntable approvals".',
        );
      if (entry.approval.state === 'pending' && entry.approval.expiresAt <= now()) expire(entry);
      if (entry.approval.state !== 'pending' || entry.answering) throw settledError(entry.approval);
      entry.answering = true;
      const allowed = decision === 'allow';
      const newGrant = allowed && scope === 'session' ? grant(entry, by) : undefined;
      const common = { answeredBy: by, ...(allowed ? { scope } : {}) };
      try {
        await audit.append('approval.answered', entry.approval.sessionId, {
          approval: id,
          decision,
          by,
          ...(allowed ? { scope } : {}),
          ...(reason === undefined ? {} : { reason }),
        });
        if (newGrant)
          await audit.append('grant.made', newGrant.sessionId, {
            grant: newGrant.id,
            approval: id,
            covers: newGrant.covers,
            rule: newGrant.rule,
            by,
          });
      } catch (error) {
        settle(
          entry,
          { ...common, state: 'denied' },
          `The answer could not be written to the audit log, so it is denied. ${messageOf(error)}`,
        );
        return entry.approval;
      }
      if (entry.approval.state !== 'pending') {
        // It ended while the answer was being written: nothing is left to allow, and no grant is made of it.
        if (newGrant) {
          await audit.append('grant.revoked', newGrant.sessionId, {
            grant: newGrant.id,
            by: 'helper',
            reason: 'The request had ended.',
          });
        }
        throw settledError(entry.approval);
      }
      settle(
        entry,
        { ...common, state: allowed ? 'allowed' : 'denied' },
        reason ?? (allowed ? `Allowed by ${by}.` : `Denied by ${by}.`),
      );
      if (newGrant) {
        grants.set(newGrant.id, newGrant);
        // What waits for the very same is covered now.
        for (const other of pending(newGrant.sessionId)) {
          if (other.request.grantKey === newGrant.key && !other.answering) {
            settle(other, { ...common, state: 'allowed' }, `Covered by what ${by} allowed for the session.`);
            note('grant.used', other, { grant: newGrant.id });
          }
        }
      }
      return entry.approval;
    },

    list({ sessionId, all } = {}) {
      return [...entries.values()]
        .map((entry) => entry.approval)
        .filter(
          (approval) =>
            (sessionId === undefined || approval.sessionId === sessionId) &&
            (all === true || approval.state === 'pending'),
        );
    },

    grantFor(sessionId, key) {
      for (const candidate of grants.values()) {
        if (candidate.sessionId === sessionId && candidate.key === key) return candidate;
      }
      return undefined;
    },

    grants: (sessionId) =>
      [...grants.values()].filter(
        (candidate) => sessionId === undefined || candidate.sessionId === sessionId,
      ),

    async revoke(grantId, by) {
      const found = grants.get(grantId);
      if (!found)
        throw new TurntableError(
          'approvalNotFound',
          'This grant is not known (any more). Nothing is granted by it.',
        );
      for (const candidate of [...grants.values()]) {
        if (candidate.sessionId === found.sessionId && candidate.key === found.key)
          grants.delete(candidate.id);
      }
      await audit.append('grant.revoked', found.sessionId, { grant: found.id, covers: found.covers, by });
    },

    removeSession(sessionId) {
      for (const entry of pending(sessionId)) withdraw(entry, 'The session was removed.');
      for (const candidate of [...grants.values()])
        if (candidate.sessionId === sessionId) grants.delete(candidate.id);
    },

    close() {
      closed = true;
      for (const entry of [...entries.values()]) withdraw(entry, 'The helper is stopping.');
    },
  };
}

function denied(reason: string, approvalId: string | undefined): ApprovalOutcome {
  return { allowed: false, scope: undefined, reason, approvalId };
}

function settledError(approval: Approval): TurntableError {
  return new TurntableError(
    'approvalSettled',
    `This was already settled (${approval.state}${approval.answeredBy ? ` by ${approval.answeredBy}` : ''}). The program has to ask again.`,
    {
      data: { id: approval.id, state: approval.state },
    },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
