/** Whether a checkpoint of a small change stays cheap as a session goes on: with much changed already, and after many turns. */

import { join } from 'node:path';
import type { HelperProcess } from '../demo/helper-process.ts';
import { changeThree, runTurn, timesOf } from './file-checkpoints.ts';
import { makeRepository, threeFiles } from './repository.ts';
import { median, rounded } from './statistics.ts';

export interface GrowthOptions {
  readonly directory: string;
  /** How many files the session has changed before the small change. */
  readonly changedBefore: readonly number[];
  /** Which turns are looked at; the last is how long the session gets. */
  readonly turns: readonly number[];
  readonly rounds: number;
  readonly signal: AbortSignal;
}

export interface GrowthRow {
  readonly at: number;
  readonly checkpointMs: number;
  readonly inspectMs: number;
  readonly captureMs: number;
}

export interface Growth {
  readonly byChangedBefore: readonly (GrowthRow & {
    /** The one turn that changed all of them. */
    readonly bulkMs: number;
  })[];
  readonly byTurn: readonly GrowthRow[];
}

const repositoryFiles = 20_000;
/** A turn's figure is the median of it and its neighbours. */
const neighbours = 4;

export async function measureGrowth(helper: HelperProcess, options: GrowthOptions): Promise<Growth> {
  const workspace = join(options.directory, 'growing');
  await makeRepository(workspace, repositoryFiles, options.signal);
  return {
    byChangedBefore: await growUpper(helper, workspace, options),
    byTurn: await growSession(helper, workspace, options),
  };
}

async function growUpper(
  helper: HelperProcess,
  workspace: string,
  { changedBefore, rounds, signal }: GrowthOptions,
): Promise<Growth['byChangedBefore']> {
  const three = threeFiles(repositoryFiles);
  const rows: Growth['byChangedBefore'][number][] = [];
  await inSession(helper, workspace, async (sessionId) => {
    await changeThree(helper, sessionId, three, 'warm');
    for (const count of changedBefore) {
      signal.throwIfAborted();
      const script =
        'find . -name "*.ts" | sort | head -n "$1" | xargs sh -c \'for f; do echo "// $$" >> "$f"; done\' sh';
      const bulk = timesOf(await runTurn(helper, sessionId, script, String(count)));
      const taken = [];
      for (let round = 0; round < rounds; round += 1)
        taken.push(timesOf(await changeThree(helper, sessionId, three, `${count} ${round}`)));
      rows.push({ ...rowOf(count, taken), bulkMs: rounded(bulk.totalMs) });
    }
  });
  return rows;
}

async function growSession(
  helper: HelperProcess,
  workspace: string,
  { turns, signal }: GrowthOptions,
): Promise<GrowthRow[]> {
  const three = threeFiles(repositoryFiles);
  const taken: ReturnType<typeof timesOf>[] = [];
  await inSession(helper, workspace, async (sessionId) => {
    for (let turn = 0; turn < Math.max(...turns) + neighbours; turn += 1) {
      signal.throwIfAborted();
      taken.push(timesOf(await changeThree(helper, sessionId, three, String(turn))));
    }
  });
  return turns.map((turn) => rowOf(turn, taken.slice(Math.max(0, turn - neighbours - 1), turn + neighbours)));
}

function rowOf(at: number, taken: readonly ReturnType<typeof timesOf>[]): GrowthRow {
  return {
    at,
    checkpointMs: rounded(median(taken.map((each) => each.totalMs))),
    inspectMs: rounded(median(taken.map((each) => each.inspectMs))),
    captureMs: rounded(median(taken.map((each) => each.filesMs))),
  };
}

async function inSession(
  helper: HelperProcess,
  workspace: string,
  work: (sessionId: string) => Promise<void>,
): Promise<void> {
  const { sessionId } = await helper.client.request('session/start', { workspace, agent: 'none' });
  try {
    await work(sessionId);
  } finally {
    await helper.client.request('session/remove', { sessionId });
  }
}
