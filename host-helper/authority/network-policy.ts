/**
 * What the rules say of a host and port: deny before ask before allow, and ask when none speaks. It knows names as they
 * were asked for; which addresses they may stand for is addresses.ts.
 */

import type { ExecEffect, NetworkRule } from './exec-rules.ts';

export interface NetworkVerdict {
  readonly effect: ExecEffect;
  /** Undefined when no rule speaks of the host. */
  readonly rule: NetworkRule | undefined;
}

/** `host` in lower case, without brackets or a trailing dot. */
export function judgeHost(rules: readonly NetworkRule[], host: string, port: number): NetworkVerdict {
  for (const effect of ['deny', 'ask', 'allow'] as const) {
    const rule = rules.find(
      (candidate) =>
        candidate.effect === effect &&
        candidate.hosts.some((pattern) => matchesHost(pattern, host, port, effect)),
    );
    if (rule) return { effect, rule };
  }
  return { effect: 'ask', rule: undefined };
}

/**
 * `example.org`, `example.org:443`, `*.example.org` (names below it, not itself), `*` as the port. Without a port an
 * allow means 443 alone, a deny or ask every port.
 */
function matchesHost(pattern: string, host: string, port: number, effect: ExecEffect): boolean {
  const match = /^(.*?)(?::(\d+|\*))?$/.exec(pattern.toLowerCase());
  const bracketed = /^\[(.*)\](?::(\d+|\*))?$/.exec(pattern.toLowerCase());
  const name = bracketed?.[1] ?? match?.[1] ?? '';
  const wanted = bracketed ? bracketed[2] : match?.[2];
  const portFits =
    wanted === undefined ? effect !== 'allow' || port === 443 : wanted === '*' || Number(wanted) === port;
  if (!portFits) return false;
  return name.startsWith('*.')
    ? host.endsWith(name.slice(1)) && host.length > name.length - 1
    : host === name;
}
