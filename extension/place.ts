/** Where the helper's socket and the CLI are: settings, then the environment, then the usual places. Must not connect. */

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import * as vscode from 'vscode';

const usual = { stateDirectory: '/var/lib/turntable', socketPath: '/run/turntable/helper.sock' } as const;

export interface Place {
  readonly socketPath: string;
  /** Set when it is not the usual one, so that commands can name it. */
  readonly stateDirectory: string | undefined;
  /** Set when the socket was named on its own, so that commands can name it. */
  readonly ownSocket: boolean;
}

/** Where the helper listens, by the same rules as the CLI: a state directory of one's own brings its own socket. */
export function helperPlace(): Place {
  const settings = vscode.workspace.getConfiguration('turntable');
  const stateSetting = settings.get<string>('stateDirectory', '');
  const stateDirectory = stateSetting || process.env['TURNTABLE_STATE_DIR'] || undefined;
  const fromEnvironment = stateSetting === '' ? process.env['TURNTABLE_SOCKET'] : undefined;
  const socket = settings.get<string>('socketPath', '') || fromEnvironment;
  const bySide = stateDirectory === undefined ? usual.socketPath : join(stateDirectory, 'helper.sock');
  return { socketPath: socket || bySide, stateDirectory, ownSocket: Boolean(socket) };
}

/** The CLI's path: the setting, else `turntable` on the PATH or in the usual places; undefined when there is none. */
export function cliPath(): string | undefined {
  const setting = vscode.workspace.getConfiguration('turntable').get<string>('cliPath', '');
  if (setting !== '') return runnable(setting) || existsSync(setting) ? setting : undefined;
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/bin', '/usr/bin'];
  return directories
    .filter(Boolean)
    .map((directory) => join(directory, 'turntable'))
    .find(runnable);
}

/** A command line for a terminal: `sudo` where it takes root, the place where it is not the usual one. */
export function cliCommand(verb: 'up' | 'down' | 'doctor', place: Place): string {
  const cli = cliPath() ?? 'turntable';
  const words: string[] = [verb];
  if (place.stateDirectory !== undefined) words.push('--state-dir', place.stateDirectory);
  if (place.ownSocket) words.push('--socket', place.socketPath);
  // A script without the right to run: by the terminal's Node, whose place sudo would not find by itself.
  const program =
    existsSync(cli) && !runnable(cli) ? `"$(command -v node)" ${shellWord(cli)}` : shellWord(cli);
  const root = process.getuid?.() === 0;
  return [...(verb === 'doctor' || root ? [] : ['sudo']), program, ...words.map(shellWord)].join(' ');
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function runnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
