/**
 * Which job begins next. Pure policy: it is told what arrives, begins and ends, and at what time; it runs nothing.
 *
 * - One job of a lane at a time, first in first out. A lane is a sandbox; its background work has a lane of its own, so that
 *   a checkpoint never stands behind it.
 * - Overdue first, the longest overdue of all before the others: whatever else arrives, every job's turn comes. Then lanes
 *   for which a reply waits, then ordinary ones, then background.
 * - Among equals the lane that has used the least. What was used is time and bytes, known when a job ends (fair queueing by
 *   virtual time: a lane that was idle starts at the clock, so nobody saves up a claim by being away).
 * - Background work begins only while no checkpoint waits, unless it is overdue.
 * - Whoever may begin must also find the byte budget out of debt. Urgent and overdue jobs may borrow.
 */

import type { ByteBudget } from './byte-budget.ts';

/** `processes` needs a slot for dumps as well; `background` has slots of its own and yields to everything else. */
export type JobKind = 'files' | 'processes' | 'background';

export interface Waiting {
  readonly sandboxId: string;
  readonly kind: JobKind;
  /** A reply is waiting for it. */
  readonly urgent: boolean;
  readonly sinceMs: number;
  readonly estimateBytes: number;
}

export interface ScheduleLimits {
  readonly maxConcurrent: number;
  readonly maxDumps: number;
  readonly maxBackground: number;
  /** How long a job waits before it is overdue, by what it is. */
  readonly patienceMs: { readonly urgent: number; readonly ordinary: number; readonly background: number };
  /** How many bytes count like one millisecond of work. */
  readonly bytesPerMs: number;
}

interface Lane<Item> {
  readonly items: Item[];
  busy: boolean;
  /** Cost used, on the scale of the clock. */
  used: number;
}

type Rank = 'overdue' | 'urgent' | 'ordinary' | 'background';
const ranks: readonly Rank[] = ['overdue', 'urgent', 'ordinary', 'background'];

interface Candidate<Item> {
  readonly item: Item;
  readonly lane: Lane<Item>;
  readonly rank: Rank;
  readonly dueMs: number;
}

export class Schedule<Item extends Waiting> {
  readonly #limits: ScheduleLimits;
  readonly #budget: ByteBudget;
  readonly #lanes = new Map<string, Lane<Item>>();
  /** What the lane that was served last had used when it began: where a lane that comes back starts. */
  #clock = 0;
  #running = 0;
  #dumps = 0;
  #background = 0;
  #queued = 0;
  #queuedBackground = 0;

  constructor(limits: ScheduleLimits, budget: ByteBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  /** Jobs that wait. */
  get queued(): number {
    return this.#queued;
  }

  /** Jobs that have begun, background included. */
  get running(): number {
    return this.#running + this.#background;
  }

  queuedOf(sandboxId: string): number {
    const lanes = [this.#lanes.get(sandboxId), this.#lanes.get(backgroundOf(sandboxId))];
    return lanes.reduce((sum, lane) => sum + (lane?.items.length ?? 0), 0);
  }

  /** Everything that waits, in no particular order. */
  get waiting(): Item[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.items);
  }

  add(item: Item): void {
    const key = laneOf(item);
    const lane = this.#lanes.get(key) ?? { items: [], busy: false, used: 0 };
    if (lane.items.length === 0 && !lane.busy) lane.used = Math.max(lane.used, this.#clock);
    lane.items.push(item);
    this.#lanes.set(key, lane);
    this.#countQueued(item, 1);
  }

  /** False when it does not wait (any more). */
  remove(item: Item): boolean {
    const lane = this.#lanes.get(laneOf(item));
    const index = lane?.items.indexOf(item) ?? -1;
    if (!lane || index < 0) return false;
    lane.items.splice(index, 1);
    this.#countQueued(item, -1);
    this.#forgetIdle();
    return true;
  }

  /** The job to begin now, which counts as running from here on; undefined when none may. */
  next(nowMs: number): Item | undefined {
    const best = this.#candidates(nowMs)
      .filter(({ rank }) => this.#budget.allows(nowMs, mayBorrow(rank)))
      .reduce<Candidate<Item> | undefined>(
        (first, each) => (first === undefined || before(each, first) ? each : first),
        undefined,
      );
    if (!best) return undefined;
    const { item, lane } = best;
    lane.items.splice(lane.items.indexOf(item), 1);
    lane.busy = true;
    this.#countQueued(item, -1);
    this.#clock = Math.max(this.#clock, lane.used);
    this.#count(item, 1);
    this.#budget.take(nowMs, item.estimateBytes);
    return item;
  }

  /** After a `next` without a job: when to ask again although nothing ends, in milliseconds; undefined when that would be no use. */
  waitMs(nowMs: number): number | undefined {
    const waits = this.#candidates(nowMs).map(({ rank, dueMs }) => {
      const own = this.#budget.waitMs(nowMs, mayBorrow(rank));
      if (mayBorrow(rank)) return own;
      // Once it is overdue it may borrow.
      return Math.min(own, Math.max(dueMs - nowMs, this.#budget.waitMs(nowMs, true)));
    });
    return waits.length === 0 ? undefined : Math.max(1, Math.min(...waits));
  }

  /** A job from `next` is over, having run `tookMs` and written `bytes`. */
  ended(item: Item, nowMs: number, tookMs: number, bytes: number): void {
    this.#count(item, -1);
    this.#budget.take(nowMs, bytes - item.estimateBytes);
    const lane = this.#lanes.get(laneOf(item));
    if (!lane) return;
    lane.busy = false;
    lane.used += tookMs + bytes / this.#limits.bytesPerMs;
    this.#forgetIdle();
  }

  /** Heads of lanes that a free slot would let begin. */
  #candidates(nowMs: number): Candidate<Item>[] {
    const found: Candidate<Item>[] = [];
    const checkpointWaits = this.#queued > this.#queuedBackground;
    for (const lane of this.#lanes.values()) {
      const [item] = lane.items;
      if (!item || lane.busy || !this.#hasSlot(item.kind)) continue;
      // An urgent job waits for those before it in its lane: they are as urgent.
      const urgent = lane.items.some((each) => each.urgent);
      const own = urgent ? 'urgent' : item.kind === 'background' ? 'background' : 'ordinary';
      const dueMs = item.sinceMs + this.#limits.patienceMs[own];
      const rank = nowMs >= dueMs ? 'overdue' : own;
      if (rank !== 'background' || !checkpointWaits) found.push({ item, lane, dueMs, rank });
    }
    return found;
  }

  #hasSlot(kind: JobKind): boolean {
    const { maxConcurrent, maxDumps, maxBackground } = this.#limits;
    if (kind === 'background') return this.#background < maxBackground;
    return this.#running < maxConcurrent && (kind === 'files' || this.#dumps < maxDumps);
  }

  #countQueued(item: Item, by: 1 | -1): void {
    this.#queued += by;
    if (item.kind === 'background') this.#queuedBackground += by;
  }

  #count(item: Item, by: 1 | -1): void {
    if (item.kind === 'background') this.#background += by;
    else this.#running += by;
    if (item.kind === 'processes') this.#dumps += by;
  }

  /** A lane at rest is remembered only while it has used more than its share. */
  #forgetIdle(): void {
    const atRest = this.#queued === 0 && this.running === 0;
    for (const [key, lane] of this.#lanes) {
      if (lane.busy || lane.items.length > 0) continue;
      if (atRest) this.#clock = Math.max(this.#clock, lane.used);
      if (atRest || lane.used <= this.#clock) this.#lanes.delete(key);
    }
  }
}

function laneOf({ sandboxId, kind }: Waiting): string {
  return kind === 'background' ? backgroundOf(sandboxId) : sandboxId;
}

function backgroundOf(sandboxId: string): string {
  return `background of ${sandboxId}`;
}

function mayBorrow(rank: Rank): boolean {
  return rank === 'overdue' || rank === 'urgent';
}

function before<Item>(left: Candidate<Item>, right: Candidate<Item>): boolean {
  const order = ranks.indexOf(left.rank) - ranks.indexOf(right.rank);
  if (order !== 0) return order < 0;
  return left.rank === 'overdue' ? left.dueMs < right.dueMs : left.lane.used < right.lane.used;
}
