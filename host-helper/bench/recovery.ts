/**
 * Whether what comes back is what was there: every task is run once with nobody disturbing it and an oracle looking at each boundary;
 * then under each checkpoint policy, and turns of that run are restored and compared. Besides, sandboxes are killed at random and
 * brought back. The same runs tell the traffic. Alone: `node host-helper/bench/recovery.ts [--quick] [--json] [--family X] [--task Y]`.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SessionState, Turn } from '../protocol/state.ts';
import type { CheckpointPolicy } from '../session/checkpoint-policy.ts';
import { measureAlone } from './alone.ts';
import { killAndRestore, type KillRun, type KillStyle } from './kill-run.ts';
import { PolicyHelpers, startUnder } from './policy-helpers.ts';
import { seeded } from './random.ts';
import { someAtOnce } from './some-at-once.ts';
import { measureSessionLength, type SessionLength } from './session-length.ts';
import { differences, observe, type SandboxState } from './state-oracle.ts';
import { callsAtEnd, TaskRun } from './task-run.ts';
import { measureAddedTime, type AddedTime } from './added-time.ts';
import { summariseTraffic, type PolicyRun, type Traffic } from './traffic.ts';
import type { Family, WorkloadTask } from './workloads/task.ts';
import { makeWorkspace, workloads } from './workloads/workloads.ts';

/** The names of the report, and the policies they stand for. */
const policies = {
  ours: 'effects',
  filesOnly: 'files',
  conversationOnly: 'conversation',
  fullEveryTurn: 'every-turn',
} as const satisfies Record<string, CheckpointPolicy>;
type PolicyName = keyof typeof policies;
const policyNames = [
  'ours',
  'filesOnly',
  'conversationOnly',
  'fullEveryTurn',
] as const satisfies readonly PolicyName[];

const thinkMs = 120;
const tasksAtOnce = 2;
const families = ['shell-intensive', 'code-repair'] as const satisfies readonly Family[];

export interface RecoveryOptions {
  /** A directory for everything that is made; below it nothing is left running. */
  readonly directory: string;
  readonly quick: boolean;
  /** Nothing more is begun once it is aborted. */
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  /** Throws when there is none of that name. */
  readonly family?: string;
  /** Only tasks whose name contains this. */
  readonly task?: string;
  readonly seed?: string;
}

export interface PolicyRecovery {
  /** Of the turns that were restored: how many were in the fault-free state. */
  readonly restored: number;
  readonly equal: number;
  /** Of the runs that were killed: how many were brought back and came to their end. */
  readonly killed: number;
  readonly finished: number;
  /** Of the turns that came back; a turn without a checkpoint took no time. */
  readonly restoreMs: readonly number[];
}

export interface Recovery {
  /** Shares of restored turns equal to the fault-free state; undefined when none was restored. */
  readonly recovery: Readonly<Record<PolicyName, number | undefined>>;
  readonly finished: Readonly<Record<PolicyName, number | undefined>>;
  readonly counts: Readonly<Record<PolicyName, PolicyRecovery>>;
  readonly kills: readonly KillRun[];
  readonly traffic: Traffic;
  readonly time: AddedTime;
  readonly sessionLength: SessionLength;
  /** What was measured, of what there is. */
  readonly sampled: string;
  /** Restored turns and killed runs of ours that were not as they should be. */
  readonly failures: readonly string[];
}

interface Plan {
  readonly tasksPerFamily: number;
  /** Restored turns of a task. */
  readonly turns: Readonly<Record<PolicyName, number>>;
  /** Tasks of a family in which the sandbox is killed, and how. */
  readonly kills: Readonly<
    Record<PolicyName, { readonly tasks: number; readonly styles: readonly KillStyle[] }>
  >;
}

const full: Plan = {
  tasksPerFamily: 6,
  turns: { ours: 12, filesOnly: 3, conversationOnly: 3, fullEveryTurn: 3 },
  kills: {
    ours: { tasks: 6, styles: ['sandbox', 'spot'] },
    filesOnly: { tasks: 2, styles: ['elsewhere'] },
    conversationOnly: { tasks: 2, styles: ['elsewhere'] },
    fullEveryTurn: { tasks: 1, styles: ['elsewhere'] },
  },
};
const noKills = { tasks: 0, styles: [] } as const;
const quick: Plan = {
  tasksPerFamily: 1,
  turns: { ours: 4, filesOnly: 1, conversationOnly: 1, fullEveryTurn: 1 },
  kills: { ours: noKills, filesOnly: noKills, conversationOnly: noKills, fullEveryTurn: noKills },
};

export async function measureRecovery(options: RecoveryOptions): Promise<Recovery> {
  const { signal, say, seed = 'turntable' } = options;
  const plan = options.quick ? quick : full;
  const directory = join(options.directory, 'recovery');
  await mkdir(directory, { recursive: true });
  const chosen = chosenTasks(options, plan);
  if (chosen.length === 0)
    throw new Error(
      `No task of ${options.family ?? 'any family'} has “${options.task ?? ''}” in its name. Families: ${families.join(', ')}.`,
    );
  const found = new Findings();
  await using helpers = new PolicyHelpers(directory);
  const measure = async (at: number, task: WorkloadTask): Promise<void> => {
    const place = families
      .slice(0, families.indexOf(task.family))
      .reduce((sum, family) => sum + chosen.filter((each) => each.family === family).length, 0);
    const inFamily = at - place;
    signal.throwIfAborted();
    say(`${task.name} (${at + 1} of ${chosen.length}) …`);
    const workspace = await makeWorkspace(task, join(directory, 'work'));
    const faultFree = await recordFaultFree(helpers, task, workspace);
    for (const name of policyNames) {
      signal.throwIfAborted();
      await restoreTurns({ helpers, name, task, workspace, faultFree, turns: plan.turns[name], seed, found });
      const { tasks, styles } = plan.kills[name];
      if (inFamily >= tasks) continue;
      for (const style of styles) {
        signal.throwIfAborted();
        const run = await killOnce({ helpers, name, task, workspace, faultFree, style, seed, directory });
        found.killed(name, run);
      }
    }
  };
  // None of it is timed but the restores.
  await someAtOnce(tasksAtOnce, chosen, measure);
  say('added time, in pairs …');
  const time = await measureAddedTime({
    ...{ helpers, directory, tasks: chosen, quick: options.quick },
    signal,
  });
  signal.throwIfAborted();
  say('growth with the length of a session …');
  const sessionLength = await measureSessionLength({ helpers, directory, quick: options.quick });
  const counts = found.counts();
  const total = families.reduce((sum, family) => sum + workloads[family].length, 0);
  return {
    recovery: byPolicy((name) => share(counts[name].equal, counts[name].restored)),
    finished: byPolicy((name) => share(counts[name].finished, counts[name].killed)),
    counts,
    kills: found.kills,
    traffic: summariseTraffic(found.runs),
    time,
    sessionLength,
    sampled: `${chosen.length} of ${total} tasks; of each at most ${policyNames.map((name) => `${plan.turns[name]} turns restored (${name})`).join(', ')}`,
    failures: found.failures,
  };
}

function chosenTasks(options: RecoveryOptions, plan: Plan): WorkloadTask[] {
  return families
    .filter((family) => options.family === undefined || family === options.family)
    .flatMap((family) => {
      const { task } = options;
      const all = workloads[family].filter((each) => task === undefined || each.name.includes(task));
      if (all.length <= plan.tasksPerFamily) return all;
      // Spread over the list: neighbours are alike.
      return Array.from(
        { length: plan.tasksPerFamily },
        (_, at) => all[Math.floor((at * all.length) / plan.tasksPerFamily)],
      ).filter((each) => each !== undefined);
    });
}

/** The states at all boundaries, by how many tool calls had been taken. Nothing is checkpointed, so nothing can disturb it. */
export async function recordFaultFree(
  helpers: PolicyHelpers,
  task: WorkloadTask,
  workspace: string,
): Promise<ReadonlyMap<number, SandboxState>> {
  const { helper, watched } = await helpers.under('off');
  const states = new Map<number, SandboxState>();
  await using run = await TaskRun.start(helper, {
    task,
    workspace,
    thinkMs: () => 0,
    onRequest: async (callsTaken, sessionId) => {
      const { stateDirectory } = helper;
      states.set(callsTaken, await observe({ stateDirectory, sessionId, workspace, probes: task.probes }));
    },
  });
  await run.finished(watched);
  const { done, words } = await run.checked();
  if (!done) throw new Error(`The task ${task.name} does not come to its end even undisturbed: ${words}`);
  return states;
}

interface RestoreTurns {
  readonly helpers: PolicyHelpers;
  readonly name: PolicyName;
  readonly task: WorkloadTask;
  readonly workspace: string;
  readonly faultFree: ReadonlyMap<number, SandboxState>;
  readonly turns: number;
  readonly seed: string;
  readonly found: Findings;
}

/** One run under the policy; then turns of it are restored beside it, and looked at. */
async function restoreTurns(request: RestoreTurns): Promise<void> {
  const { helpers, name, task, workspace, faultFree, found } = request;
  const { helper, watched } = await helpers.under(policies[name]);
  await using run = await TaskRun.start(helper, { task, workspace, thinkMs: () => thinkMs });
  const session = await run.finished(watched);
  found.ran({ policy: name, family: task.family, task: task.name, turns: session.turns });
  for (const turn of sampled(session, request.turns, `${request.seed}/${task.name}`)) {
    const expected = faultFree.get(callsAtEnd(session, turn) ?? -1);
    if (!expected) continue;
    if (turn.checkpoint?.restorable !== true) {
      found.restored(name, task, turn, [turn.checkpoint?.reason ?? 'no checkpoint'], undefined);
      continue;
    }
    const branch = await helper.client.request('branch', {
      sessionId: session.id,
      turn: turn.id,
      resume: false,
    });
    try {
      const target = { stateDirectory: helper.stateDirectory, sessionId: branch.sessionId, workspace };
      const state = await observe({ ...target, probes: task.probes });
      found.restored(name, task, turn, differences(expected, state), branch.tookMs);
    } finally {
      await helper.client.request('session/remove', { sessionId: branch.sessionId });
    }
  }
}

/** So many of the agent's turns, drawn by the seed. */
function sampled(session: SessionState, count: number, seed: string): Turn[] {
  const turns = session.turns.filter((turn) => turn.kind === 'agent');
  const random = seeded(seed);
  const left = [...turns];
  const drawn: Turn[] = [];
  while (drawn.length < count && left.length > 0) drawn.push(...left.splice(random.below(left.length), 1));
  return drawn.sort((a, b) => a.id - b.id);
}

async function killOnce(request: {
  readonly helpers: PolicyHelpers;
  readonly name: PolicyName;
  readonly task: WorkloadTask;
  readonly workspace: string;
  readonly faultFree: ReadonlyMap<number, SandboxState>;
  readonly style: KillStyle;
  readonly seed: string;
  readonly directory: string;
}): Promise<KillRun> {
  const { helpers, name, task, workspace, faultFree, style, seed } = request;
  if (style !== 'spot') {
    const host = await helpers.under(policies[name]);
    return (await killAndRestore({ host, task, workspace, faultFree, style, seed })).run;
  }
  // Its helper dies too, so it has one of its own.
  const own = await startUnder(policies[name], join(request.directory, `spot-${task.name}`));
  const { run, host } = await killAndRestore({ host: own, task, workspace, faultFree, style, seed });
  await host.helper.down();
  return run;
}

/** What has been found so far, by policy. */
class Findings {
  readonly runs: PolicyRun[] = [];
  readonly kills: KillRun[] = [];
  readonly failures: string[] = [];
  readonly #counts = byPolicy(() => ({
    restored: 0,
    equal: 0,
    killed: 0,
    finished: 0,
    restoreMs: [] as number[],
  }));

  ran(run: PolicyRun): void {
    this.runs.push(run);
  }

  restored(
    name: PolicyName,
    task: WorkloadTask,
    turn: Turn,
    differ: readonly string[],
    tookMs: number | undefined,
  ): void {
    const counts = this.#counts[name];
    counts.restored += 1;
    if (tookMs !== undefined) counts.restoreMs.push(Math.round(tookMs));
    if (differ.length === 0) counts.equal += 1;
    else if (name === 'ours')
      this.failures.push(`${task.name}, turn ${turn.id} (${turn.label}): ${differ.slice(0, 4).join('; ')}`);
  }

  killed(name: PolicyName, run: KillRun): void {
    const counts = this.#counts[name];
    counts.killed += 1;
    if (run.finished) counts.finished += 1;
    if (name !== 'ours') return;
    this.kills.push(run);
    if (!run.finished || !run.equal)
      this.failures.push(`${run.task}, ${run.style} killed in step ${run.step}: ${run.notes.join('; ')}`);
  }

  counts(): Readonly<Record<PolicyName, PolicyRecovery>> {
    return this.#counts;
  }
}

function byPolicy<Value>(make: (name: PolicyName) => Value): Record<PolicyName, Value> {
  return {
    ours: make('ours'),
    filesOnly: make('filesOnly'),
    conversationOnly: make('conversationOnly'),
    fullEveryTurn: make('fullEveryTurn'),
  };
}

function share(part: number, whole: number): number | undefined {
  return whole === 0 ? undefined : part / whole;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      family: { type: 'string' },
      task: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  const { family, task, seed } = values;
  await measureAlone('recovery', values.json, (directory, say, signal) =>
    measureRecovery({
      ...{ directory, quick: values.quick, signal, say },
      ...(family === undefined ? {} : { family }),
      ...(task === undefined ? {} : { task }),
      ...(seed === undefined ? {} : { seed }),
    }),
  );
}
