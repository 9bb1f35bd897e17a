/** What checkpoints wrote and kept, and which turns needed one: sums over runs of the same tasks under several policies. Pure. */

import type { EffectClass, Turn } from '../protocol/state.ts';
import type { Family } from './workloads/task.ts';

export interface PolicyRun {
  readonly policy: string;
  readonly family: Family;
  readonly task: string;
  readonly turns: readonly Turn[];
}

export interface PolicyTraffic {
  readonly turns: number;
  /** Process images as the dumps wrote them, and contents of changed files. */
  readonly writtenBytes: number;
  /** The same without what the store had already. */
  readonly storedBytes: number;
}

export type ClassMix = Readonly<Record<EffectClass, number>>;

export interface Traffic {
  /** 1 − written(ours) / written(full every turn), over the same tasks. */
  readonly savedVsFull: number;
  /** The same of what stays stored: both deduplicate, so this is the smaller claim. */
  readonly savedStoredVsFull: number;
  /** 1 − stored(ours) / written(full every turn): against what keeps each image as it is, for want of a store by content. */
  readonly savedVsPlainImages: number;
  readonly byPolicy: Readonly<Record<string, PolicyTraffic>>;
  /** Share of the agent's turns that needed no checkpoint, under ours. */
  readonly skipRate: number;
  readonly skipRateByFamily: Readonly<Record<string, number>>;
  /** Turns of each class, under ours. */
  readonly classMix: Readonly<Record<string, ClassMix>>;
}

export function summariseTraffic(runs: readonly PolicyRun[]): Traffic {
  const byPolicy = Object.fromEntries(
    [...new Set(runs.map((run) => run.policy))].map((policy) => [
      policy,
      trafficOf(runs.filter((run) => run.policy === policy)),
    ]),
  );
  const { ours, fullEveryTurn } = byPolicy;
  const mine = runs.filter((run) => run.policy === 'ours');
  const families = [...new Set(mine.map((run) => run.family))];
  const turnsOf = (family: Family): Turn[] =>
    mine.filter((run) => run.family === family).flatMap((run) => agentTurns(run));
  return {
    savedVsFull: saved(ours?.writtenBytes, fullEveryTurn?.writtenBytes),
    savedStoredVsFull: saved(ours?.storedBytes, fullEveryTurn?.storedBytes),
    savedVsPlainImages: saved(ours?.storedBytes, fullEveryTurn?.writtenBytes),
    byPolicy,
    skipRate: skipRate(mine.flatMap((run) => agentTurns(run))),
    skipRateByFamily: Object.fromEntries(families.map((family) => [family, skipRate(turnsOf(family))])),
    classMix: Object.fromEntries(families.map((family) => [family, classMix(turnsOf(family))])),
  };
}

function agentTurns(run: PolicyRun): Turn[] {
  return run.turns.filter((turn) => turn.kind === 'agent');
}

function trafficOf(runs: readonly PolicyRun[]): PolicyTraffic {
  const turns = runs.flatMap((run) => agentTurns(run));
  const sum = (of: (turn: Turn) => number | undefined): number =>
    turns.reduce((total, turn) => total + (of(turn) ?? 0), 0);
  return {
    turns: turns.length,
    writtenBytes: sum((turn) => turn.checkpoint?.bytesWritten ?? turn.checkpoint?.bytesStored),
    storedBytes: sum((turn) => turn.checkpoint?.bytesStored),
  };
}

function saved(part: number | undefined, whole: number | undefined): number {
  return part === undefined || whole === undefined || whole === 0 ? Number.NaN : 1 - part / whole;
}

function skipRate(turns: readonly Turn[]): number {
  return turns.length === 0
    ? Number.NaN
    : turns.filter((turn) => turn.effectClass === 'none').length / turns.length;
}

function classMix(turns: readonly Turn[]): ClassMix {
  const count = (effectClass: EffectClass): number =>
    turns.filter((turn) => turn.effectClass === effectClass).length;
  return { none: count('none'), files: count('files'), processes: count('processes'), full: count('full') };
}
