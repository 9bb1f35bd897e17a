/**
 * Decides one exec or one connection: rules first, then what was granted, then a person. It carries nothing out and
 * keeps no state but counts, the lineage of judged processes, and what was allowed once for the open turn.
 *
 * Execs that no rule speaks of are counted, not audited one by one.
 */

import type { ExecAsk } from '../inspector/sentry.ts';
import type { Logger } from '../log.ts';
import { limits, type Approval } from '../protocol/state.ts';
import type { Approvals } from './approvals.ts';
import type { AuditLog } from './audit.ts';
import { createExecPolicy, execGrant } from './exec-policy.ts';
import { defaultExecRules, noRules, type ExecRule, type ParsedRules } from './exec-rules.ts';
import { createLineage, type Lineage } from './lineage.ts';
import { judgeHost } from './network-policy.ts';

export interface ExecVerdict {
  readonly verdict: 'allow' | 'deny';
  /** See ExecAnswer.remember. */
  readonly remember: boolean;
  /** Id of the rule that decided; undefined when none speaks of it. */
  readonly rule: string | undefined;
  /** For a person. */
  readonly reason: string;
}

export interface NetworkAsk {
  readonly sessionId: string;
  /** The open turn. */
  readonly turn: number;
  /** Lower case, as asked for: a name or an address. */
  readonly host: string;
  readonly port: number;
  /** CONNECT, or the method of a plain HTTP request. */
  readonly method: string;
  readonly program?: string;
  readonly signal?: AbortSignal;
}

export interface NetworkDecision {
  readonly allowed: boolean;
  readonly rule: string | undefined;
  readonly reason: string;
}

export interface ExecContext {
  readonly sessionId: string;
  /** The open turn. */
  readonly turn: number;
  /** Aborted when the caller is gone. */
  readonly signal?: AbortSignal;
}

export interface Decider {
  /** Never rejects. A person is asked while the caller stands still. */
  decideExec(ask: ExecAsk, context: ExecContext): Promise<ExecVerdict>;
  /** Never rejects. */
  decideNetwork(ask: NetworkAsk): Promise<NetworkDecision>;
  /** Execs allowed without a rule since the session began. */
  plainExecs(sessionId: string): number;
  forget(sessionId: string): void;
}

export interface DeciderOptions {
  readonly approvals: Approvals;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly logger: Logger;
  /** A person's own rules, from the helper's configuration directory; they go before the defaults. */
  readonly rules?: ParsedRules;
  /** Default: `defaultExecRules`. */
  readonly defaults?: readonly ExecRule[];
  readonly lineage?: Lineage;
  /** How long a question waits. Default: the queue's own. */
  readonly askTimeoutMs?: number;
}

/** How long a process that was refused something is refused the very same without a new question. */
const refusalMs = 10_000;

export function createDecider(options: DeciderOptions): Decider {
  const {
    approvals,
    audit,
    logger,
    rules = noRules,
    defaults = defaultExecRules,
    lineage = createLineage(),
  } = options;
  const policy = createExecPolicy([rules.exec, defaults]);
  const counts = new Map<string, number>();
  /** `once` for a host means: for the turn it was asked in. Keyed by session; a new turn forgets the old one's. */
  const hostsOfTurn = new Map<string, { turn: number; allowed: Set<string>; denied: Map<string, string> }>();
  /** What a process was just refused: a shell goes on to try the same program under its other names on PATH. By session and pid. */
  const refused = new Map<string, { key: string; untilMs: number; reason: string }>();
  const timeout = options.askTimeoutMs === undefined ? {} : { timeoutMs: options.askTimeoutMs };

  /** Writes it down or throws: what cannot be audited must not happen. */
  const record = (kind: string, sessionId: string, data: Record<string, unknown>): Promise<unknown> =>
    audit.append(kind, sessionId, data);
  /** For what is denied anyway. */
  const note = (kind: string, sessionId: string, data: Record<string, unknown>): void => {
    audit
      .append(kind, sessionId, data)
      .catch((error: unknown) => logger.error('A denial was not audited', { kind, sessionId, error }));
  };

  const hostsFor = (
    sessionId: string,
    turn: number,
  ): { turn: number; allowed: Set<string>; denied: Map<string, string> } => {
    let hosts = hostsOfTurn.get(sessionId);
    if (!hosts || hosts.turn !== turn) {
      hosts = { turn, allowed: new Set(), denied: new Map() };
      hostsOfTurn.set(sessionId, hosts);
    }
    return hosts;
  };

  const judgeExec = async (ask: ExecAsk, context: ExecContext): Promise<ExecVerdict> => {
    const { sessionId, turn } = context;
    const decision = policy.decide(ask, (rule) => lineage.excuses(ask.pid, rule));
    const { rule, caution } = decision;
    const facts = {
      turn,
      pid: ask.pid,
      program: ask.program,
      argv: shownArgv(ask.argv),
      cwd: ask.cwd,
      ...(rule ? { rule: rule.id } : {}),
      ...(caution ? { caution } : {}),
    };
    const settle = (allowed: boolean, reason: string): ExecVerdict => {
      if (decision.named) lineage.record(ask.pid, { rule: rule?.id, names: decision.names, allowed });
      return {
        verdict: allowed ? 'allow' : 'deny',
        remember: allowed && decision.remember,
        rule: rule?.id,
        reason,
      };
    };
    if (decision.effect === 'deny') {
      note('exec.denied', sessionId, { ...facts, reason: decision.reason });
      return settle(false, decision.reason);
    }
    if (decision.effect === 'allow') {
      if (rule) await record('exec.allowed', sessionId, { ...facts, by: 'rule' });
      else counts.set(sessionId, (counts.get(sessionId) ?? 0) + 1);
      return settle(true, decision.reason);
    }
    if (!rule) return settle(false, 'A question without a rule cannot be asked.');
    const grant = execGrant(ask, rule);
    const held = approvals.grantFor(sessionId, grant.key);
    if (held) {
      await record('grant.used', sessionId, { ...facts, grant: held.id });
      return settle(true, `Allowed for this session by ${held.grantedBy}.`);
    }
    const caller = `${sessionId} ${ask.pid}`;
    const before = refused.get(caller);
    if (before?.key === grant.key && Date.now() < before.untilMs) {
      note('exec.denied', sessionId, { ...facts, reason: before.reason });
      return settle(false, before.reason);
    }
    const subject: Approval['subject'] = {
      kind: 'exec',
      program: ask.program,
      argv: shownArgv(ask.argv),
      cwd: ask.cwd,
      pid: ask.pid,
      ...withCaution(caution, hiddenPart(ask.argv)),
    };
    const outcome = await approvals.request(subject, {
      sessionId,
      turn,
      rule: rule.text,
      grantKey: grant.key,
      covers: grant.covers,
      ...timeout,
      ...(context.signal ? { signal: context.signal } : {}),
    });
    if (!outcome.allowed) {
      for (const [old, { untilMs }] of refused) if (untilMs < Date.now()) refused.delete(old);
      refused.set(caller, { key: grant.key, untilMs: Date.now() + refusalMs, reason: outcome.reason });
      note('exec.denied', sessionId, { ...facts, approval: outcome.approvalId, reason: outcome.reason });
      return settle(false, outcome.reason);
    }
    await record('exec.allowed', sessionId, { ...facts, approval: outcome.approvalId, scope: outcome.scope });
    // The caller may have died while this was written; an approval that nobody waits for allows nothing.
    if (context.signal?.aborted) return settle(false, 'The caller is gone.');
    return settle(true, outcome.reason);
  };

  const judgeNetwork = async (ask: NetworkAsk): Promise<NetworkDecision> => {
    const { sessionId, turn, host, port, method } = ask;
    const { effect, rule } = judgeHost(rules.network, host, port);
    const text =
      rule?.text ??
      (rule
        ? `Your rule "${rule.id}".`
        : 'No rule speaks of this host. What is sent there leaves this machine and cannot be rewound.');
    const facts = {
      turn,
      host,
      port,
      method,
      ...(ask.program ? { program: ask.program } : {}),
      ...(rule ? { rule: rule.id } : {}),
    };
    const deny = (reason: string, extra: Record<string, unknown> = {}): NetworkDecision => {
      note('network.denied', sessionId, { ...facts, ...extra, reason });
      return { allowed: false, rule: rule?.id, reason };
    };
    if (effect === 'deny') return deny(text);
    if (effect === 'allow') {
      await record('network.allowed', sessionId, { ...facts, by: 'rule' });
      return { allowed: true, rule: rule?.id, reason: text };
    }
    const key = JSON.stringify(['network', host, port]);
    const held = approvals.grantFor(sessionId, key);
    if (held) {
      await record('grant.used', sessionId, { ...facts, grant: held.id });
      return { allowed: true, rule: rule?.id, reason: `Allowed for this session by ${held.grantedBy}.` };
    }
    const hosts = hostsFor(sessionId, turn);
    if (hosts.allowed.has(key)) {
      await record('network.allowed', sessionId, { ...facts, by: 'allowed once, in this turn' });
      return { allowed: true, rule: rule?.id, reason: 'Allowed for this turn.' };
    }
    // A client that tries again after a no would ask the same person the same question.
    const before = hosts.denied.get(key);
    if (before !== undefined) return deny(`${before} (Asked before in this turn.)`);
    const outcome = await approvals.request(
      { kind: 'network', host, port, method },
      {
        sessionId,
        turn,
        rule: text,
        grantKey: key,
        shareKey: key,
        covers: `connections to ${host}:${port}, as many as it likes in this session`,
        ...timeout,
        ...(ask.signal ? { signal: ask.signal } : {}),
      },
    );
    if (!outcome.allowed) {
      if (outcome.approvalId !== undefined && wasAnswered(approvals, outcome.approvalId))
        hosts.denied.set(key, outcome.reason);
      return deny(outcome.reason, { approval: outcome.approvalId });
    }
    await record('network.allowed', sessionId, {
      ...facts,
      approval: outcome.approvalId,
      scope: outcome.scope,
    });
    if (outcome.scope === 'once') hosts.allowed.add(key);
    return { allowed: true, rule: rule?.id, reason: outcome.reason };
  };

  return {
    async decideExec(ask, context) {
      try {
        return await judgeExec(ask, context);
      } catch (error) {
        logger.error('An exec was denied because it could not be decided', { program: ask.program, error });
        return {
          verdict: 'deny',
          remember: false,
          rule: undefined,
          reason: `It could not be decided, so it is denied: ${messageOf(error)}`,
        };
      }
    },
    async decideNetwork(ask) {
      try {
        return await judgeNetwork(ask);
      } catch (error) {
        logger.error('A connection was denied because it could not be decided', { host: ask.host, error });
        return {
          allowed: false,
          rule: undefined,
          reason: `It could not be decided, so it is denied: ${messageOf(error)}`,
        };
      }
    },
    plainExecs: (sessionId) => counts.get(sessionId) ?? 0,
    forget(sessionId) {
      counts.delete(sessionId);
      hostsOfTurn.delete(sessionId);
    },
  };
}

/** A person's no holds for the turn; a time-out or a caller that left does not. */
function wasAnswered(approvals: Approvals, id: string): boolean {
  return approvals
    .list({ all: true })
    .some(
      (approval) => approval.id === id && approval.state === 'denied' && approval.answeredBy !== undefined,
    );
}

function shownArgv(argv: readonly string[]): string[] {
  return argv
    .slice(0, limits.argvShown)
    .map((word) => (word.length > limits.argShownChars ? `${word.slice(0, limits.argShownChars)}…` : word));
}

/** A person must know when what they see is not all of it. */
function hiddenPart(argv: readonly string[]): string | undefined {
  const long = argv.slice(0, limits.argvShown).some((word) => word.length > limits.argShownChars);
  if (argv.length > limits.argvShown)
    return `Only ${limits.argvShown} of ${argv.length} arguments are shown.`;
  return long ? 'Long arguments are shown shortened.' : undefined;
}

function withCaution(...parts: (string | undefined)[]): { caution?: string } {
  const text = parts.filter((part) => part !== undefined).join(' ');
  return text === '' ? {} : { caution: text };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
