/** `turntable audit`: what was asked, answered, granted, used and restored, and whether the log still holds together. */

import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import { runCommand, type Cli } from '../cli.ts';
import { exitCodes } from '../exit-codes.ts';
import { printable } from '../format/style.ts';
import { formatTable, terminalWidth } from '../format/table.ts';
import { formatTime } from '../format/units.ts';
import { sessionOf } from '../snapshot.ts';

interface AuditOptions {
  session?: string;
  limit: string;
}

export function registerAudit(program: Command): void {
  program
    .command('audit')
    .description('the audit log, newest last')
    .option('--session <session>', 'only one session')
    .option('--limit <count>', 'at most this many entries', '50')
    .action((options: AuditOptions, command: Command) => runCommand(command, (cli) => audit(cli, options)));
}

async function audit(cli: Cli, options: AuditOptions): Promise<number> {
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1) {
    throw new TurntableError('invalidParams', `--limit ${options.limit}: give a number from 1 to 10000.`);
  }
  const client = await cli.connect();
  const sessionId = options.session === undefined ? undefined : (await sessionOf(client, options.session)).id;
  const log = await client.request('audit', { sessionId, limit });
  cli.result(log, () => {
    const rows = log.entries
      .toSorted((a, b) => a.sequence - b.sequence)
      .map((entry) => [
        cli.style.faint(String(entry.sequence)),
        cli.style.faint(formatTime(entry.at)),
        cli.style.strong(printable(entry.kind)),
        entry.sessionId ?? '',
        printable(JSON.stringify(entry.data)),
      ]);
    if (rows.length === 0) cli.print(cli.style.faint('The audit log is empty.'));
    else cli.print(formatTable(rows, { right: [0], width: terminalWidth() }));
    if (log.intact) cli.note(cli.noteStyle.faint('the hash chain holds'));
    else
      cli.note(
        cli.noteStyle.bad(
          'The hash chain is BROKEN: the log was changed or damaged. Keep a copy of it and look closely.',
        ),
      );
  });
  return log.intact ? exitCodes.ok : exitCodes.failed;
}
