/** Runs `turntable` as people do: a process of its own, from the sources. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** Halves the time a run takes. */
const compileCache = fileURLToPath(
  new URL('../../../node_modules/.cache/turntable-cli-tests', import.meta.url),
);
const main = fileURLToPath(new URL('../../../host-helper/cli/main.ts', import.meta.url));

export interface CliRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCli(
  argv: readonly string[],
  options: {
    env?: Record<string, string>;
    stdin?: string;
    /** No file becomes larger than so many blocks of 512 bytes: as if the disk were full then. */
    fileBlocks?: number;
  } = {},
): Promise<CliRun> {
  const {
    TURNTABLE_SOCKET: _socket,
    TURNTABLE_STATE_DIR: _stateDir,
    FORCE_COLOR: _color,
    ...env
  } = process.env;
  const limit = options.fileBlocks === undefined ? '' : `ulimit -f ${options.fileBlocks};`;
  const child = spawn('sh', ['-c', `${limit} exec "$0" "$@"`, process.execPath, main, ...argv], {
    env: {
      ...env,
      ...(limit === '' ? { NODE_COMPILE_CACHE: compileCache } : {}),
      ...options.env,
    },
    stdio: 'pipe',
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.stdin ?? '');
  const exited = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await exited;
  return { code: child.exitCode, stdout, stderr };
}
