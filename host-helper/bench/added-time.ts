/**
 * What checkpoints add to the time of a task: the same task with checkpoints off and on, with a model that takes as long as real
 * ones do. Some tasks run beside each other, for most of the time they wait; half of them begin with checkpoints. In a quick look
 * the waits are scaled down: that leaves our work as it is and shortens what it hides behind, so the ratio errs against us, and what
 * real waits would have hidden is told beside it.
 */

import { join } from 'node:path';
import type { Turn } from '../protocol/state.ts';
import type { PolicyHelpers } from './policy-helpers.ts';
import { someAtOnce } from './some-at-once.ts';
import { median, percentile } from './statistics.ts';
import { TaskRun } from './task-run.ts';
import { thinkTimes } from './think-times.ts';
import type { WorkloadTask } from './workloads/task.ts';
import { makeWorkspace } from './workloads/workloads.ts';

export interface AddedTime {
  readonly thinkScale: number;
  readonly pairs: number;
  /** Median of (on − off) / off over the pairs. */
  readonly addedRatio: number;
  /** Median of (on − off), in ms. */
  readonly addedMs: number;
  /** Hold-back of a turn's reply, in ms, and as a share of its task's time. */
  readonly holdBackP50: number;
  readonly holdBackP95: number;
  readonly holdBackP95OfTask: number;
  /** With the waits that were drawn, unscaled: checkpoints took as long as they did, and only what exceeds the wait is exposed. */
  readonly unscaled: {
    readonly addedRatio: number;
    readonly holdBackP95: number;
    readonly holdBackP95OfTask: number;
  };
  readonly byTask: readonly { readonly task: string; readonly offMs: number; readonly onMs: number }[];
}

export async function measureAddedTime(options: {
  readonly helpers: PolicyHelpers;
  readonly directory: string;
  readonly tasks: readonly WorkloadTask[];
  readonly quick: boolean;
  readonly signal: AbortSignal;
}): Promise<AddedTime> {
  const thinkScale = options.quick ? 0.02 : 1;
  // Spread over both families. Shortened waits leave no room for others' work.
  const tasks = options.quick ? options.tasks : options.tasks.filter((_, at) => at % 3 === 0);
  const atOnce = options.quick ? 1 : tasks.length;
  const byTask: { task: string; offMs: number; onMs: number }[] = [];
  const held: number[] = [];
  const heldOfTask: number[] = [];
  const unscaled = { ratio: [] as number[], held: [] as number[], heldOfTask: [] as number[] };
  const time = async (at: number, task: WorkloadTask): Promise<void> => {
    const workspace = await makeWorkspace(task, join(options.directory, `timed-${at}`));
    const times = { off: 0, on: 0 };
    // Which of the two goes first alternates: the second finds warmer caches.
    for (const side of at % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
      options.signal.throwIfAborted();
      const timed = await timedRun(
        options.helpers,
        side === 'on' ? 'effects' : 'off',
        task,
        workspace,
        thinkScale,
      );
      times[side] = timed.tookMs;
      if (side === 'off') continue;
      const mine = timed.turns.flatMap((turn) => turn.checkpoint?.heldMs ?? []);
      held.push(...mine);
      heldOfTask.push(...mine.map((each) => each / timed.tookMs));
      const exposed = exposedAtRealWaits(task, timed.turns);
      const waitsMs = sum(timed.turns.map((_, number) => thinkTimes(task.name, 1)(number)));
      const realMs = timed.tookMs - thinkScale * waitsMs - sum(mine) + waitsMs;
      unscaled.ratio.push(sum(exposed) / realMs);
      unscaled.held.push(...exposed);
      unscaled.heldOfTask.push(...exposed.map((each) => each / realMs));
    }
    byTask.push({ task: task.name, offMs: Math.round(times.off), onMs: Math.round(times.on) });
  };
  await someAtOnce(atOnce, tasks, time);
  return {
    thinkScale,
    pairs: byTask.length,
    addedRatio: median(byTask.map((each) => (each.onMs - each.offMs) / each.offMs)),
    addedMs: median(byTask.map((each) => each.onMs - each.offMs)),
    holdBackP50: median(held),
    holdBackP95: percentile(held, 95),
    holdBackP95OfTask: percentile(heldOfTask, 95),
    unscaled: {
      addedRatio: median(unscaled.ratio),
      holdBackP95: percentile(unscaled.held, 95),
      holdBackP95OfTask: percentile(unscaled.heldOfTask, 95),
    },
    byTask,
  };
}

/** From the first request to the end of the agent. */
async function timedRun(
  helpers: PolicyHelpers,
  policy: 'off' | 'effects',
  task: WorkloadTask,
  workspace: string,
  scale: number,
): Promise<{ tookMs: number; turns: Turn[] }> {
  const { helper, watched } = await helpers.under(policy);
  const first = Promise.withResolvers<number>();
  await using run = await TaskRun.start(helper, {
    task,
    workspace,
    thinkMs: thinkTimes(task.name, scale),
    onRequest: () => {
      first.resolve(performance.now());
      return Promise.resolve();
    },
  });
  const startedMs = await first.promise;
  await watched.until(`the agent of ${task.name} to end`, 900_000, (state) => {
    const status = state.sessions[run.sessionId]?.agent.status;
    return status === 'finished' || status === 'failed' ? true : undefined;
  });
  const tookMs = performance.now() - startedMs;
  const session = await run.finished(watched);
  return { tookMs, turns: session.turns.filter((turn) => turn.kind === 'agent') };
}

/** How much longer than the model's unscaled wait each checkpoint took. The reply after turn n is the one that knows n calls. */
function exposedAtRealWaits(task: WorkloadTask, turns: readonly Turn[]): number[] {
  const wait = thinkTimes(task.name, 1);
  return turns.map(({ checkpoint }, at) => {
    return Math.max(0, (checkpoint?.closeMs ?? 0) - wait(at + 1));
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}
