/**
 * The authority of the whole helper: puts rules, human queue and audit log together and owns their life. Deciding is
 * decider.ts; the sentry and the egress proxy carry out what it says. Whatever goes wrong in here is a denial.
 */

import type { Logger } from '../log.ts';
import type { Approval } from '../protocol/state.ts';
import { createApprovals, type Approvals, type Scope } from './approvals.ts';
import { openAuditLog, type AuditLog, type AuditRecord } from './audit.ts';
import { createDecider, type Decider, type DeciderOptions, type NetworkAsk } from './decider.ts';
import { noRules, type ParsedRules } from './exec-rules.ts';
import { outerProxiesFrom, type OuterProxies } from './outer-proxy.ts';

export interface Authority extends Omit<Decider, 'forget'>, AsyncDisposable {
  readonly approvals: Approvals;
  readonly audit: AuditLog;
  /** What the egress proxy needs to know besides decisions. */
  readonly egress: { readonly allowPrivate: readonly string[]; readonly outerProxies: OuterProxies };
  /** A person's answer; see `Approvals.answer`. */
  answer(
    id: string,
    answer: { readonly decision: 'allow' | 'deny'; readonly scope: Scope; readonly by: string; readonly reason?: string | undefined },
  ): Promise<Approval>;
  /** Writes down something another part did (a rewind, a branch). Rejects when it is not on disk. */
  record(kind: string, sessionId: string | undefined, data: Record<string, unknown>): Promise<void>;
  /** An address rule of the proxy refused what might have been allowed by name: it goes to the audit log. */
  networkRefused(ask: Pick<NetworkAsk, 'sessionId' | 'turn' | 'host' | 'port' | 'method'>, reason: string): void;
  /** The newest records and whether the chain of the whole log holds. */
  readAudit(query: { readonly sessionId?: string | undefined; readonly limit: number }): Promise<{ entries: AuditRecord[]; intact: boolean }>;
  /** The session is gone: pending questions are denied, grants end. Not for a mere stop. */
  removeSession(sessionId: string): void;
  /** Denies what is pending, then closes the log. */
  close(): Promise<void>;
}

export interface AuthorityOptions {
  /** Holds `audit.log`. */
  readonly stateDirectory: string;
  /** A person's own rules (rules-file.ts). */
  readonly rules?: ParsedRules;
  readonly dispatch: (approval: Approval) => void;
  readonly logger: Logger;
  /** Default: as the helper's own environment says. */
  readonly outerProxies?: OuterProxies;
  /** How long a question waits for a person. Default 5 minutes. */
  readonly askTimeoutMs?: number;
}

/** Opens the audit log and starts an empty queue: grants of an earlier helper are not taken over. */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const { logger, rules = noRules } = options;
  const outerProxies = options.outerProxies ?? outerProxiesFrom(process.env);
  const audit = await openAuditLog(options.stateDirectory);
  const approvals = createApprovals({ dispatch: options.dispatch, audit, logger });
  return joinAuthority({ approvals, audit, logger, rules, outerProxies, ...(options.askTimeoutMs === undefined ? {} : { askTimeoutMs: options.askTimeoutMs }) });
}

/** The same from parts that stand already. */
export function joinAuthority(options: DeciderOptions & { readonly audit: AuditLog; readonly outerProxies?: OuterProxies }): Authority {
  const { approvals, audit, logger, rules = noRules } = options;
  const decider = createDecider(options);
  /** For what is denied or over anyway. */
  const note = (kind: string, sessionId: string, data: Record<string, unknown>): void => {
    audit.append(kind, sessionId, data).catch((error: unknown) => logger.error('A denial was not audited', { kind, sessionId, error }));
  };
  const authority: Authority = {
    approvals,
    audit,
    egress: { allowPrivate: rules.allowPrivate, outerProxies: options.outerProxies ?? { https: undefined, http: undefined } },
    decideExec: decider.decideExec,
    decideNetwork: decider.decideNetwork,
    plainExecs: decider.plainExecs,
    answer: (id, { decision, scope, by, reason }) => approvals.answer(id, decision, scope, by, reason),
    record: async (kind, sessionId, data) => {
      await audit.append(kind, sessionId, data);
    },
    networkRefused: ({ sessionId, turn, host, port, method }, reason) => note('network.denied', sessionId, { turn, host, port, method, reason }),
    async readAudit({ sessionId, limit }) {
      const entries = await audit.read({ limit, ...(sessionId === undefined ? {} : { sessionId }) });
      return { entries, intact: (await audit.verify()).intact };
    },
    removeSession(sessionId) {
      const execsWithoutRule = decider.plainExecs(sessionId);
      approvals.removeSession(sessionId);
      decider.forget(sessionId);
      note('session.closed', sessionId, { execsWithoutRule });
    },
    async close() {
      approvals.close();
      await audit.close();
    },
    [Symbol.asyncDispose]: () => authority.close(),
  };
  return authority;
}
