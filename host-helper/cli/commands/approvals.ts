/** `turntable approvals`, `approve`, `deny`: the developer's side of the queue. */

import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import type { Approval } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { approvalSubject, formatApproval } from '../format/approvals.ts';
import { byPrefix } from '../select.ts';
import { sessionOf } from '../snapshot.ts';
import { untilInterrupted } from '../interrupt.ts';

interface ListOptions {
  watch?: boolean;
  all?: boolean;
  session?: string;
}

export function registerApprovals(program: Command): void {
  program
    .command('approvals')
    .description('what waits for your answer')
    .option('--watch', 'stay, and show each one as it comes (with --json: one document a line)')
    .option('--all', 'settled ones too')
    .option('--session <session>', 'only those of one session')
    .action((options: ListOptions, command: Command) =>
      runCommand(command, (cli) => (options.watch ? watch(cli, options) : list(cli, options))),
    );
  program
    .command('approve')
    .description('allow what is asked')
    .argument('<id>', 'the approval, or a unique beginning of its id')
    .option('--once', 'this time only (the default)')
    .option('--session', 'for the rest of the session')
    .action((id: string, options: { once?: boolean; session?: boolean }, command: Command) =>
      runCommand(command, async (cli) => {
        if (options.once && options.session) {
          throw new TurntableError(
            'invalidParams',
            '--once and --session exclude each other: give one of them.',
          );
        }
        await answer(cli, id, { decision: 'allow', scope: options.session ? 'session' : 'once' });
      }),
    );
  program
    .command('deny')
    .description('refuse what is asked')
    .argument('<id>', 'the approval, or a unique beginning of its id')
    .option('--reason <text>', 'why, for the audit log')
    .action((id: string, options: { reason?: string }, command: Command) =>
      runCommand(command, (cli) => answer(cli, id, { decision: 'deny', reason: options.reason })),
    );
}

async function list(cli: Cli, options: ListOptions): Promise<void> {
  const client = await cli.connect();
  const sessionId = options.session === undefined ? undefined : (await sessionOf(client, options.session)).id;
  const { approvals } = await client.request('approvals', { sessionId, all: options.all });
  cli.result({ approvals }, () => {
    if (approvals.length === 0) cli.print(cli.style.faint('Nothing waits for your answer.'));
    for (const approval of approvals) cli.print(formatApproval(approval, Date.now(), cli.style));
  });
}

async function watch(cli: Cli, options: ListOptions): Promise<void> {
  const client = await cli.connect();
  const sessionId = options.session === undefined ? undefined : (await sessionOf(client, options.session)).id;
  const seen = new Map<string, Approval['state']>();
  await client.subscribe((state) => {
    for (const approval of Object.values(state.approvals).toSorted((a, b) => a.askedAt - b.askedAt)) {
      if (sessionId !== undefined && approval.sessionId !== sessionId) continue;
      const before = seen.get(approval.id);
      if (before === approval.state) continue;
      seen.set(approval.id, approval.state);
      // Those settled before we came are history.
      if (before === undefined && approval.state !== 'pending') continue;
      cli.result({ approval }, () => cli.print(formatApproval(approval, Date.now(), cli.style)));
    }
  });
  if (!cli.json) cli.note(cli.noteStyle.faint('watching for approvals; Ctrl-C ends'));
  await untilInterrupted(client);
}

async function answer(
  cli: Cli,
  reference: string,
  given: { decision: 'allow' | 'deny'; scope?: 'once' | 'session'; reason?: string | undefined },
): Promise<void> {
  const client = await cli.connect();
  const { approvals } = await client.request('approvals', { all: true });
  const pending = approvals.filter((approval) => approval.state === 'pending');
  // A settled one is looked for too: "already denied" helps more than "not found".
  const found = byPrefix(pending, reference, 'approval') ?? byPrefix(approvals, reference, 'approval');
  if (!found) {
    throw new TurntableError(
      'approvalNotFound',
      `No approval begins with "${reference}": \`turntable approvals\` shows those that wait.`,
    );
  }
  const { approval } = await client.request('approval/answer', { id: found.id, ...given });
  cli.result({ approval }, () => {
    const scope =
      given.decision === 'allow' ? (given.scope === 'session' ? ' for the session' : ' once') : '';
    const word = given.decision === 'allow' ? cli.style.good('allowed') : cli.style.bad('denied');
    cli.print(`${word}${scope}: ${approvalSubject(approval)}`);
  });
}
