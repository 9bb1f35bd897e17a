/** One page of a big file changes: what is stored, and how long that takes, after the file was kept once. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HelperProcess } from '../demo/helper-process.ts';
import { runTurn, timesOf, type CheckpointTimes } from './file-checkpoints.ts';

export interface LargeFile {
  readonly sizeBytes: number;
  /** The first time, all of it. */
  readonly firstStoredBytes: number;
  readonly firstMs: number;
  /** Then with one page changed, the largest of the rounds. */
  readonly onePageStoredBytes: number;
  readonly onePageMs: number;
  /** To the first capture; a quick run leaves it out. */
  readonly rewindMs: number | undefined;
}

const pageBytes = 4096;

export async function measureLargeFile(
  helper: HelperProcess,
  {
    directory,
    sizeBytes,
    rounds,
    rewind,
  }: {
    readonly directory: string;
    readonly sizeBytes: number;
    readonly rounds: number;
    readonly rewind: boolean;
  },
): Promise<LargeFile> {
  const workspace = join(directory, 'with-a-large-file');
  await mkdir(workspace);
  await writeFile(join(workspace, 'readme.txt'), 'a database grows here\n');
  const { sessionId } = await helper.client.request('session/start', { workspace, agent: 'none' });
  try {
    // Nothing in it repeats, so that neither compression nor equal blocks make it small.
    const first = await runTurn(
      helper,
      sessionId,
      'head -c "$1" /dev/urandom > large.bin',
      String(sizeBytes),
    );
    const taken: CheckpointTimes[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const page = Math.floor((sizeBytes / pageBytes) * ((round + 0.5) / rounds));
      const script = `head -c ${pageBytes} /dev/urandom | dd of=large.bin bs=${pageBytes} seek="$1" conv=notrunc status=none`;
      taken.push(timesOf(await runTurn(helper, sessionId, script, String(page))));
    }
    const to = { sessionId, turn: first.id, conflicts: 'take-theirs' } as const;
    const rewindMs = rewind ? Math.round((await helper.client.request('rewind', to)).tookMs) : undefined;
    return {
      sizeBytes,
      firstStoredBytes: timesOf(first).bytesStored,
      firstMs: Math.round(timesOf(first).totalMs),
      onePageStoredBytes: Math.max(...taken.map((each) => each.bytesStored)),
      onePageMs: Math.round(Math.max(...taken.map((each) => each.totalMs))),
      rewindMs,
    };
  } finally {
    await helper.client.request('session/remove', { sessionId });
  }
}
