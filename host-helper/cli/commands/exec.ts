/** `turntable exec`: one command as one turn of an outside agent. Ends with the command's own exit code. */

import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import { runCommand, type Cli } from '../cli.ts';
import { collect } from '../collect.ts';
import { followProgress } from '../follow.ts';
import { summarizeEffects } from '../format/effects.ts';
import { printable } from '../format/style.ts';
import { formatSize } from '../format/units.ts';
import { pathIn } from '../select.ts';
import { sessionOf } from '../snapshot.ts';

interface ExecOptions {
  timeout?: string;
  cwd?: string;
  env: string[];
  stdin?: boolean;
}

export function registerExec(program: Command): void {
  program
    .command('exec')
    .description('run one command in a session, as one turn; ends with its exit code')
    .usage('[options] <session> -- <command...>')
    .argument('<session>', 'its id, a unique beginning of it, or last')
    .argument('<command...>', 'the program and its arguments, after --')
    .option('--timeout <seconds>', 'kill the command after this time')
    .option('--cwd <dir>', 'where to run it (default: the workspace)')
    .option('--env <key=value>', 'a variable for the command; may be repeated', collect, [])
    .option('-i, --stdin', 'pass standard input on (at most 1 MiB)')
    .action((reference: string, argv: string[], options: ExecOptions, command: Command) =>
      runCommand(command, (cli) => exec(cli, reference, argv, options)),
    );
}

async function exec(cli: Cli, reference: string, argv: string[], options: ExecOptions): Promise<number> {
  const timeoutMs = options.timeout === undefined ? undefined : secondsToMs(options.timeout);
  const stdin = options.stdin ? await text(process.stdin) : undefined;
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const result = await (async () => {
    using progress = cli.progress(printable(argv.join(' ')));
    await using _follow = await followProgress(client, session.id, progress);
    return await client.request('session/exec', {
      sessionId: session.id,
      argv,
      cwd: options.cwd === undefined ? undefined : pathIn(session, options.cwd),
      env: options.env.length > 0 ? Object.fromEntries(options.env.map(splitVariable)) : undefined,
      stdin,
      timeoutMs,
    });
  })();
  cli.result(result, () => {
    process.stdout.write(Buffer.from(result.stdout, 'base64'));
    process.stderr.write(Buffer.from(result.stderr, 'base64'));
    const { turn } = result;
    const { checkpoint } = turn;
    if (result.truncated) cli.note(cli.noteStyle.warn('turntable: the output was longer than what is shown'));
    const stored = !checkpoint
      ? 'no checkpoint'
      : !checkpoint.restorable
        ? cli.noteStyle.bad(`cannot be restored: ${printable(checkpoint.reason)}`)
        : checkpoint.reused
          ? 'checkpoint reused'
          : `${formatSize(checkpoint.bytesStored)} stored`;
    cli.note(
      [
        `${cli.noteStyle.strong(`turn ${turn.id}`)}  exit ${result.exitCode}`,
        summarizeEffects(turn.effects, turn.effectClass, cli.noteStyle),
        stored,
      ].join(cli.noteStyle.faint(' · ')),
    );
  });
  return result.exitCode;
}

function secondsToMs(text: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0) {
    throw new TurntableError('invalidParams', `--timeout ${text}: give seconds, for example 30.`);
  }
  return Math.ceil(seconds * 1000);
}

function splitVariable(entry: string): [string, string] {
  const at = entry.indexOf('=');
  if (at <= 0) throw new TurntableError('invalidParams', `--env ${entry}: give KEY=value.`);
  return [entry.slice(0, at), entry.slice(at + 1)];
}
