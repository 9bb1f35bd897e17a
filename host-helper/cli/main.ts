#!/usr/bin/env node
/** `turntable`, the command line. Owns the list of commands and how usage errors end; each command is a file of its own. */

import { Command, CommanderError } from 'commander';
import { TurntableError } from '../protocol/errors.ts';
import { reportError } from './cli.ts';
import { registerApply } from './commands/apply.ts';
import { registerApprovals } from './commands/approvals.ts';
import { registerAttach } from './commands/attach.ts';
import { registerAudit } from './commands/audit.ts';
import { registerDiff } from './commands/diff.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerExec } from './commands/exec.ts';
import { registerRewind } from './commands/rewind.ts';
import { registerSession } from './commands/session.ts';
import { registerStore } from './commands/store.ts';
import { registerTransfer } from './commands/transfer.ts';
import { registerTurns } from './commands/turns.ts';
import { registerUp } from './commands/up.ts';
import { registerWatch } from './commands/watch.ts';
import { exitCodes } from './exit-codes.ts';
import { packageVersion } from './package-version.ts';

const json = process.argv.slice(2, endOfOptions()).includes('--json');

const program = new Command('turntable')
  .description('Scrub, rewind and branch your coding agent: files, processes and conversation.')
  .version(packageVersion())
  .option('--json', 'one JSON document on stdout, errors too')
  .option('--socket <path>', "the helper's socket (or TURNTABLE_SOCKET)")
  .option('--state-dir <dir>', "the helper's state; its socket is in it (or TURNTABLE_STATE_DIR)")
  .addHelpText(
    'after',
    `
SESSION is an id, a unique beginning of one, or "last". TURN is a number, "head", "start", or -1 for the one before head.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 helper not reachable, 4 refused or denied. exec ends with the command's own.`,
  )
  .showHelpAfterError('(--help says more)')
  .exitOverride()
  // With --json the error is a document: reportError writes it.
  .configureOutput({ outputError: (text, write) => (json ? undefined : write(text)) });

registerDoctor(program);
registerUp(program);
registerSession(program);
registerExec(program);
registerTurns(program);
registerDiff(program);
registerRewind(program);
registerTransfer(program);
registerApply(program);
registerApprovals(program);
registerAudit(program);
registerStore(program);
registerAttach(program);
registerWatch(program);
inheritSettings(program);

// `turntable turns | head` ends early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = error instanceof CommanderError ? usageExit(error) : reportError(error, json);
}

function usageExit(error: CommanderError): number {
  // Help and version were asked for and are printed.
  if (error.exitCode === 0) return exitCodes.ok;
  if (json) {
    const message =
      error.code === 'commander.help'
        ? 'Give a command: `turntable --help` lists them.'
        : error.message.replace(/^error: /, '');
    reportError(new TurntableError('invalidParams', message), true);
  }
  return exitCodes.usage;
}

/** Subcommands of subcommands were made before the settings could reach them. */
function inheritSettings(command: Command): void {
  for (const sub of command.commands) {
    sub.copyInheritedSettings(command);
    inheritSettings(sub);
  }
}

/** Options end at `--`: what follows belongs to the command that `exec` runs. */
function endOfOptions(): number {
  const at = process.argv.indexOf('--');
  return at < 0 ? process.argv.length : at;
}
