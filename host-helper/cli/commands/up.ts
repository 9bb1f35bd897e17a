/** `turntable up` and `down`: the helper's life. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import type { ResultOf } from '../../protocol/methods.ts';
import { runCommand, type Cli } from '../cli.ts';
import { connectHelper } from '../connect.ts';
import { helperCommand, isAlive, rootPrefix, runInForeground, startDetached } from '../launch.ts';

interface UpOptions {
  foreground?: boolean;
  group?: string;
}

const stopTimeoutMs = 60_000;
const pollIntervalMs = 100;

export function registerUp(program: Command): void {
  program
    .command('up')
    .description('start the helper if it does not run (as root, with sudo if needed)')
    .option('--foreground', 'stay in this terminal and show what the helper says')
    .option('--group <name>', 'the group whose members may use the helper (default: turntable)')
    .action((options: UpOptions, command: Command) => runCommand(command, (cli) => up(cli, options)));
  program
    .command('down')
    .description('stop the helper and the sessions it runs')
    .option('--keep-sessions', 'leave the sandboxes running: the next helper takes them over')
    .action((options: { keepSessions?: boolean }, command: Command) =>
      runCommand(command, (cli) => down(cli, options)),
    );
}

async function up(cli: Cli, options: UpOptions): Promise<number> {
  let hello = await helloOf(cli);
  const alreadyRunning = hello !== undefined;
  if (!hello) {
    const command = helperCommand(cli.place, options);
    if (options.foreground) return runInForeground([...rootPrefix(), ...command]);
    using _progress = cli.progress('starting the helper');
    await startDetached(command, async () => (hello = await helloOf(cli)) !== undefined, cli.place);
  }
  if (!hello) throw new TurntableError('internal', 'The helper answered and then did not: try again.');
  const { helperVersion, helperPid } = hello;
  cli.result({ helperPid, helperVersion, socket: cli.place.socketPath, alreadyRunning }, () => {
    const what = alreadyRunning ? 'The helper runs already' : 'The helper is up';
    cli.print(`${cli.style.good('✓')} ${what}: ${helperVersion}, pid ${helperPid}, ${cli.place.socketPath}`);
    if (!alreadyRunning) cli.print(cli.style.faint('  next: turntable session start --workspace DIR'));
  });
  return 0;
}

async function down(cli: Cli, options: { keepSessions?: boolean }): Promise<number> {
  const hello = await helloOf(cli);
  const wasRunning = hello !== undefined;
  if (hello) {
    using _progress = cli.progress('stopping the helper');
    const client = await cli.connect();
    try {
      await client.request('helper/stop', { sessions: options.keepSessions !== true });
    } catch (error) {
      // It may be gone before its answer is out.
      if (!isNotRunning(error)) throw error;
    }
    client.close();
    await untilGone(cli, hello.helperPid);
  }
  cli.result({ wasRunning }, () =>
    cli.print(
      wasRunning
        ? `${cli.style.good('✓')} The helper is down.`
        : cli.style.faint('The helper was not running.'),
    ),
  );
  return 0;
}

/** Until the process is gone, not just its socket: who removes the state directory next must find nothing mounted or written there. */
async function untilGone(cli: Cli, helperPid: number): Promise<void> {
  const deadline = performance.now() + stopTimeoutMs;
  while (performance.now() < deadline) {
    if ((await helloOf(cli)) === undefined && !isAlive(helperPid)) return;
    await sleep(pollIntervalMs);
  }
  throw new TurntableError(
    'timedOut',
    `The helper (pid ${helperPid}) is still there after ${stopTimeoutMs / 1000} s: see its log in ${cli.place.stateDir}.`,
  );
}

/** Undefined when no helper answers; other troubles (rights, version) are thrown. */
async function helloOf(cli: Cli): Promise<ResultOf<'hello'> | undefined> {
  try {
    const client = await connectHelper(cli.place.socketPath);
    client.close();
    return client.hello;
  } catch (error) {
    if (isNotRunning(error)) return undefined;
    throw error;
  }
}

function isNotRunning(error: unknown): boolean {
  return error instanceof TurntableError && error.code === 'helperNotRunning';
}
