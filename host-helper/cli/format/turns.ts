/** A session's turns as a tree of lines, and one turn in full. */

import { lineOf } from '../../protocol/reducer.ts';
import type { SessionState, Turn } from '../../protocol/state.ts';
import { formatChange, formatChangeCounts, formatClass, formatSurvivor } from './effects.ts';
import { printable, type Style } from './style.ts';
import { formatTable } from './table.ts';
import { formatDuration, formatSize, formatTime, plural } from './units.ts';

export interface TurnRow {
  readonly turn: Turn;
  /** 0 on the line that leads to head; deeper for what was set aside. */
  readonly depth: number;
  readonly onLine: boolean;
}

/** Turns in the order to print them: what a rewind set aside stands indented below the turn it started from. */
export function treeRows(session: SessionState): TurnRow[] {
  const line = new Set(lineOf(session, session.head).map((turn) => turn.id));
  const children = Map.groupBy(session.turns, (turn) => turn.parent);
  const rows: TurnRow[] = [];
  // A stack, not recursion: a session may have thousands of turns.
  const waiting = (children.get(null) ?? []).map((turn) => ({ turn, depth: 0 })).toReversed();
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (!next) break;
    const { turn, depth } = next;
    // A turn that is being worked on becomes the head: it stands on the line already.
    const isNext = turn.parent === session.head && turn.state !== 'closed';
    rows.push({ turn, depth, onLine: line.has(turn.id) || isNext });
    const followers = (children.get(turn.id) ?? []).toSorted((a, b) => a.id - b.id);
    const straight =
      followers.find((each) => line.has(each.id)) ??
      (turn.id === session.head ? followers.findLast((each) => each.state !== 'closed') : undefined) ??
      (line.has(turn.id) ? undefined : followers[0]);
    if (straight) waiting.push({ turn: straight, depth });
    for (const side of followers.toReversed()) {
      if (side !== straight) waiting.push({ turn: side, depth: depth + 1 });
    }
  }
  return rows;
}

/** The table of `turntable turns`. `branches` are sessions that came from this one. */
export function formatTurns(
  session: SessionState,
  branches: readonly SessionState[],
  style: Style,
  width: number | undefined,
): string {
  const rows: string[][] = [];
  for (const { turn, depth, onLine } of treeRows(session)) {
    const indent = depth === 0 ? '' : style.faint('│ '.repeat(depth - 1) + '├ ');
    const isHead = turn.id === session.head;
    const number = onLine ? style.strong(String(turn.id)) : style.faint(String(turn.id));
    rows.push([
      indent + number + (isHead ? style.good(' ◀ head') : ''),
      turn.state === 'closed' ? formatClass(turn.effectClass, style) : style.warn(turn.state),
      turn.effects ? formatChangeCounts(turn.effects.files, style) : '',
      ...checkpointCells(turn, style),
      turnLabel(turn, style),
    ]);
    for (const branch of branches) {
      if (branch.origin?.turn !== turn.id) continue;
      rows.push([
        style.faint('│ '.repeat(depth) + '└▶'),
        style.process('branch'),
        '',
        '',
        '',
        `${style.strong(branch.id)} ${printable(branch.title)}`,
      ]);
    }
  }
  const head = ['TURN', 'CLASS', 'FILES', 'STORED', 'HELD', 'WHAT'].map((name) => style.faint(name));
  return formatTable(rows, { head, right: [3, 4], width });
}

function checkpointCells(turn: Turn, style: Style): [string, string] {
  const { checkpoint } = turn;
  if (!checkpoint) return ['', ''];
  if (!checkpoint.restorable) return [style.bad('lost'), ''];
  return [
    checkpoint.reused ? style.faint('–') : formatSize(checkpoint.bytesStored),
    checkpoint.heldMs > 0 ? formatDuration(checkpoint.heldMs) : style.faint('–'),
  ];
}

function turnLabel(turn: Turn, style: Style): string {
  const label = printable(turn.label);
  const exit = turn.exitCode ? ' ' + style.bad(`(exit ${turn.exitCode})`) : '';
  return (turn.kind === 'rewind' ? style.faint('↶ ') : '') + label + exit;
}

/** The page of `turntable show`. */
export function formatTurn(session: SessionState, turn: Turn, style: Style): string {
  const lines: string[] = [];
  const section = (title: string, items: readonly string[]): void => {
    if (items.length === 0) return;
    lines.push('', style.strong(title), ...items.map((item) => '  ' + item));
  };
  const took = turn.endedAt === undefined ? turn.state : formatDuration(turn.endedAt - turn.startedAt);
  lines.push(
    `${style.strong(`Turn ${turn.id}`)}${turn.id === session.head ? style.good(' ◀ head') : ''}  ${printable(turn.label)}`,
    style.faint(
      [
        `${turn.kind} turn`,
        turn.parent === null ? '' : `after ${turn.parent}`,
        formatTime(turn.startedAt),
        took,
      ]
        .filter(Boolean)
        .join(' · '),
    ),
    `${formatClass(turn.effectClass, style)}${turn.exitCode === undefined ? '' : `  exit code ${turn.exitCode}`}`,
  );
  const { conversation, effects, checkpoint } = turn;
  if (conversation) {
    const usage = [
      conversation.model ?? '',
      conversation.inputTokens === undefined ? '' : `${conversation.inputTokens} tokens in`,
      conversation.outputTokens === undefined ? '' : `${conversation.outputTokens} out`,
    ].filter(Boolean);
    section(`Said${usage.length > 0 ? style.faint(`  ${printable(usage.join(', '))}`) : ''}`, [
      ...printable(conversation.text.trim(), { lines: true }).split('\n').filter(Boolean),
      ...conversation.toolCalls.map(
        (call) => `${style.accent(printable(call.name))} ${printable(call.summary)}`,
      ),
      ...(conversation.error ? [style.bad(printable(conversation.error))] : []),
    ]);
  }
  if (effects) {
    const total = effects.files.added + effects.files.changed + effects.files.removed;
    section(`Files  ${formatChangeCounts(effects.files, style)}`, [
      ...effects.files.entries.map((entry) => formatChange(entry, session.workspace, style)),
      ...(effects.files.truncated ? [style.faint(`… and more: ${total} in all`)] : []),
    ]);
    section('Still running', effects.processes.survivors.map(formatSurvivor));
    section(
      `Ran  ${style.faint(plural(effects.processes.executedCount, 'program'))}`,
      effects.processes.executed.map(
        (each) =>
          `${printable(each.argv.join(' ') || each.program)}${each.exitCode ? style.bad(`  exit ${each.exitCode}`) : ''}`,
      ),
    );
    section(
      'Network',
      effects.network.map(
        (host) =>
          `${printable(host.host)}:${host.port}  ${plural(host.count, 'time')}${host.allowed ? '' : style.bad('  refused')}`,
      ),
    );
    section('Not sure', [
      ...effects.uncertain.map((text) => style.warn(printable(text))),
      ...(effects.droppedEvents > 0 ? [style.warn(`${effects.droppedEvents} events were dropped`)] : []),
    ]);
  }
  if (checkpoint) {
    section('Checkpoint', [
      `${checkpoint.restorable ? style.good('can be restored') : style.bad('cannot be restored')}  ${printable(checkpoint.reason)}`,
      [
        checkpoint.reused ? 'reuses the one before' : `${formatSize(checkpoint.bytesStored)} stored`,
        checkpoint.hasProcesses ? 'with processes' : 'files only',
        `inspect ${formatDuration(checkpoint.inspectMs)}`,
        `files ${formatDuration(checkpoint.filesMs)}`,
        ...(checkpoint.hasProcesses ? [`processes ${formatDuration(checkpoint.processesMs)}`] : []),
        `reply held ${formatDuration(checkpoint.heldMs)}`,
      ].join(style.faint(' · ')),
      ...(checkpoint.degraded ? [style.warn(printable(checkpoint.degraded))] : []),
    ]);
  }
  return lines.join('\n');
}
