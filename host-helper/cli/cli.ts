/**
 * What every command gets: the global options, its output, and a connection made on demand. Owns the one catch
 * boundary of the CLI and how errors are shown; knows no command.
 */

import type { Command } from 'commander';
import type { Client } from '../protocol/client.ts';
import { errorCodes, TurntableError } from '../protocol/errors.ts';
import { connectHelper, placeOf, type HelperPlace } from './connect.ts';
import { exitCodeOf } from './exit-codes.ts';
import { createStyle, printable, type Style } from './format/style.ts';
import { startProgress, type Progress } from './progress.ts';

export interface Cli extends Disposable {
  readonly json: boolean;
  readonly place: HelperPlace;
  /** For stdout. */
  readonly style: Style;
  /** For stderr. */
  readonly noteStyle: Style;
  /** The one connection of this run. */
  connect(): Promise<Client>;
  /** The outcome: one JSON document with --json, else what `human` prints. */
  result(document: unknown, human: () => void): void;
  /** A line on stdout. */
  print(line?: string): void;
  /** A line on stderr. */
  note(line: string): void;
  progress(label: string): Progress;
}

interface GlobalOptions {
  json?: boolean;
  socket?: string;
  stateDir?: string;
}

/** Runs a command's body: connects, closes, turns errors into words and an exit code. */
export async function runCommand(
  command: Command,
  body: (cli: Cli) => Promise<number | void>,
): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>();
  using cli = createCli(options);
  try {
    process.exitCode = (await body(cli)) ?? 0;
  } catch (error) {
    process.exitCode = reportError(error, cli.json);
  }
}

/** Prints an error (as JSON on stdout with `json`, else as words on stderr) and returns its exit code. */
export function reportError(error: unknown, json: boolean): number {
  const known = error instanceof TurntableError ? error : unexpected(error);
  if (json) {
    const { code: name, message, data } = known;
    process.stdout.write(
      JSON.stringify({ error: { code: errorCodes[name], name, message, ...(data && { data }) } }) + '\n',
    );
  } else {
    const style = createStyle(process.stderr);
    process.stderr.write(`${style.bad('turntable:')} ${printable(known.message, { lines: true })}\n`);
  }
  return exitCodeOf(known.code);
}

function createCli(options: GlobalOptions): Cli {
  const json = options.json ?? false;
  const place = placeOf(options);
  let client: Promise<Client> | undefined;
  return {
    json,
    place,
    style: createStyle(process.stdout),
    noteStyle: createStyle(process.stderr),
    connect: () => (client ??= connectHelper(place.socketPath)),
    result(document, human) {
      if (json) process.stdout.write(JSON.stringify(document) + '\n');
      else human();
    },
    print: (line = '') => void process.stdout.write(line + '\n'),
    note: (line) => void process.stderr.write(line + '\n'),
    progress: (label) => startProgress(label, process.stderr, !json),
    [Symbol.dispose]() {
      client?.then(
        (open) => open.close(),
        () => {},
      );
    },
  };
}

function unexpected(error: unknown): TurntableError {
  const message = error instanceof Error ? error.message : String(error);
  return new TurntableError('internal', `Something unexpected went wrong: ${message}`, { cause: error });
}
