/**
 * A task whose sandbox is killed at a random instant and brought back from its last checkpoint: the states at all later boundaries
 * must be those of the run that nobody killed, and the task must come to its end.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { HelperProcess } from '../demo/helper-process.ts';
import type { WatchedState } from '../demo/sample-session.ts';
import { startUnder, type WatchedHelper } from './policy-helpers.ts';
import { seeded } from './random.ts';
import { differences, killSandbox, observe, type SandboxState } from './state-oracle.ts';
import { TaskRun } from './task-run.ts';
import { promptOf, type WorkloadTask } from './workloads/task.ts';

/** Generous: a machine may be busy, and giving up early would look like a failed recovery. */
const settledMs = 120_000;
/** Of the turn that is hit: its thinking and its tool call take about so long. */
const instantWithinMs = 600;
const thinkMs = 250;

/**
 * `sandbox`: every process of it is killed, the helper lives. `spot`: the helper is killed too, as when a machine is taken away, and
 * another one takes over. `elsewhere`: the sandbox is killed with its disk; a branch of the last checkpoint goes on instead.
 */
export type KillStyle = 'sandbox' | 'spot' | 'elsewhere';

export interface KillRun {
  readonly task: string;
  readonly style: KillStyle;
  /** The step that was under way, counted from 1. */
  readonly step: number;
  /** Whether every state after the restore was the fault-free one. */
  readonly equal: boolean;
  readonly boundaries: number;
  readonly finished: boolean;
  readonly restoreMs: number;
  /** What was not as it should be, for a person; bounded. */
  readonly notes: readonly string[];
}

export interface KillRequest {
  readonly host: WatchedHelper;
  readonly task: WorkloadTask;
  readonly workspace: string;
  readonly faultFree: ReadonlyMap<number, SandboxState>;
  readonly style: KillStyle;
  readonly seed: string;
}

/** With `spot` the given helper is killed; the returned one has taken its place. */
export async function killAndRestore(request: KillRequest): Promise<{ run: KillRun; host: WatchedHelper }> {
  const { task, workspace, style, faultFree } = request;
  let { host } = request;
  const random = seeded(`${request.seed}/${task.name}/${style}`);
  const step = 1 + random.below(task.steps.length);
  const instantMs = random.next() * instantWithinMs;
  const notes: string[] = [];
  const compared = new Set<number>();
  let back: string | undefined;
  const due = Promise.withResolvers<void>();
  const compare = async (callsTaken: number, sessionId: string): Promise<void> => {
    const { stateDirectory } = host.helper;
    const state = await observe({ stateDirectory, sessionId, workspace, probes: task.probes });
    const expected = faultFree.get(callsTaken);
    const differs = expected ? differences(expected, state) : [`no state is known after ${callsTaken} calls`];
    notes.push(...differs.slice(0, 4).map((each) => `after call ${callsTaken}: ${each}`));
    compared.add(callsTaken);
  };
  await using run = await TaskRun.start(host.helper, {
    task,
    workspace,
    thinkMs: () => thinkMs,
    onRequest: async (callsTaken) => {
      if (back === undefined) {
        if (callsTaken === step - 1) setTimeout(() => due.resolve(), instantMs);
        return;
      }
      const resumed = back;
      // Whatever goes wrong here must be told: to the agent it would look like a broken model.
      try {
        // A probe knocks at servers: not while they stand still for their checkpoint.
        await untilOpen(host.watched, resumed);
        await compare(callsTaken, resumed);
      } catch (error) {
        notes.push(`after call ${callsTaken}: not compared: ${String(error)}`);
      }
    },
  });
  await Promise.race([due.promise, sleep(settledMs)]);
  const startedMs = performance.now();
  let sessionId = run.sessionId;
  await killSandbox({ stateDirectory: host.helper.stateDirectory, sessionId });
  try {
    if (style === 'spot') {
      host = await replaced(host.helper);
      run.movedTo(host.helper);
    } else await untilDown(host.watched, sessionId);
    // Requests of the killed agent may still be about; from here on they are the restored one's.
    back = sessionId;
    if (style === 'elsewhere') {
      const branch = await host.helper.client.request('branch', {
        sessionId,
        ...lastCheckpoint(host.watched, sessionId, task),
        resume: true,
      });
      back = sessionId = branch.sessionId;
      notes.push(...branch.notes);
    } else await host.helper.client.request('session/resume', { sessionId });
    const restoreMs = performance.now() - startedMs;
    const ended = await run.finished(host.watched, sessionId);
    if (ended.agent.status !== 'finished')
      notes.push(`the agent ${ended.agent.status}: ${ended.agent.detail ?? ''}`);
    const checked = await run.checked(sessionId);
    if (!checked.done) notes.push(`the check failed: ${checked.words.slice(0, 300)}`);
    // Hit in its last step it may have nothing more to ask: then its end is what there is to compare.
    const last = Math.max(...faultFree.keys());
    if (!compared.has(last)) await compare(last, sessionId);
    const equal = notes.every((note) => !note.startsWith('after call'));
    return {
      host,
      run: {
        task: task.name,
        style,
        step,
        equal,
        boundaries: compared.size,
        finished: checked.done,
        restoreMs: Math.round(restoreMs),
        notes: notes.slice(0, 12),
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    notes.push(`did not come to its end: ${reason}`);
    const run = { task: task.name, style, step, equal: false, boundaries: compared.size, finished: false };
    return { host, run: { ...run, restoreMs: 0, notes: notes.slice(0, 12) } };
  } finally {
    if (sessionId !== run.sessionId)
      await host.helper.client.request('session/remove', { sessionId }).catch(() => {});
  }
}

/** Kills the helper and starts another one on its state directory. */
async function replaced(helper: HelperProcess): Promise<WatchedHelper> {
  const gone = Promise.withResolvers<void>();
  helper.client.onClose(() => gone.resolve());
  process.kill(helper.client.hello.helperPid, 'SIGKILL');
  await gone.promise;
  return startUnder('effects', helper.stateDirectory);
}

/** The turn before is checkpointed, and the next one has begun. */
async function untilOpen(watched: WatchedState, sessionId: string): Promise<void> {
  await watched.until(`the next turn of ${sessionId}`, settledMs, (state) => {
    const session = state.sessions[sessionId];
    return session?.status === 'running' && session.turns.at(-1)?.state === 'open' ? true : undefined;
  });
}

async function untilDown(watched: WatchedState, sessionId: string): Promise<void> {
  await watched.until(`session ${sessionId} to notice that its sandbox is gone`, settledMs, (state) =>
    state.sessions[sessionId]?.status === 'failed' ? true : undefined,
  );
}

/** The last turn that was checkpointed while its sandbox lived; from the very first one the agent has to be told what to do. */
function lastCheckpoint(
  watched: WatchedState,
  sessionId: string,
  task: WorkloadTask,
): { turn: number; prompt?: string } {
  const turns = watched.subscription.state.sessions[sessionId]?.turns ?? [];
  const whole = turns.findLast(
    (turn) =>
      turn.checkpoint?.restorable === true &&
      turn.effects?.uncertain.every((each) => !each.startsWith('the sandbox ended')) !== false,
  );
  return whole === undefined || whole.kind === 'start'
    ? { turn: 0, prompt: promptOf(task) }
    : { turn: whole.id };
}
