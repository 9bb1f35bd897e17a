/** `turntable rewind` and `branch`: go back, in place or beside. */

import { Option, type Command } from 'commander';
import type { Client } from '../../protocol/client.ts';
import { TurntableError } from '../../protocol/errors.ts';
import { conflictChoiceSchema, type ResultOf } from '../../protocol/methods.ts';
import type { SessionState, Turn } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { confirm } from '../confirm.ts';
import { exitCodes } from '../exit-codes.ts';
import { followProgress } from '../follow.ts';
import { formatChange, formatSurvivor } from '../format/effects.ts';
import { printable, type Style } from '../format/style.ts';
import { formatDuration, plural } from '../format/units.ts';
import { interrupted } from '../interrupt.ts';
import { selectTurn } from '../select.ts';
import { sessionOf } from '../snapshot.ts';

interface RewindOptions {
  yes?: boolean;
  dryRun?: boolean;
  prompt?: string;
  resume: boolean;
  conflicts?: string;
}

interface BranchOptions {
  count?: string;
  allOrNothing?: boolean;
  prompt?: string;
  title?: string;
  resume: boolean;
}

const shownChanges = 20;

export function registerRewind(program: Command): void {
  program
    .command('rewind')
    .description('bring a session back to the end of a turn; can be undone')
    .argument('<session>')
    .argument('<turn>', 'a number, start, or -1 for the one before head')
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'show what would happen, and stop')
    .option('--prompt <text>', 'what the agent shall do from there')
    .option('--no-resume', 'leave the agent stopped')
    .addOption(conflictsOption())
    .action((reference: string, turn: string, options: RewindOptions, command: Command) =>
      runCommand(command, (cli) => rewind(cli, reference, turn, options)),
    );
  program
    .command('branch')
    .description('a second session from a turn of another, which goes on undisturbed')
    .argument('<session>')
    .argument('<turn>', 'a number, head, start, or -1 for the one before head')
    .option('--count <n>', 'make several at once')
    .option('--all-or-nothing', 'with --count: when one cannot be made, remove the others')
    .option('--prompt <text>', 'what the agent shall do in the branch')
    .option('--title <text>', 'a name for people')
    .option('--no-resume', 'leave the agent of the branch stopped')
    .action((reference: string, turn: string, options: BranchOptions, command: Command) =>
      runCommand(command, (cli) => branch(cli, reference, turn, options)),
    );
}

/** `--conflicts`, for rewind and apply. */
export function conflictsOption(): Option {
  return new Option('--conflicts <choice>', 'what to do with changes the agent did not make').choices(
    conflictChoiceSchema.options,
  );
}

async function rewind(
  cli: Cli,
  reference: string,
  turnReference: string,
  options: RewindOptions,
): Promise<void> {
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const turn = selectTurn(session, turnReference);
  const preview = await (async () => {
    using _progress = cli.progress('looking at what would change');
    return await client.request('rewind/preview', { sessionId: session.id, turn: turn.id });
  })();
  if (options.dryRun) {
    cli.result({ sessionId: session.id, turn: turn.id, preview }, () =>
      cli.print(formatPreview(preview, session, turn, cli.style)),
    );
    return;
  }
  if (!cli.json) cli.note(formatPreview(preview, session, turn, cli.noteStyle));
  if (!preview.restorable) {
    throw new TurntableError('notRestorable', `Turn ${turn.id} cannot be restored: ${preview.reason}`);
  }
  await confirm(cli, `Rewind ${session.id} to turn ${turn.id}?`, options.yes);
  const result = await (async () => {
    using progress = cli.progress('rewinding');
    await using _follow = await followProgress(client, session.id, progress);
    return await client.request('rewind', {
      sessionId: session.id,
      turn: turn.id,
      prompt: options.prompt,
      resume: options.resume ? undefined : false,
      conflicts: options.conflicts === undefined ? undefined : conflictChoiceSchema.parse(options.conflicts),
    });
  })();
  cli.result({ sessionId: session.id, turn: turn.id, ...result }, () => {
    const processes = result.restoredProcesses ? 'files and processes are back' : 'files are back';
    cli.print(
      `${cli.style.good('✓')} ${session.id} is at turn ${turn.id}: ${processes}, in ${formatDuration(result.tookMs)}`,
    );
    printNotes(cli, result.notes);
    cli.print(cli.style.faint(`  undo: turntable rewind ${session.id} ${result.safetyTurn}`));
  });
}

async function branch(
  cli: Cli,
  reference: string,
  turnReference: string,
  options: BranchOptions,
): Promise<number> {
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const turn = selectTurn(session, turnReference);
  if (options.count !== undefined) {
    return await branchMany(cli, client, session, turn, options.count, options);
  }
  const result = await (async () => {
    using progress = cli.progress('branching');
    await using _follow = await followProgress(client, session.id, progress);
    return await client.request('branch', {
      sessionId: session.id,
      turn: turn.id,
      prompt: options.prompt,
      title: options.title,
      resume: options.resume ? undefined : false,
    });
  })();
  const made = await sessionOf(client, result.sessionId);
  cli.result({ ...result, origin: { sessionId: session.id, turn: turn.id }, mount: made.mount }, () => {
    const processes = result.restoredProcesses ? 'files and processes' : 'files';
    cli.print(
      `${cli.style.good('✓')} Branch ${cli.style.strong(result.sessionId)} from ${session.id} turn ${turn.id}: ${processes}, in ${formatDuration(result.tookMs)}`,
    );
    cli.print(cli.style.faint(`  its files: ${printable(made.mount)}`));
    printNotes(cli, result.notes);
  });
  return exitCodes.ok;
}

async function branchMany(
  cli: Cli,
  client: Client,
  session: SessionState,
  turn: Turn,
  countText: string,
  options: BranchOptions,
): Promise<number> {
  const count = Number(countText);
  if (!Number.isInteger(count) || count < 1)
    throw new TurntableError('invalidParams', `--count ${countText}: give a number, for example 8.`);
  const result = await (async () => {
    using progress = cli.progress('branching');
    await using _follow = await followProgress(client, session.id, progress);
    return await client.request(
      'branch/many',
      {
        sessionId: session.id,
        turn: turn.id,
        count,
        prompt: options.prompt,
        title: options.title,
        resume: options.resume ? undefined : false,
        allOrNothing: options.allOrNothing,
      },
      { signal: interrupted() },
    );
  })();
  const made = result.branches.map(({ sessionId }) => sessionId);
  cli.result({ ...result, origin: { sessionId: session.id, turn: turn.id } }, () => {
    cli.print(
      `${cli.style.good('✓')} ${plural(made.length, 'branch', 'branches')} from ${session.id} turn ${turn.id}, in ${formatDuration(result.tookMs)}`,
    );
    for (const id of made) cli.print(`  ${cli.style.strong(id)}`);
    printNotes(cli, [...new Set(result.branches.flatMap((each) => each.notes))]);
    printNotes(cli, result.failed);
  });
  return result.failed.length > 0 ? exitCodes.failed : exitCodes.ok;
}

function printNotes(cli: Cli, notes: readonly string[]): void {
  for (const note of notes) cli.print(cli.style.warn(`  ${printable(note)}`));
}

function formatPreview(
  preview: ResultOf<'rewind/preview'>,
  session: SessionState,
  turn: Turn,
  style: Style,
): string {
  const lines = [`${style.strong(`Back to turn ${turn.id}`)}  ${printable(turn.label)}`];
  const section = (title: string, items: readonly string[]): void => {
    if (items.length > 0) lines.push(title, ...items.map((item) => '  ' + item));
  };
  const hidden = preview.changes.length - shownChanges;
  section(preview.changes.length === 0 ? '' : 'Files change like this:', [
    ...preview.changes.slice(0, shownChanges).map((change) => formatChange(change, session.workspace, style)),
    ...(hidden > 0 || preview.truncated
      ? [style.faint(`… and ${preview.truncated ? 'more' : plural(hidden, 'other')}`)]
      : []),
  ]);
  if (preview.changes.length === 0) lines.push(style.faint('No file changes.'));
  section(
    'Processes that come back:',
    preview.processesBack.map((each) => style.good(formatSurvivor(each))),
  );
  section(
    'Processes that end:',
    preview.processesLost.map((each) => style.bad(formatSurvivor(each))),
  );
  section(
    'Changed by somebody else since:',
    preview.outsideChanges.map((path) => style.warn(printable(path))),
  );
  section(
    'Already left this machine and stays done:',
    preview.leftTheMachine.map((host) =>
      style.warn(printable(`${host.method ?? 'CONNECT'} ${host.host}:${host.port}`)),
    ),
  );
  if (preview.turnsSetAside.length > 0) {
    lines.push(
      style.faint(
        `${plural(preview.turnsSetAside.length, 'turn')} set aside (kept): ${preview.turnsSetAside.join(', ')}`,
      ),
    );
  }
  return lines.join('\n');
}
