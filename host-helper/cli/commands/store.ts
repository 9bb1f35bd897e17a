/** `turntable gc` and `turntable fsck`: what is stored, what may go, and whether all of it is as it should be. */

import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { z } from 'zod';
import { TurntableError } from '../../protocol/errors.ts';
import { fsckResultSchema, type ResultOf } from '../../protocol/methods.ts';
import { runCommand, type Cli } from '../cli.ts';
import { exitCodes } from '../exit-codes.ts';
import { followProgress } from '../follow.ts';
import { printable } from '../format/style.ts';
import { formatSize, plural } from '../format/units.ts';
import { helperCommand, rootPrefix } from '../launch.ts';

type FsckResult = ResultOf<'store/fsck'>;

const shownProblems = 50;
const offlineReplySchema = z.union([
  z.object({ fsck: fsckResultSchema }),
  z.object({ error: z.object({ name: z.string(), message: z.string() }) }),
]);

export function registerStore(program: Command): void {
  program
    .command('gc')
    .description('expire what retention says and remove what no checkpoint needs')
    .option('--dry-run', 'say what would go, and stop')
    .action((options: { dryRun?: boolean }, command: Command) =>
      runCommand(command, (cli) => gc(cli, options.dryRun ?? false)),
    );
  program
    .command('fsck')
    .description('check every checkpoint of every session; works without a running helper too')
    .option('--repair', 'have damaged contents stored again where they are seen again')
    .action((options: { repair?: boolean }, command: Command) =>
      runCommand(command, (cli) => fsck(cli, options.repair ?? false)),
    );
}

async function gc(cli: Cli, dryRun: boolean): Promise<void> {
  const client = await cli.connect();
  const result = await (async () => {
    using progress = cli.progress('looking for what nothing needs');
    await using _follow = await followProgress(client, undefined, progress);
    return await client.request('store/gc', { dryRun });
  })();
  cli.result(result, () => {
    for (const { sessionId, turn, reason } of result.expired)
      cli.print(cli.style.faint(`  ${sessionId} turn ${turn}: ${printable(reason)}`));
    const checkpoints = plural(result.expired.length, 'checkpoint');
    const size = formatSize(result.freedBytes);
    if (dryRun) cli.print(`Would expire ${checkpoints} and free ${size}. Nothing was changed.`);
    else cli.print(`${cli.style.good('✓')} ${checkpoints} expired, ${size} freed`);
    const { storeBytes, cacheBytes, maxStoreBytes, freeBytes } = result.usage;
    const quota = maxStoreBytes === undefined ? '' : ` of ${formatSize(maxStoreBytes)}`;
    const caches = cacheBytes > 0 ? `, ${formatSize(cacheBytes)} of caches` : '';
    cli.print(
      cli.style.faint(
        `  checkpoints take ${formatSize(storeBytes)}${quota}${caches}; ${formatSize(freeBytes)} free`,
      ),
    );
  });
}

async function fsck(cli: Cli, repair: boolean): Promise<number> {
  const result = await check(cli, repair);
  const damaged = result.damagedCheckpoints.length > 0 || result.problems.length > 0;
  cli.result(result, () => {
    for (const problem of result.problems.slice(0, shownProblems))
      cli.print(cli.style.warn(printable(problem)));
    const hidden = result.problems.length - shownProblems;
    if (hidden > 0) cli.print(cli.style.faint(`… and ${plural(hidden, 'more problem')}`));
    for (const { sessionId, turn, files, processes } of result.damagedCheckpoints) {
      const lost =
        files === undefined
          ? `its files restore, its processes do not: ${processes ?? ''}`
          : `does not restore: ${files}`;
      cli.print(`${cli.style.bad('✗')} ${sessionId} turn ${turn} ${printable(lost)}`);
    }
    const read = `${plural(result.contents, 'content')} (${formatSize(result.bytes)}) read`;
    const whole = result.checkpoints - result.damagedCheckpoints.length;
    cli.print(
      damaged
        ? `${cli.style.bad('damaged')}: ${whole} of ${plural(result.checkpoints, 'checkpoint')} restore whole; ${read}`
        : `${cli.style.good('✓')} ${plural(result.checkpoints, 'checkpoint')} whole; ${read}`,
    );
    if (result.damagedContents > 0 && !repair)
      cli.print(
        cli.style.faint('  next: turntable fsck --repair, so that what is seen again is stored again'),
      );
  });
  return damaged ? exitCodes.failed : exitCodes.ok;
}

async function check(cli: Cli, repair: boolean): Promise<FsckResult> {
  try {
    const client = await cli.connect();
    using progress = cli.progress('checking every checkpoint');
    await using _follow = await followProgress(client, undefined, progress);
    return await client.request('store/fsck', { repair });
  } catch (error) {
    if (!(error instanceof TurntableError) || error.code !== 'helperNotRunning') throw error;
    if (repair) {
      throw new TurntableError(
        'helperNotRunning',
        'Only a running helper repairs: start it with `turntable up`, or check without --repair.',
        { cause: error },
      );
    }
  }
  using _progress = cli.progress('checking every checkpoint; no helper runs');
  return await checkOffline(cli);
}

/** The helper's program, started for this alone: it may read what the person may not. */
async function checkOffline(cli: Cli): Promise<FsckResult> {
  const words: string[] = [...rootPrefix(), ...helperCommand(cli.place, {}), 'fsck'];
  const [program = '', ...argv] = words;
  const child = spawn(program, argv, { stdio: ['inherit', 'pipe', 'inherit'] });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  child.once('error', reject);
  child.once('close', () => resolve(undefined));
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString('utf8')));
  await promise;
  const line = said.trim().split('\n').at(-1) ?? '';
  const reply = offlineReplySchema.safeParse(documentIn(line));
  if (!reply.success) {
    throw new TurntableError(
      'helperNotRunning',
      `The check gave no answer: see what it said above, and ${cli.place.stateDir}/helper.log.`,
      { cause: reply.error },
    );
  }
  if ('fsck' in reply.data) return reply.data.fsck;
  const { name, message } = reply.data.error;
  throw new TurntableError(name === 'helperRunning' ? 'helperRunning' : 'storeDamaged', message);
}

/** Undefined when it is none: whatever else a program prints is no answer. */
function documentIn(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
