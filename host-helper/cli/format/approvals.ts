/** What is asked of a person, shown so that nothing in it can pretend to be something else. */

import type { Approval } from '../../protocol/state.ts';
import { printable, type Style } from './style.ts';
import { formatDuration } from './units.ts';

/** What a person needs to type: the first group of a UUID, anything else whole. */
export function shortId(id: string): string {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/.test(id) ? id.slice(0, 8) : id;
}

/** `git push origin main` or `example.com:443 (CONNECT)`. */
export function approvalSubject(approval: Approval): string {
  const { subject } = approval;
  if (subject.kind === 'network') return printable(`${subject.host}:${subject.port} (${subject.method})`);
  return subject.argv.map(quoted).join(' ') || printable(subject.program);
}

/** A few lines: what, by which rule, until when, and how to answer. */
export function formatApproval(approval: Approval, now: number, style: Style): string {
  const { subject } = approval;
  const lines = [
    `${style.strong(shortId(approval.id))}  ${stateText(approval, now, style)}  ${style.strong(approvalSubject(approval))}`,
  ];
  const facts = [
    `session ${approval.sessionId}, turn ${approval.turn}`,
    ...(subject.kind === 'exec'
      ? [`${printable(subject.program)} in ${printable(subject.cwd)} (pid ${subject.pid})`]
      : []),
    printable(approval.rule),
  ];
  lines.push('  ' + style.faint(facts.join(' · ')));
  if (subject.kind === 'exec' && subject.caution) lines.push('  ' + style.warn(printable(subject.caution)));
  if (approval.state !== 'pending' && approval.reason) lines.push('  ' + printable(approval.reason));
  if (approval.state === 'pending') {
    lines.push(
      '  ' +
        style.accent(`turntable approve ${shortId(approval.id)}`) +
        style.faint('  or  ') +
        style.accent(`turntable deny ${shortId(approval.id)}`),
    );
  }
  return lines.join('\n');
}

function stateText(approval: Approval, now: number, style: Style): string {
  if (approval.state === 'pending')
    return style.warn(`waits ${formatDuration(Math.max(0, approval.expiresAt - now))} more`);
  const by = approval.answeredBy ? ` by ${printable(approval.answeredBy)}` : '';
  const scope = approval.state === 'allowed' && approval.scope === 'session' ? ' for the session' : '';
  return (approval.state === 'allowed' ? style.good : style.bad)(approval.state + scope + by);
}

function quoted(argument: string): string {
  const text = printable(argument);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
