/**
 * Runs one command of the host to its end: bounded in time and output, with an error that says what failed and what to do.
 * Everything of this backend that shells out goes through here. It knows no command in particular.
 */
import { spawn } from 'node:child_process';
import { TurntableError } from '../../protocol/errors.ts';

const maxOutputBytes = 256 << 10;

export interface CommandResult {
  /** Exit code, or 128 + signal number is not known: a signal counts as 1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  /** Nothing is captured and all three descriptors are /dev/null, because the command hands them on to what it starts. */
  readonly detached?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs and returns whatever the exit code is. Throws `sandboxFailed` when it cannot start, `timedOut` when it takes too long. */
export async function tryCommand(
  command: string,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, {
      stdio: options.detached ? 'ignore' : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', ...options.env },
    });
    const output = { stdout: '', stderr: '' };
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        if (output[name].length < maxOutputBytes) output[name] += text;
      });
    }
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(
        new TurntableError(
          'sandboxFailed',
          `Cannot run ${command} (${cause.message}). Install it, for example with "npm run setup".`,
          { cause },
        ),
      );
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (late) {
        reject(
          new TurntableError(
            'timedOut',
            `${command} ${argv[0] ?? ''} did not end within ${timeoutMs} ms. Try again; if it repeats, look at the host's load.`,
          ),
        );
      } else {
        resolve({ code: code ?? 1, ...output });
      }
    });
  });
}

/** Runs and returns stdout. Throws `sandboxFailed` with the command's own words when it fails. */
export async function runCommand(
  command: string,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await tryCommand(command, argv, options);
  if (result.code !== 0) {
    const words = lastLines(result.stderr || result.stdout, 4);
    throw new TurntableError(
      'sandboxFailed',
      `${command} ${argv[0] ?? ''} failed with code ${result.code}: ${words || 'it said nothing'}`,
    );
  }
  return result.stdout;
}

/** The last non-empty lines of a text, joined for one message. */
export function lastLines(text: string, count: number): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-count)
    .join('; ');
}
