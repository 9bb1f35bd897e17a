/** Hold-back, class and bytes of every turn of the sample session, and what rewind and branch of it take, over several runs. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HelperProcess } from '../demo/helper-process.ts';
import { createSampleRepository } from '../demo/sample-repository.ts';
import { alternativePrompt, samplePrompt } from '../demo/sample-script.ts';
import { answerApprovals, untilFinished, watchState } from '../demo/sample-session.ts';
import { median, percentile, rounded } from './statistics.ts';

export interface SampleTurns {
  readonly runs: number;
  readonly turns: readonly {
    readonly turn: number;
    readonly label: string;
    readonly class: string;
    readonly bytes: number;
    readonly heldMs: number;
    readonly inspectMs: number;
    readonly closeMs: number;
  }[];
  readonly heldMs: { readonly p50: number; readonly p95: number };
  readonly inspectMs: { readonly p50: number; readonly p95: number };
  /** Share of the agent's turns that needed no checkpoint of files or processes. */
  readonly nothing: number;
  readonly rewindMs: number;
  readonly branchMs: number;
  readonly withProcesses: boolean;
}

export async function measureSampleTurns(
  helper: HelperProcess,
  directory: string,
  runs: number,
  signal: AbortSignal,
): Promise<SampleTurns> {
  const { client } = helper;
  const watched = await watchState(client);
  const approvals = await answerApprovals(client, () => 'allow');
  const byTurn = new Map<
    number,
    {
      label: string;
      class: string;
      bytes: number[];
      heldMs: number[];
      inspectMs: number[];
      closeMs: number[];
    }
  >();
  const rewinds: number[] = [];
  const branches: number[] = [];
  let withProcesses = false;
  for (let run = 0; run < runs; run += 1) {
    signal.throwIfAborted();
    const workspace = join(directory, `sample-${run}`);
    await mkdir(workspace);
    await createSampleRepository(workspace);
    const { sessionId } = await client.request('session/start', {
      workspace,
      agent: 'pi',
      prompt: samplePrompt,
      upstream: 'scripted',
    });
    const session = await untilFinished(watched, sessionId, 240_000);
    for (const turn of session.turns.filter((each) => each.kind === 'agent')) {
      const row = byTurn.get(turn.id) ?? {
        label: turn.label,
        class: turn.effectClass ?? '?',
        bytes: [],
        heldMs: [],
        inspectMs: [],
        closeMs: [],
      };
      row.bytes.push(turn.checkpoint?.bytesStored ?? 0);
      row.heldMs.push(turn.checkpoint?.heldMs ?? 0);
      row.inspectMs.push(turn.checkpoint?.inspectMs ?? 0);
      row.closeMs.push(turn.checkpoint?.closeMs ?? 0);
      byTurn.set(turn.id, row);
    }
    const target = session.turns.find((turn) => turn.checkpoint?.hasProcesses === true) ?? session.turns[2];
    if (target) {
      const rewound = await client.request('rewind', {
        sessionId,
        turn: target.id,
        resume: false,
        conflicts: 'take-theirs',
      });
      withProcesses ||= rewound.restoredProcesses;
      rewinds.push(rewound.tookMs);
      const branch = await client.request('branch', {
        sessionId,
        turn: target.id,
        prompt: alternativePrompt,
      });
      branches.push(branch.tookMs);
      await client.request('session/remove', { sessionId: branch.sessionId });
    }
    await client.request('session/remove', { sessionId });
  }
  approvals.stop();
  const rows = [...byTurn.entries()].sort(([a], [b]) => a - b);
  const held = rows.flatMap(([, row]) => row.heldMs);
  const inspect = rows.flatMap(([, row]) => row.inspectMs);
  return {
    runs,
    turns: rows.map(([turn, row]) => ({
      turn,
      label: row.label,
      class: row.class,
      bytes: median(row.bytes),
      heldMs: rounded(median(row.heldMs)),
      inspectMs: rounded(median(row.inspectMs)),
      closeMs: rounded(median(row.closeMs)),
    })),
    heldMs: { p50: rounded(median(held)), p95: rounded(percentile(held, 95)) },
    inspectMs: { p50: rounded(median(inspect)), p95: rounded(percentile(inspect, 95)) },
    nothing: rounded(rows.filter(([, row]) => row.class === 'none').length / rows.length),
    rewindMs: rounded(median(rewinds)),
    branchMs: rounded(median(branches)),
    withProcesses,
  };
}
