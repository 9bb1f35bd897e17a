/**
 * Starts the helper as a daemon that outlives this terminal, as root. Owns how the process is made; knows nothing of
 * the protocol but how to tell that somebody answers.
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TurntableError } from '../protocol/errors.ts';
import type { HelperPlace } from './connect.ts';

const startTimeoutMs = 90_000;
const pollIntervalMs = 100;

/** The command line of the helper: the bundle's neighbour, or the sources when this runs from them. */
export function helperCommand(
  place: HelperPlace,
  options: { group?: string | undefined; debug?: boolean | undefined },
): string[] {
  const entry = import.meta.filename.endsWith('.ts')
    ? new URL('../main.ts', import.meta.url)
    : new URL('./helper.js', import.meta.url);
  return [
    process.execPath,
    fileURLToPath(entry),
    '--state-dir',
    place.stateDir,
    '--socket',
    place.socketPath,
    ...(options.group === undefined ? [] : ['--group', options.group]),
  ];
}

/** What of the person's environment the helper works with; sudo drops it unless told. Named, never on a command line: there are keys in it. */
const helperVariables =
  /^((OPENAI|ANTHROPIC|GEMINI)_API_KEY|(OPENAI|ANTHROPIC|GOOGLE_GEMINI)_BASE_URL|TURNTABLE_MODEL|NODE_EXTRA_CA_CERTS|(HTTPS?|ALL|NO)_PROXY)$/i;

/** The words to put before a command to run it as root. Throws `notPermitted` when there is no way. */
export function rootPrefix(): string[] {
  if (process.getuid?.() === 0) return [];
  const hasSudo = (process.env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => existsSync(join(folder, 'sudo')));
  if (!hasSudo) {
    throw new TurntableError(
      'notPermitted',
      'The helper must run as root, and there is no sudo here: run `turntable up` as root.',
    );
  }
  const kept = Object.keys(process.env).filter((name) => helperVariables.test(name));
  return ['sudo', ...(kept.length > 0 ? [`--preserve-env=${kept.join(',')}`] : []), '--'];
}

/** Runs the helper in this terminal until it ends; resolves with its exit code. */
export function runInForeground(command: readonly string[]): Promise<number> {
  const [program = '', ...argv] = command;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(program, argv, { stdio: 'inherit' });
  child.once('error', reject);
  child.once('close', (code, signal) =>
    resolve(code ?? (signal === 'SIGINT' || signal === 'SIGTERM' ? 0 : 1)),
  );
  // Ctrl-C reaches the helper too, which then ends in order; we wait for it.
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return promise.finally(() => process.off('SIGINT', ignore));
}

/**
 * A shell that detaches the helper: its own session, no terminal, output to a file ($0), and its pid as the file's
 * first line. sudo would otherwise keep a pseudo-terminal or a pipe to it.
 */
const detachScript = `setsid sh -c 'echo "$$"; exec "$@"' turntable "$@" </dev/null >>"$0" 2>&1 &`;

/** Starts the helper detached; resolves when `answers` says so. Throws `helperNotRunning` with its last words. */
export async function startDetached(
  command: readonly string[],
  answers: () => Promise<boolean>,
  place: HelperPlace,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'turntable-up-'));
  try {
    const output = join(directory, 'output');
    await writeFile(output, '', { mode: 0o600 });
    await runToEnd([...rootPrefix(), 'sh', '-c', detachScript, output, ...command]);
    const deadline = performance.now() + startTimeoutMs;
    while (performance.now() < deadline) {
      if (await answers()) return;
      const [pid = ''] = (await readFile(output, 'utf8')).split('\n');
      if (/^\d+$/.test(pid) && !isAlive(Number(pid))) {
        // It may have given way to another helper that started at the same time.
        if (await answers()) return;
        // Only now has it said all that it will.
        const [, ...said] = (await readFile(output, 'utf8')).split('\n');
        throw new TurntableError('helperNotRunning', `The helper ended while it started: ${lastWords(said)}`);
      }
      await sleep(pollIntervalMs);
    }
    throw new TurntableError(
      'timedOut',
      `The helper did not answer on ${place.socketPath} within ${startTimeoutMs / 1000} s: see ${join(place.stateDir, 'helper.log')}.`,
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Whether a process of any user runs. A zombie does not: in a container nobody may ever wait for it. */
export function isAlive(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !'ZX'.includes(status.charAt(status.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

async function runToEnd(command: readonly string[]): Promise<void> {
  const [program = '', ...argv] = command;
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  // stdin is the terminal: sudo may ask for a password.
  const child = spawn(program, argv, { stdio: ['inherit', 'ignore', 'inherit'] });
  child.once('error', reject);
  child.once('close', resolve);
  const code = await promise;
  if (code !== 0) {
    throw new TurntableError(
      'notPermitted',
      `Could not become root (${program} ended with ${code ?? 'a signal'}): run \`turntable up\` as root.`,
    );
  }
}

/** The helper's own sentence when it has one, else the error it died of, else the end of what it said. */
function lastWords(said: readonly string[]): string {
  const lines = said.map((line) => line.trim()).filter(Boolean);
  const own = lines.findLast((line) => line.startsWith('turntable: '));
  if (own) return own.slice('turntable: '.length);
  const died = lines.findIndex((line) => /^(\w*Error\b|Uncaught )/.test(line));
  const words = (died < 0 ? lines.slice(-5) : lines.slice(died, died + 2)).join('\n  ');
  return words || 'it said nothing. Try `turntable up --foreground`.';
}
