/**
 * What a checkpoint of a three-file change costs in repositories of growing size, beside a shadow-git commit of the very same
 * change, in turns within one run.
 */

import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { HelperProcess } from '../demo/helper-process.ts';
import { makeRepository, ShadowGit, threeFiles } from './repository.ts';
import { median, rounded } from './statistics.ts';

export interface FileCheckpoints {
  readonly files: number;
  /** Milliseconds, medians: deciding plus capturing; the whole closing of the turn as the client sees it is more. */
  readonly checkpointMs: number;
  readonly inspectMs: number;
  readonly captureMs: number;
  readonly shadowGitMs: number;
  readonly ratio: number;
  readonly bytesStored: number;
  readonly rewindMs: number;
}

export async function measureFileCheckpoints(
  helper: HelperProcess,
  directory: string,
  files: number,
  rounds: number,
): Promise<FileCheckpoints> {
  const workspace = join(directory, `repository-${files}`);
  await mkdir(workspace, { recursive: true });
  await makeRepository(workspace, files);
  const changed = threeFiles(files);

  // The peer works on the same tree on the host; Turntable's session never touches it.
  const git = new ShadowGit(join(directory, `shadow-${files}.git`), workspace);
  await git.init();
  const { client } = helper;
  const { sessionId } = await client.request('session/start', { workspace, agent: 'none' });
  const inspect: number[] = [];
  const capture: number[] = [];
  const shadow: number[] = [];
  const rewinds: number[] = [];
  let bytesStored = 0;
  try {
    const script = `for f in ${changed.join(' ')}; do echo "// $1" >> "$f"; done`;
    await client.request('session/exec', { sessionId, argv: ['sh', '-c', script, 'sh', 'warm'] });
    for (let round = 0; round < rounds; round += 1) {
      const { turn } = await client.request('session/exec', {
        sessionId,
        argv: ['sh', '-c', script, 'sh', String(round)],
      });
      inspect.push(turn.checkpoint?.inspectMs ?? Number.NaN);
      capture.push(turn.checkpoint?.filesMs ?? Number.NaN);
      bytesStored = turn.checkpoint?.bytesStored ?? 0;
      for (const path of changed) await appendFile(join(workspace, path), `// ${round}\n`);
      const startedMs = performance.now();
      await git.commit();
      shadow.push(performance.now() - startedMs);
    }
    for (let round = 0; round < Math.min(rounds, 5); round += 1) {
      rewinds.push((await client.request('rewind', { sessionId, turn: 1, conflicts: 'take-theirs' })).tookMs);
      await client.request('session/exec', { sessionId, argv: ['sh', '-c', script, 'sh', `again ${round}`] });
    }
  } finally {
    await client.request('session/remove', { sessionId });
    await rm(workspace, { recursive: true, force: true });
    await rm(join(directory, `shadow-${files}.git`), { recursive: true, force: true });
  }
  const checkpointMs = median(inspect.map((each, index) => each + (capture[index] ?? 0)));
  return {
    files,
    checkpointMs: rounded(checkpointMs),
    inspectMs: rounded(median(inspect)),
    captureMs: rounded(median(capture)),
    shadowGitMs: rounded(median(shadow)),
    ratio: rounded(median(shadow) / checkpointMs),
    bytesStored,
    rewindMs: rounded(median(rewinds)),
  };
}
