/** Runs the programs that the benchmarks need, and says which one failed and how. */

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { exitCodeOf } from '../demo/exit-code.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the program and all that it started. */
  readonly signal?: AbortSignal;
  /** What it printed counts, whatever its exit code, as long as it printed something. */
  readonly acceptFailure?: boolean;
}

/** What it printed. Throws with the program's last words when it ends with anything but 0; always after it has ended. */
export async function run(
  [program = '', ...args]: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { signal, cwd, env } = options;
  signal?.throwIfAborted();
  // A group of its own: Ctrl-C in the terminal is ours to pass on, and then reaches what the program started, too.
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
    } catch {
      // All of it has ended, or it never started, which `exitCodeOf` tells.
    }
  };
  signal?.addEventListener('abort', end, { once: true });
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exitCodeOf(child),
  ]).finally(() => signal?.removeEventListener('abort', end));
  signal?.throwIfAborted();
  if (code === 0 || (options.acceptFailure === true && stdout !== '')) return stdout;
  const words = (stderr.trim() || stdout.trim()).slice(-500);
  throw new Error(`${[program, ...args].join(' ').slice(0, 200)} ended with ${code}: ${words}`);
}
