/** One phase: a helper of its own, all sandboxes at work for the same time, and what was seen of each of their turns. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectHelper } from '../../cli/connect.ts';
import { removeRunDirectory } from '../../demo/run-directory.ts';
import { createSampleRepository } from '../../demo/sample-repository.ts';
import { startScriptedModel, type ScriptedModel } from '../../demo/scripted-model.ts';
import { exitCodeOf } from '../../demo/exit-code.ts';
import type { Client } from '../../protocol/client.ts';
import type { ResultOf } from '../../protocol/methods.ts';
import type { Turn } from '../../protocol/state.ts';
import { workOf } from './work.ts';

export interface PhaseOptions {
  readonly directory: string;
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly sandboxes: number;
  readonly realAgents: number;
  readonly timeScale: number;
  readonly windowMs: number;
}

export interface SandboxSeen {
  /** From one request to the next, by how many calls the first knew of; the model's wait is in it. */
  readonly turnMs: readonly number[];
  /** How old the turn after those was when the window ended. */
  readonly openMs: number;
  readonly waitMs: readonly number[];
  /** Turns of the agent that are closed, without the one before its first request. */
  readonly turns: readonly Turn[];
}

export interface PhaseSeen {
  readonly sandboxes: readonly SandboxSeen[];
  readonly engine: ResultOf<'engine/stats'>;
  /** Share of all processors' time that was used. */
  readonly processorBusy: number;
}

const startTimeoutMs = 90_000;
const startsAtOnce = 4;

export async function runPhase(options: PhaseOptions): Promise<PhaseSeen> {
  const directory = join(options.directory, options.name);
  const template = join(directory, 'template');
  await mkdir(template, { recursive: true });
  await createSampleRepository(template);
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, 'replay-helper.ts'),
      join(directory, 'state'),
    ],
    // In a group of its own: Ctrl-C in the terminal is for the benchmark, which takes it down in order.
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...options.env }, detached: true },
  );
  const ended = exitCodeOf(child);
  try {
    await Promise.race([
      once(child.stdout, 'data'),
      ended.then((code) => Promise.reject(new Error(`The helper did not start (${code}).`))),
    ]);
    const client = await connectHelper(join(directory, 'state', 'helper.sock'));
    try {
      return await replay(options, directory, template, client);
    } finally {
      client.close();
    }
  } finally {
    child.kill('SIGTERM');
    await ended;
    await removeRunDirectory(directory);
  }
}

/** One sandbox's model: notes when each request came, and lets nobody past the first before all are there. */
interface Model {
  readonly server: ScriptedModel;
  readonly requestsMs: number[];
  readonly here: Promise<void>;
}

async function replay(
  options: PhaseOptions,
  directory: string,
  template: string,
  client: Client,
): Promise<PhaseSeen> {
  const go = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<never>();
  client.onClose(() => gone.reject(new Error(`The helper went: see ${directory}/state/helper.log.`)));
  // When it goes at the end nobody waits for that.
  gone.promise.catch(() => {});
  const models: Model[] = [];
  const sessions: string[] = [];
  const works = Array.from({ length: options.sandboxes }, (_, index) => workOf(index, options.timeScale));
  try {
    for (let first = 0; first < works.length; first += startsAtOnce) {
      const batch = works.slice(first, first + startsAtOnce);
      await Promise.all(
        batch.map(async (work, offset) => {
          const index = first + offset;
          const workspace = join(directory, `project-${index}`);
          await cp(template, workspace, { recursive: true });
          const model = await startModel(work, go.promise);
          models[index] = model;
          const agent = index < options.realAgents ? 'pi' : 'replay';
          const request = { workspace, agent, prompt: 'Work.', upstream: model.server.url };
          sessions[index] = (await client.request('session/start', request)).sessionId;
        }),
      );
    }
    const all = Promise.all(models.map(({ here }) => here));
    await Promise.race([all, failing(startTimeoutMs), gone.promise]);
    // What starting cost is over; what the phases are compared by begins here.
    await client.request('engine/stats', {});
    const before = await processorTimes();
    const startMs = performance.now();
    go.resolve();
    await Promise.race([sleep(options.windowMs, undefined, { ref: false }), gone.promise]);
    const endMs = performance.now();
    const after = await processorTimes();
    const engine = await client.request('engine/stats', {});
    const { state } = await client.request('subscribe', {});
    return {
      engine,
      processorBusy: (after.busy - before.busy) / (after.all - before.all),
      sandboxes: models.map((model, index) => ({
        ...turnTimes(model.requestsMs, startMs, endMs),
        waitMs: model.requestsMs.map((_, calls) => works[index]?.waitMs(calls) ?? 0),
        turns: (state.sessions[sessions[index] ?? '']?.turns ?? []).filter(
          (turn) => turn.kind === 'agent' && turn.state === 'closed',
        ),
      })),
    };
  } finally {
    go.resolve();
    await Promise.all(
      sessions.map((sessionId) => client.request('session/remove', { sessionId }).catch(() => {})),
    );
    await Promise.all(models.map(({ server }) => server.close()));
  }
}

async function startModel(work: ReturnType<typeof workOf>, go: Promise<void>): Promise<Model> {
  const requestsMs: number[] = [];
  const here = Promise.withResolvers<void>();
  const server = await startScriptedModel({
    scripts: [work.script],
    thinkMs: work.waitMs,
    onRequest: async (calls) => {
      here.resolve();
      // A retry is the same request.
      requestsMs[calls] ??= performance.now();
      await go;
    },
  });
  return { server, requestsMs, here: here.promise };
}

/** The first request stood at the gate: it counts from the start of the window. */
function turnTimes(
  requestsMs: readonly number[],
  startMs: number,
  endMs: number,
): Pick<SandboxSeen, 'turnMs' | 'openMs'> {
  const at = [startMs, ...requestsMs.slice(1).filter((each) => each <= endMs)];
  return {
    turnMs: at.slice(1).map((each, index) => each - (at[index] ?? each)),
    openMs: endMs - (at.at(-1) ?? endMs),
  };
}

async function processorTimes(): Promise<{ busy: number; all: number }> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busy = user + nice + system + irq + soft + steal;
  return { busy, all: busy + idle + wait };
}

async function failing(afterMs: number): Promise<never> {
  await sleep(afterMs, undefined, { ref: false });
  throw new Error(`Not all agents had asked their model after ${afterMs / 1000} s: see helper.log.`);
}
