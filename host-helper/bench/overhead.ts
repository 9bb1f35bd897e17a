/**
 * What watching costs: the same work in a watched cgroup and in an unwatched one, in turns (A B A B …), so that the drift of a
 * noisy machine cancels out. Quoted is the median of the pairs' ratios.
 */

import { spawn } from 'node:child_process';
import { mkdir, rm, rmdir, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodeOf } from '../demo/exit-code.ts';
import { startSentry } from '../inspector/sentry-process.ts';
import { silentLogger } from '../log.ts';
import { makeRepository } from './repository.ts';
import { median, rounded } from './statistics.ts';

export type Overhead = Readonly<
  Record<'gitClone' | 'untar' | 'find' | 'outsideUntar', { readonly ratio: number; readonly baseMs: number }>
>;

export async function measureOverhead(
  directory: string,
  sentryPath: string,
  rounds: number,
): Promise<Overhead> {
  const source = join(directory, 'source');
  await mkdir(source, { recursive: true });
  await makeRepository(source, 2_000);
  await run(['git', 'init', '-q', '.'], source);
  await run(['git', 'add', '-A'], source);
  await run(['git', '-c', 'user.name=b', '-c', 'user.email=b@localhost', 'commit', '-q', '-m', 'x'], source);
  await run(['tar', 'cf', join(directory, 'source.tar'), '-C', source, '.'], source);
  const watched = join(directory, 'work');
  const outside = join(directory, 'outside');
  await mkdir(watched);
  await mkdir(outside);
  const cgroup = join(
    existsSync('/sys/fs/cgroup/unified') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup',
    `turntable-bench-${process.pid}`,
  );
  await mkdir(cgroup);
  const sentry = await startSentry({ binaryPath: sentryPath, stateDir: directory, log: silentLogger });
  const measured = async (on: boolean, work: () => Promise<number>): Promise<number> => {
    if (!on) return work();
    const { ino } = await stat(cgroup, { bigint: true });
    await sentry.watch({
      sandbox: 1,
      cgroupId: ino,
      cgroupPath: cgroup,
      roots: [{ root: 0, path: watched }],
    });
    try {
      return await work();
    } finally {
      await sentry.unwatch(1);
    }
  };
  const pair = async (
    script: string,
    cwd: string,
    inCgroup: boolean,
  ): Promise<{ ratio: number; baseMs: number }> => {
    const ratios: number[] = [];
    const base: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const times: Record<'on' | 'off', number> = { on: 0, off: 0 };
      // Which of the two goes first alternates: the second finds warmer caches.
      for (const side of round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
        times[side] = await measured(side === 'on', () => timed(script, cwd, inCgroup ? cgroup : undefined));
      }
      if (round === 0) continue; // warm-up
      ratios.push(times.on / times.off);
      base.push(times.off);
    }
    return { ratio: rounded(median(ratios)), baseMs: rounded(median(base)) };
  };
  try {
    return {
      gitClone: await pair(`rm -rf c && git clone -q --no-hardlinks ${source} c`, watched, true),
      untar: await pair(`rm -rf t && mkdir t && tar xf ${directory}/source.tar -C t`, watched, true),
      find: await pair(
        `find ${source} -type f -size +0 > /dev/null; find ${source} -name '*.ts' > /dev/null`,
        watched,
        true,
      ),
      outsideUntar: await pair(`rm -rf t && mkdir t && tar xf ${directory}/source.tar -C t`, outside, false),
    };
  } finally {
    await sentry.close();
    await rmdir(cgroup);
    await rm(source, { recursive: true, force: true });
  }
}

async function timed(script: string, cwd: string, cgroup: string | undefined): Promise<number> {
  // The shell joins the cgroup before it starts the clock's work.
  const enter = cgroup === undefined ? '' : `echo $$ > ${cgroup}/cgroup.procs; `;
  const startedMs = performance.now();
  await run(['sh', '-c', `${enter}${script}`], cwd);
  return performance.now() - startedMs;
}

async function run([program = '', ...args]: readonly string[], cwd: string): Promise<void> {
  const child = spawn(program, args, { cwd, stdio: 'ignore' });
  const code = await exitCodeOf(child);
  if (code !== 0) throw new Error(`${program} ended with ${code} in ${cwd}`);
}
