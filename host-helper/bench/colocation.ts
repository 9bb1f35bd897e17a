/**
 * Many sandboxes at work together on one machine, each with its own agent and a model that takes as long as real ones: what
 * checkpoints add to their time with the engine and without it, and whether anybody is left behind. The same work is replayed
 * three times: without checkpoints, with the engine, with the engine switched off; before, a while that only warms the caches.
 *
 *   node host-helper/bench/colocation.ts [--sandboxes N] [--real N] [--scale S] [--seconds T] [--quick] [--json]
 */

import { parseArgs } from 'node:util';
import type { Turn } from '../protocol/state.ts';
import { checkpointVariable } from '../session/checkpoint-policy.ts';
import { measureAlone } from './alone.ts';
import { compareTurns } from './colocation/compared-turns.ts';
import { runPhase, type PhaseSeen } from './colocation/phase.ts';
import { median, percentile, rounded } from './statistics.ts';

export interface ColocationOptions {
  /** An empty directory for state; what is made in it is removed. */
  readonly directory: string;
  readonly sandboxes: number;
  /** How many of them run a real agent (pi); the others a small stand-in inside the sandbox. Default one in eight. */
  readonly realAgents?: number;
  /** Model waits (log-normal: median 10 s, 90 % within 46 s) are multiplied by this. Tool calls are not: below 1 the machine has more to do than it would. */
  readonly timeScale: number;
  /** How long the sandboxes work in each of the three phases. Default: eight mean waits, three where there are few sandboxes. */
  readonly windowMs?: number;
  /** Nothing more is begun once it is aborted. */
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Times in milliseconds, shares and ratios as fractions. */
export interface ColocationPhase {
  /** Turns that were compared with the same ones without checkpoints, and turns that were closed. */
  readonly turnsCompared: number;
  /** Of the compared ones: still open at the end of a window, and compared by their age then. */
  readonly turnsUnfinished: number;
  readonly turnsClosed: number;
  /** Time of the compared turns beyond that without checkpoints, as a share of it. Noise of the machine included: may be negative. */
  readonly addedRatio: number;
  /** The same, against what the turns would take if the model's waits were not scaled. */
  readonly addedRatioUnscaled: number;
  /** Time that replies were really held back, as a share of the time of all turns. Never negative, no noise of other work. */
  readonly heldRatio: number;
  readonly holdBackP50Ms: number;
  readonly holdBackP95Ms: number;
  readonly holdBackMaxMs: number;
  /** Of each sandbox its share of time held back; the 95th percentile of those. */
  readonly holdBackP95Ratio: number;
  /** Sandboxes none of whose turns can be restored, or that were held back over ten times the median and over a second. */
  readonly starved: number;
  readonly restorableShare: number;
  readonly something: number;
  readonly dumps: number;
  readonly queueWaitP95Ms: number;
  readonly queueWaitMaxMs: number;
  readonly loopDelayP95Ms: number;
  readonly loopDelayMaxMs: number;
  readonly processorBusy: number;
}

export interface Colocation {
  readonly sandboxes: number;
  readonly realAgents: number;
  readonly timeScale: number;
  readonly windowMs: number;
  readonly addedRatio: number;
  readonly addedRatioUnscaled: number;
  readonly holdBackP95Ms: number;
  readonly holdBackP95Ratio: number;
  readonly starved: number;
  readonly withEngine: ColocationPhase;
  readonly withoutEngine: ColocationPhase;
  readonly withoutCheckpoints: { readonly meanTurnMs: number; readonly processorBusy: number };
}

const meanWaitMs = 18_000;
/** Of the window and of the sandboxes: what comes first finds cold caches, and must not be what the others are measured by. */
const warmUpShare = 0.25;

export async function measureColocation(options: ColocationOptions): Promise<Colocation> {
  const { directory, sandboxes, timeScale, say } = options;
  const realAgents = options.realAgents ?? Math.floor(sandboxes / 8);
  const windowMs = options.windowMs ?? (sandboxes > 8 ? 8 : 3) * meanWaitMs * timeScale;
  const phase = async (
    name: string,
    env: Readonly<Record<string, string>>,
    share = 1,
  ): Promise<PhaseSeen> => {
    const [many, real] = [Math.ceil(share * sandboxes), Math.ceil(share * realAgents)];
    options.signal.throwIfAborted();
    say(`${many} sandboxes (${real} with pi) for ${((share * windowMs) / 1000).toFixed(1)} s, ${name} …`);
    return runPhase({
      directory,
      name: name.replaceAll(' ', '-'),
      env,
      sandboxes: many,
      realAgents: real,
      timeScale,
      windowMs: share * windowMs,
    });
  };
  await phase('to warm up', { TURNTABLE_ENGINE: 'on' }, warmUpShare);
  const without = await phase('without checkpoints', { [checkpointVariable]: 'off' });
  const on = judge(await phase('with the engine', { TURNTABLE_ENGINE: 'on' }), without, timeScale);
  const off = judge(await phase('without the engine', { TURNTABLE_ENGINE: 'off' }), without, timeScale);
  const baseTurns = without.sandboxes.flatMap(({ turnMs }) => turnMs);
  return {
    sandboxes,
    realAgents,
    timeScale,
    windowMs,
    addedRatio: on.addedRatio,
    addedRatioUnscaled: on.addedRatioUnscaled,
    holdBackP95Ms: on.holdBackP95Ms,
    holdBackP95Ratio: on.holdBackP95Ratio,
    starved: on.starved,
    withEngine: on,
    withoutEngine: off,
    withoutCheckpoints: {
      meanTurnMs: rounded(sum(baseTurns) / baseTurns.length),
      processorBusy: rounded(without.processorBusy),
    },
  };
}

function judge(seen: PhaseSeen, without: PhaseSeen, timeScale: number): ColocationPhase {
  const compared = seen.sandboxes.flatMap((each, index) =>
    compareTurns(each, without.sandboxes[index], timeScale),
  );
  const addedMs = sum(compared.map((each) => each.addedMs));
  const turns = seen.sandboxes.flatMap((each) => each.turns);
  const held = turns.map(heldMs);
  const heldOf = seen.sandboxes.map((each) => sum(each.turns.map(heldMs)));
  const timeOf = seen.sandboxes.map(({ turnMs }) => sum(turnMs));
  const usual = median(heldOf);
  return {
    turnsCompared: compared.length,
    turnsUnfinished: compared.filter((each) => each.unfinished).length,
    turnsClosed: turns.length,
    addedRatio: rounded(addedMs / sum(compared.map((each) => each.baseMs))),
    addedRatioUnscaled: rounded(addedMs / sum(compared.map((each) => each.unscaledMs))),
    heldRatio: rounded(sum(held) / sum(timeOf)),
    holdBackP50Ms: rounded(median(held)),
    holdBackP95Ms: rounded(percentile(held, 95)),
    holdBackMaxMs: rounded(Math.max(0, ...held)),
    holdBackP95Ratio: rounded(
      percentile(
        heldOf.map((ms, index) => ms / Math.max(1, timeOf[index] ?? 1)),
        95,
      ),
    ),
    starved: seen.sandboxes.filter((each, index) => {
      const ms = heldOf[index] ?? 0;
      const lost = each.turns.length > 0 && !each.turns.some(restorable);
      return lost || (ms > 10 * usual && ms > 1_000);
    }).length,
    restorableShare: rounded(turns.filter(restorable).length / Math.max(1, turns.length)),
    something: rounded(
      turns.filter((turn) => turn.effectClass !== 'none').length / Math.max(1, turns.length),
    ),
    dumps: turns.filter((turn) => (turn.checkpoint?.processesMs ?? 0) > 0).length,
    queueWaitP95Ms: rounded(seen.engine.waitMs.p95),
    queueWaitMaxMs: rounded(seen.engine.waitMs.max),
    loopDelayP95Ms: rounded(seen.engine.loopDelayMs.p95),
    loopDelayMaxMs: rounded(seen.engine.loopDelayMs.max),
    processorBusy: rounded(seen.processorBusy),
  };
}

function heldMs(turn: Turn): number {
  return turn.checkpoint?.heldMs ?? 0;
}

function restorable(turn: Turn): boolean {
  return turn.checkpoint?.restorable === true;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      sandboxes: { type: 'string' },
      real: { type: 'string' },
      scale: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  await measureAlone('colocation', values.json, (directory, say, signal) =>
    measureColocation({
      directory,
      sandboxes: Number(values.sandboxes ?? (values.quick ? 8 : 32)),
      ...(values.real === undefined ? {} : { realAgents: Number(values.real) }),
      timeScale: Number(values.scale ?? (values.quick ? 0.1 : 1)),
      ...(values.seconds === undefined ? {} : { windowMs: 1000 * Number(values.seconds) }),
      ...{ signal, say },
    }),
  );
}
