/**
 * What a checkpoint of a three-file change costs in repositories of growing size, beside a shadow-git commit of the very same
 * change, in turns within one run.
 */

import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HelperProcess } from '../demo/helper-process.ts';
import type { Turn } from '../protocol/state.ts';
import { ShadowGit, threeFiles } from './repository.ts';
import { median, percentile, rounded } from './statistics.ts';

export interface FileCheckpoints {
  readonly files: number;
  /** Milliseconds, medians: from the end of the turn until its checkpoint is published, all in, as the peer's commit is. */
  readonly checkpointMs: number;
  readonly checkpointP95Ms: number;
  /** Of that, making the plan and carrying it out. */
  readonly inspectMs: number;
  readonly captureMs: number;
  readonly shadowGitMs: number;
  readonly ratio: number;
  readonly bytesStored: number;
  readonly rewindMs: number;
}

export interface FileCheckpointOptions {
  readonly directory: string;
  readonly files: number;
  /** Of checkpoints; the peer gets as many up to `peerRounds`. */
  readonly rounds: number;
  readonly peerRounds: number;
  readonly rewinds: number;
  readonly signal: AbortSignal;
}

/** Leaves the repository there: removing many files makes creating others slow for a while, and that would be measured next. */
export async function measureFileCheckpoints(
  helper: HelperProcess,
  options: FileCheckpointOptions,
): Promise<FileCheckpoints> {
  const { directory, files, rounds, peerRounds, signal } = options;
  const workspace = join(directory, `repository-${files}`);
  const changed = threeFiles(files);
  // The peer works on the same tree on the host; Turntable's session never touches it.
  const git = new ShadowGit(join(directory, `shadow-${files}.git`), workspace, signal);
  await git.create(files);
  const { client } = helper;
  const { sessionId } = await client.request('session/start', { workspace, agent: 'none' });
  const taken: CheckpointTimes[] = [];
  const shadow: number[] = [];
  const rewinds: number[] = [];
  try {
    await changeThree(helper, sessionId, changed, 'warm');
    for (let round = 0; round < rounds; round += 1) {
      signal.throwIfAborted();
      taken.push(timesOf(await changeThree(helper, sessionId, changed, String(round))));
      if (round >= peerRounds) continue;
      for (const path of changed) await appendFile(join(workspace, path), `// ${round}\n`);
      const startedMs = performance.now();
      await git.commit();
      shadow.push(performance.now() - startedMs);
    }
    for (let round = 0; round < options.rewinds; round += 1) {
      signal.throwIfAborted();
      rewinds.push((await client.request('rewind', { sessionId, turn: 1, conflicts: 'take-theirs' })).tookMs);
      await changeThree(helper, sessionId, changed, `again ${round}`);
    }
  } finally {
    await client.request('session/remove', { sessionId });
  }
  const totals = taken.map((each) => each.totalMs);
  return {
    files,
    checkpointMs: rounded(median(totals)),
    checkpointP95Ms: rounded(percentile(totals, 95)),
    inspectMs: rounded(median(taken.map((each) => each.inspectMs))),
    captureMs: rounded(median(taken.map((each) => each.filesMs))),
    shadowGitMs: rounded(median(shadow)),
    ratio: rounded(median(shadow) / median(totals)),
    bytesStored: median(taken.map((each) => each.bytesStored)),
    rewindMs: rounded(median(rewinds)),
  };
}

export interface CheckpointTimes {
  readonly inspectMs: number;
  readonly filesMs: number;
  /** All in: from the end of the turn until its checkpoint is published. */
  readonly totalMs: number;
  readonly bytesStored: number;
}

/** What the checkpoint of a turn took. Throws when it has none: a figure without a checkpoint would flatter us. */
export function timesOf(turn: Turn): CheckpointTimes {
  const { checkpoint } = turn;
  if (checkpoint?.restorable !== true || checkpoint.reused)
    throw new Error(`turn ${turn.id} was to be kept and was not: ${checkpoint?.reason ?? 'no checkpoint'}`);
  const { inspectMs, filesMs, closeMs, bytesStored } = checkpoint;
  if (closeMs === undefined) throw new Error(`nobody noted how long turn ${turn.id} took to close`);
  return { inspectMs, filesMs, totalMs: closeMs, bytesStored };
}

/** One turn that appends a line to each of the files. */
export async function changeThree(
  helper: HelperProcess,
  sessionId: string,
  paths: readonly string[],
  tag: string,
): Promise<Turn> {
  const script = `for f in ${paths.join(' ')}; do echo "// $1" >> "$f"; done`;
  return runTurn(helper, sessionId, script, tag);
}

/** One turn that runs a shell script, with its arguments. */
export async function runTurn(
  helper: HelperProcess,
  sessionId: string,
  script: string,
  ...args: readonly string[]
): Promise<Turn> {
  const { turn, exitCode, stderr } = await helper.client.request('session/exec', {
    sessionId,
    argv: ['sh', '-ec', script, 'sh', ...args],
  });
  if (exitCode !== 0)
    throw new Error(
      `a turn's command ended with ${exitCode}: ${Buffer.from(stderr, 'base64').toString().slice(-300)}`,
    );
  return turn;
}
