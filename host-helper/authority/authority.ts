/**
 * The authority of the whole helper: joins rules, human queue and audit log into what the other parts see. Deciding is
 * decider.ts; the sentry and the egress proxy carry out what it says. Whatever goes wrong in here is a denial.
 */

import type { Approvals } from './approvals.ts';
import type { AuditLog } from './audit.ts';
import { createDecider, type Decider, type DeciderOptions, type NetworkAsk } from './decider.ts';
import { noRules } from './exec-rules.ts';
import type { OuterProxies } from './outer-proxy.ts';

export interface Authority extends Omit<Decider, 'forget'> {
  readonly approvals: Approvals;
  readonly audit: AuditLog;
  /** What the egress proxy needs to know besides decisions. */
  readonly egress: { readonly allowPrivate: readonly string[]; readonly outerProxies: OuterProxies };
  /** A process ran something else than was approved and was killed: it goes to the audit log. */
  execKilled(
    sessionId: string,
    event: { readonly pid: number; readonly program: string; readonly reason: string },
  ): void;
  /** An address rule of the proxy refused what might have been allowed by name: it goes to the audit log. */
  networkRefused(
    ask: Pick<NetworkAsk, 'sessionId' | 'turn' | 'host' | 'port' | 'method'>,
    reason: string,
  ): void;
  /** The session is removed for good (not merely stopped): pending questions are denied, its grants end. */
  removeSession(sessionId: string): void;
}

export interface AuthorityOptions extends DeciderOptions {
  readonly audit: AuditLog;
  /** How this host itself gets out. Default: directly. */
  readonly outerProxies?: OuterProxies;
}

/** Its parts belong to the caller, who closes the queue before the log. */
export function createAuthority(options: AuthorityOptions): Authority {
  const { approvals, audit, logger, rules = noRules } = options;
  const decider = createDecider(options);
  /** For what is denied or over anyway. */
  const note = (kind: string, sessionId: string, data: Record<string, unknown>): void => {
    audit
      .append(kind, sessionId, data)
      .catch((error: unknown) => logger.error('A denial was not audited', { kind, sessionId, error }));
  };
  return {
    approvals,
    audit,
    egress: {
      allowPrivate: rules.allowPrivate,
      outerProxies: options.outerProxies ?? { https: undefined, http: undefined },
    },
    decideExec: decider.decideExec,
    decideNetwork: decider.decideNetwork,
    plainExecs: decider.plainExecs,
    execKilled: (sessionId, { pid, program, reason }) =>
      note('exec.killed', sessionId, { pid, program, reason }),
    networkRefused: ({ sessionId, turn, host, port, method }, reason) =>
      note('network.denied', sessionId, { turn, host, port, method, reason }),
    removeSession(sessionId) {
      const execsWithoutRule = decider.plainExecs(sessionId);
      approvals.removeSession(sessionId);
      decider.forget(sessionId);
      note('session.closed', sessionId, { execsWithoutRule });
    },
  };
}
