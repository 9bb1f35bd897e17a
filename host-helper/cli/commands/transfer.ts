/**
 * `turntable export` and `import`: a session moves to another helper. The archive's file is read and written here, with the
 * rights of whoever runs this, never by the helper.
 */

import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import type { RootState, SessionState, Turn } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { collect } from '../collect.ts';
import { environmentOf } from '../environment.ts';
import { followProgress } from '../follow.ts';
import { interrupted } from '../interrupt.ts';
import { printable } from '../format/style.ts';
import { formatDuration, formatSize, plural } from '../format/units.ts';
import { selectSession, selectTurn } from '../select.ts';
import { sessionOf, snapshotOf } from '../snapshot.ts';
import { writeAll, writeFileWhole } from '../whole-file.ts';

interface ExportOptions {
  onlyHead?: boolean;
  withoutBase?: boolean;
}

interface ImportOptions {
  workspace?: string;
  title?: string;
  processes?: boolean;
  upstream?: string;
  env: string[];
  start?: boolean;
}

const portionBytes = 4 << 20;

export function registerTransfer(program: Command): void {
  program
    .command('export')
    .description('write a session up to a turn into a file, to go on elsewhere')
    .argument(
      '<session[@turn]>',
      'a session, with @TURN for another turn than the head; or the id of a checkpoint',
    )
    .argument('<file>', 'where to; - for standard output')
    .option('--only-head', 'leave out the checkpoints before: smaller, but no rewind past this turn')
    .option('--without-base', 'leave out the folder itself: the other side must have the same one')
    .action((reference: string, file: string, options: ExportOptions, command: Command) =>
      runCommand(command, (cli) => exportTo(cli, reference, file, options)),
    );
  program
    .command('import')
    .description('make a session of a file that `export` wrote')
    .argument('<file>', 'where from; - for standard input')
    .option('--workspace <dir>', 'the folder to work on: the same as there, or an empty or new one')
    .option('--title <text>', 'a name for people')
    .option(
      '--processes',
      'bring its processes back too: only from somebody you trust, for an image of processes can do anything here',
    )
    .option('--upstream <url>', 'where model requests go')
    .option(
      '--env <key[=value]>',
      'a variable for the agent, from here or given; may be repeated',
      collect,
      [],
    )
    .option('--start', 'start it at once, the agent too if it was at work')
    .option('--no-start', 'leave it stopped (default)')
    .action((file: string, options: ImportOptions, command: Command) =>
      runCommand(command, (cli) => importFrom(cli, file, options)),
    );
}

async function exportTo(cli: Cli, reference: string, file: string, options: ExportOptions): Promise<void> {
  const startedMs = performance.now();
  const client = await cli.connect();
  const { session, turn } = selectCheckpoint(await snapshotOf(client), reference);
  using progress = cli.progress(`exporting turn ${turn.id}`);
  const stop = interrupted();
  const { exportId, checkpoint } = await client.request(
    'session/export',
    {
      sessionId: session.id,
      turn: turn.id,
      onlyHead: options.onlyHead,
      withoutBase: options.withoutBase,
    },
    { signal: stop },
  );
  let bytes = 0;
  const portions = async (write: (data: Buffer) => Promise<void>): Promise<void> => {
    for (;;) {
      const { data, done } = await client.request('export/read', { exportId }, { signal: stop });
      const portion = Buffer.from(data, 'base64');
      bytes += portion.length;
      progress.label(`exporting turn ${turn.id}, ${formatSize(bytes)}`);
      await write(portion);
      if (done) return;
    }
  };
  if (file === '-') await portions((data) => writeAll(process.stdout, data));
  else await writeFileWhole(resolve(file), portions);
  progress[Symbol.dispose]();
  const tookMs = performance.now() - startedMs;
  if (file === '-') {
    if (!cli.json) cli.note(`turntable: ${session.id} turn ${turn.id}, ${formatSize(bytes)}`);
    return;
  }
  cli.result({ sessionId: session.id, turn: turn.id, checkpoint, file: resolve(file), bytes, tookMs }, () => {
    cli.print(
      `${cli.style.good('✓')} ${session.id} up to turn ${turn.id} is in ${printable(file)}: ${formatSize(bytes)}, in ${formatDuration(tookMs)}`,
    );
    cli.print(
      cli.style.faint(
        '  it holds what the session had in files and memory, secrets too; go on with: turntable import FILE',
      ),
    );
  });
}

async function importFrom(cli: Cli, file: string, options: ImportOptions): Promise<void> {
  const startedMs = performance.now();
  const client = await cli.connect();
  const workspace = options.workspace === undefined ? undefined : resolve(options.workspace);
  // Made here, so that it belongs to whoever runs this.
  if (workspace !== undefined) await mkdir(workspace, { recursive: true });
  using progress = cli.progress('importing');
  const stop = interrupted();
  const source =
    file === '-' ? process.stdin : createReadStream(resolve(file), { highWaterMark: portionBytes });
  const { importId } = await client.request(
    'session/import',
    {
      workspace,
      title: options.title,
      processes: options.processes,
      upstream: options.upstream,
      env: options.env.length > 0 ? environmentOf(options.env) : undefined,
    },
    { signal: stop },
  );
  let bytes = 0;
  try {
    for await (const data of source) {
      if (!Buffer.isBuffer(data)) continue;
      for (let at = 0; at < data.length; at += portionBytes) {
        const portion = data.subarray(at, at + portionBytes);
        await client.request(
          'import/write',
          { importId, data: portion.toString('base64') },
          { signal: stop },
        );
        bytes += portion.length;
        progress.label(`importing, ${formatSize(bytes)}`);
      }
    }
  } catch (error) {
    if (error instanceof TurntableError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TurntableError('fileNotFound', `${file} cannot be read: ${reason}.`, { cause: error });
  }
  progress.label('checking the archive and making the session');
  const result = await client.request('import/finish', { importId }, { signal: stop });
  if (options.start === true) {
    await using _follow = await followProgress(client, result.sessionId, progress);
    await client.request('session/resume', { sessionId: result.sessionId });
  }
  const session = await sessionOf(client, result.sessionId);
  progress[Symbol.dispose]();
  const tookMs = performance.now() - startedMs;
  cli.result({ ...result, started: options.start === true, bytes, tookMs, mount: session.mount }, () => {
    cli.print(
      `${cli.style.good('✓')} Session ${cli.style.strong(result.sessionId)} at turn ${result.turn} of ${plural(result.turns, 'turn')}: ${result.processes ? 'files and processes' : 'files'}, in ${formatDuration(tookMs)}`,
    );
    cli.print(cli.style.faint(`  its files: ${printable(session.mount)}`));
    cli.print(
      cli.style.faint(
        result.ownWorkspace
          ? '  over a copy of the folder of its own'
          : `  over ${printable(result.workspace)}`,
      ),
    );
    for (const note of result.notes) cli.print(cli.style.warn(`  ${printable(note)}`));
    if (options.start !== true)
      cli.print(cli.style.faint(`  next: turntable session resume ${result.sessionId}`));
  });
}

/** A checkpoint's own id, or SESSION[@TURN]. */
function selectCheckpoint(
  state: RootState,
  reference: string,
): { readonly session: SessionState; readonly turn: Turn } {
  for (const session of Object.values(state.sessions)) {
    const turn = session.turns.find((each) => each.checkpoint?.id === reference);
    if (turn) return { session, turn };
  }
  const at = reference.lastIndexOf('@');
  const session = selectSession(state, at < 0 ? reference : reference.slice(0, at));
  return { session, turn: selectTurn(session, at < 0 ? 'head' : reference.slice(at + 1)) };
}
