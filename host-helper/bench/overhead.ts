/**
 * What the BPF programs cost: the same work in a control group with the sentry's programs attached and with none, in turns; nothing
 * else of a sandbox is in it. The figure is CPU time as the kernel accounts it to the control group (`cpu.stat`): it holds what the
 * programs add to whatever they interrupt, and wall time on a busy machine does not repeat within the few per cent that are asked for.
 * Wall time stands beside it, and what the kernel itself counts within the programs.
 */

import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startSentry } from '../inspector/sentry-process.ts';
import type { Sentry } from '../inspector/sentry.ts';
import { silentLogger } from '../log.ts';
import { mountOverlays } from '../sandbox/oci/overlay.ts';
import { bpfMsOf, childrenExecuting, keepBpfAccount } from './bpf-time.ts';
import { prepareWork, type Work } from './overhead-work.ts';
import { measurePairs, type PairedRatio, type Taken } from './paired.ts';
import { run } from './run-command.ts';
import { median, rounded } from './statistics.ts';

export type WorkName = Work['name'];
export interface WorkOverhead extends PairedRatio {
  readonly text: string;
  /** CPU time within the BPF programs over all of the work's, watched: the kernel's own account, and the least that they can cost. */
  readonly programShare: number;
}
export type Overhead = Readonly<Record<WorkName, WorkOverhead>>;

export interface OverheadOptions {
  /** Fresh; on the file system of a state directory. */
  readonly directory: string;
  readonly sentryPath: string;
  readonly quick: boolean;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly only?: readonly WorkName[];
}

const sandboxNumber = 1;

export async function measureOverhead(options: OverheadOptions): Promise<Overhead> {
  const { directory, quick, signal, say } = options;
  await using cleanup = new AsyncDisposableStack();
  const source = join(directory, 'source');
  const works = await prepareWork(
    source,
    quick
      ? { repositoryFiles: 1_500, cFiles: 20, packages: 40 }
      : { repositoryFiles: 4_000, cFiles: 60, packages: 120 },
    signal,
  );

  // As in a sandbox: the work writes into an overlay, whose upper is what the hints are about.
  const merged = join(directory, 'merged');
  const upper = join(directory, 'upper');
  const outside = join(directory, 'outside');
  const lower = join(directory, 'lower');
  await Promise.all([mkdir(lower), mkdir(outside)]);
  const [failed] = await mountOverlays(
    join(dirname(options.sentryPath), 'supervisor'),
    [{ lowers: [lower], upper, work: join(directory, 'work'), target: merged, fresh: true }],
    silentLogger,
  );
  if (failed) throw failed;
  cleanup.defer(async () => {
    await run(['umount', merged]);
  });

  const inside = await makeCgroup('inside');
  cleanup.defer(() => rmdir(inside));
  const elsewhere = await makeCgroup('outside');
  cleanup.defer(() => rmdir(elsewhere));
  const sentry = await startSentry({
    binaryPath: options.sentryPath,
    stateDir: directory,
    log: silentLogger,
  });
  cleanup.defer(() => sentry.close());
  const [sentryPid] = await childrenExecuting(await realpath(options.sentryPath));
  if (sentryPid === undefined)
    throw new Error('The sentry is not to be found among the children of this process.');

  const measured: [WorkName, Overhead[WorkName]][] = [];
  for (const work of works) {
    if (options.only && !options.only.includes(work.name)) continue;
    say(`overhead: ${work.text} …`);
    let round = 0;
    const at =
      work.name === 'outside' ? { cwd: outside, cgroup: elsewhere } : { cwd: merged, cgroup: inside };
    const once = async (on: boolean): Promise<Taken> => {
      // Always a fresh place, and nothing is removed in between: ext4 walks past every inode that was deleted within the last
      // half minute, so that creating after deleting costs several times as much, and never twice the same.
      const cwd = join(at.cwd, `${work.name}-${(round += 1)}`);
      await mkdir(cwd);
      if (work.prepare) await run(['sh', '-ec', work.prepare], { cwd, signal });
      return watched(sentry, on, { inside, upper }, () => take(work, { ...at, cwd }, signal));
    };
    const ratio = await measurePairs(
      {
        budgetMs: quick ? 2_500 : 40_000,
        minimumPairs: quick ? 3 : 10,
        maximumPairs: quick ? 6 : 60,
        signal,
      },
      once,
    );
    const shares: number[] = [];
    {
      await using _account = await keepBpfAccount();
      for (let taken = 0; taken < (quick ? 1 : 5); taken += 1) {
        const beforeMs = await bpfMsOf(sentryPid);
        const { cpuMs } = await once(true);
        shares.push(((await bpfMsOf(sentryPid)) - beforeMs) / cpuMs);
      }
    }
    const programShare = rounded(median(shares));
    measured.push([work.name, { text: work.text, ...ratio, programShare }]);
  }
  return Object.fromEntries(measured) as unknown as Overhead;
}

async function watched(
  sentry: Sentry,
  on: boolean,
  { inside, upper }: { readonly inside: string; readonly upper: string },
  work: () => Promise<Taken>,
): Promise<Taken> {
  if (!on) return work();
  const { ino } = await stat(inside, { bigint: true });
  await sentry.watch({
    sandbox: sandboxNumber,
    cgroupId: ino,
    cgroupPath: inside,
    roots: [{ root: 0, path: upper }],
  });
  try {
    return await work();
  } finally {
    await sentry.unwatch(sandboxNumber);
  }
}

async function take(
  work: Work,
  { cwd, cgroup }: { readonly cwd: string; readonly cgroup: string },
  signal: AbortSignal,
): Promise<Taken> {
  const beforeMs = await cpuMsOf(cgroup);
  const startedMs = performance.now();
  // The shell joins the control group before it does anything that counts.
  await run(['sh', '-ec', `echo $$ > ${cgroup}/cgroup.procs; ${work.script}`], { cwd, signal });
  const wallMs = performance.now() - startedMs;
  return { cpuMs: (await cpuMsOf(cgroup)) - beforeMs, wallMs };
}

async function makeCgroup(name: string): Promise<string> {
  const top = existsSync('/sys/fs/cgroup/unified') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup';
  const path = join(top, `turntable-bench-${process.pid}-${name}`);
  await mkdir(path);
  return path;
}

async function cpuMsOf(cgroup: string): Promise<number> {
  const used = /^usage_usec (\d+)$/m.exec(await readFile(join(cgroup, 'cpu.stat'), 'utf8'))?.[1];
  if (used === undefined) throw new Error(`${cgroup}/cpu.stat does not say what was used: is this cgroup2?`);
  return Number(used) / 1000;
}
