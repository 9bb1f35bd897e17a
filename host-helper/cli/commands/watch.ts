/** `turntable watch`: what happens, line by line, as it happens. */

import type { Command } from 'commander';
import type { Action } from '../../protocol/actions.ts';
import type { RootState } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { formatApproval } from '../format/approvals.ts';
import { summarizeEffects } from '../format/effects.ts';
import { formatAgent, formatSessions, formatStatus } from '../format/sessions.ts';
import { printable } from '../format/style.ts';
import { terminalWidth } from '../format/table.ts';
import { formatTurns } from '../format/turns.ts';
import { formatSize, formatTime } from '../format/units.ts';
import { untilInterrupted } from '../interrupt.ts';
import { selectSession } from '../select.ts';

export function registerWatch(program: Command): void {
  program
    .command('watch')
    .description('show what happens as it happens (with --json: one action a line)')
    .argument('[session]', 'only this session')
    .action((reference: string | undefined, _options: unknown, command: Command) =>
      runCommand(command, (cli) => watch(cli, reference)),
    );
}

async function watch(cli: Cli, reference: string | undefined): Promise<void> {
  const client = await cli.connect();
  let sessionId: string | undefined;
  let before: RootState | undefined;
  await client.subscribe((state, action) => {
    sessionId ??= reference === undefined ? undefined : selectSession(state, reference).id;
    if (!action) {
      showSnapshot(cli, state, sessionId);
    } else if (sessionId === undefined || sessionOfAction(action) === sessionId) {
      if (cli.json) cli.result(action, () => {});
      else showAction(cli, state, before, action);
    }
    before = state;
  });
  if (!cli.json) cli.note(cli.noteStyle.faint('watching; Ctrl-C ends'));
  await untilInterrupted(client);
}

function showSnapshot(cli: Cli, state: RootState, sessionId: string | undefined): void {
  if (cli.json) return;
  const session = sessionId === undefined ? undefined : state.sessions[sessionId];
  if (session) cli.print(formatTurns(session, [], cli.style, terminalWidth()));
  else if (Object.keys(state.sessions).length > 0) {
    cli.print(formatSessions(Object.values(state.sessions), Date.now(), cli.style, terminalWidth()));
  }
}

function showAction(cli: Cli, state: RootState, before: RootState | undefined, action: Action): void {
  const { style } = cli;
  const id = sessionOfAction(action);
  const say = (text: string): void =>
    cli.print(
      `${style.faint(formatTime(Date.now()).slice(11))} ${id === undefined ? '' : style.strong(id) + ' '}${text}`,
    );
  const session = id === undefined ? undefined : state.sessions[id];
  switch (action.type) {
    case 'session/added':
      return say(`started over ${printable(action.session.workspace)}`);
    case 'session/removed':
      return say('removed');
    case 'session/changed':
      if (session && session.status !== before?.sessions[session.id]?.status) {
        say(`${formatStatus(session, style)}${session.detail ? ' ' + printable(session.detail) : ''}`);
      }
      return;
    case 'agent/changed': {
      const earlier = before?.sessions[action.sessionId]?.agent.status;
      // Thinking and running take turns all the time; the turns themselves tell that better.
      const busy = (status: string | undefined): boolean => status === 'running' || status === 'thinking';
      const { status } = action.agent;
      if (status === earlier || (busy(status) && busy(earlier))) return;
      return say(formatAgent(action.agent, style));
    }
    case 'head/moved':
      // Going on is what heads do; going back is news.
      if (action.head === session?.turns.at(-1)?.id) return;
      return say(`back at turn ${action.head}`);
    case 'turn/set': {
      const { turn } = action;
      const earlier = before?.sessions[action.sessionId]?.turns.find((each) => each.id === turn.id);
      if (turn.state === earlier?.state) return;
      if (turn.state === 'open') return say(`turn ${turn.id} ${style.faint('…')} ${printable(turn.label)}`);
      if (turn.state !== 'closed') return;
      const stored =
        turn.checkpoint && !turn.checkpoint.reused
          ? style.faint(` · ${formatSize(turn.checkpoint.bytesStored)} stored`)
          : '';
      return say(
        `turn ${turn.id} ${printable(turn.label)}\n    ${summarizeEffects(turn.effects, turn.effectClass, style)}${stored}`,
      );
    }
    case 'approval/set':
      return say(formatApproval(action.approval, Date.now(), style));
    case 'progress/set':
      return say(style.faint(printable(action.progress.label)));
    case 'progress/done':
    case 'helper/features':
      return;
  }
}

function sessionOfAction(action: Action): string | undefined {
  switch (action.type) {
    case 'session/added':
      return action.session.id;
    case 'approval/set':
      return action.approval.sessionId;
    case 'progress/set':
      return action.progress.sessionId;
    case 'progress/done':
    case 'helper/features':
      return undefined;
    default:
      return action.sessionId;
  }
}
