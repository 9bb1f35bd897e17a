/** Sessions and features as tables. */

import type { AgentState, Feature, SessionState } from '../../protocol/state.ts';
import { printable, type Style } from './style.ts';
import { formatTable } from './table.ts';
import { formatAgo, formatSize } from './units.ts';

/** The table of `turntable session ls`: branches stand indented below the session they came from. */
export function formatSessions(
  sessions: readonly SessionState[],
  now: number,
  style: Style,
  width: number | undefined,
): string {
  const byOrigin = Map.groupBy(sessions, (session) => {
    const origin = session.origin?.sessionId;
    return origin !== undefined && sessions.some((each) => each.id === origin) ? origin : null;
  });
  const rows: string[][] = [];
  const add = (session: SessionState, depth: number): void => {
    rows.push([
      style.faint(depth === 0 ? '' : '  '.repeat(depth - 1) + '└ ') + style.strong(session.id),
      formatStatus(session, style),
      formatAgent(session.agent, style),
      String(Math.max(0, session.turns.length - 1)),
      formatSize(session.bytesStored),
      formatAgo(session.createdAt, now),
      `${printable(session.title)}${style.faint(`  ${printable(session.workspace)}`)}`,
    ]);
    for (const branch of byOldest(byOrigin.get(session.id) ?? [])) add(branch, depth + 1);
  };
  for (const session of byOldest(byOrigin.get(null) ?? [])) add(session, 0);
  const head = ['SESSION', 'STATUS', 'AGENT', 'TURNS', 'STORED', 'STARTED', 'WHAT'].map((name) =>
    style.faint(name),
  );
  return formatTable(rows, { head, right: [3, 4], width });
}

/** `running`, coloured. */
export function formatStatus(session: SessionState, style: Style): string {
  const paint = {
    starting: style.warn,
    running: style.good,
    rewinding: style.warn,
    branching: style.warn,
    stopped: style.faint,
    failed: style.bad,
  };
  return paint[session.status](session.status);
}

/** `pi: thinking`. */
export function formatAgent(agent: AgentState, style: Style): string {
  if (agent.status === 'none') return style.faint('–');
  return `${printable(agent.name)} ${agent.status === 'failed' ? style.bad(agent.status) : style.faint(agent.status)}`;
}

/** The table of `turntable doctor`, with the step that mends each line below it. Never cut: the end may be what helps. */
export function formatFeatures(features: readonly Feature[], style: Style): string {
  const sign = { ok: style.good('✓'), degraded: style.warn('!'), missing: style.bad('✗') };
  const rows: string[][] = [];
  for (const feature of features) {
    rows.push([sign[feature.status], style.strong(printable(feature.name)), printable(feature.detail)]);
    if (feature.next && feature.status !== 'ok')
      rows.push(['', '', style.accent(`→ ${printable(feature.next)}`)]);
  }
  return formatTable(rows);
}

function byOldest(sessions: readonly SessionState[]): SessionState[] {
  return sessions.toSorted((a, b) => a.createdAt - b.createdAt);
}
