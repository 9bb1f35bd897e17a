/** The policy alone, on a clock of its own: what begins when, for any arrivals. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteBudget } from '../../../host-helper/engine/byte-budget.ts';
import {
  Schedule,
  type JobKind,
  type ScheduleLimits,
  type Waiting,
} from '../../../host-helper/engine/schedule.ts';
import { generator } from './generator.ts';

interface Item extends Waiting {
  readonly name: number;
  readonly tookMs: number;
  readonly bytes: number;
}

const limits: ScheduleLimits = {
  maxConcurrent: 2,
  maxDumps: 1,
  maxBackground: 1,
  patienceMs: { urgent: 1_000, ordinary: 5_000, background: 60_000 },
  bytesPerMs: 1_000,
};
const unlimited = { bytesPerSecond: Infinity, burstBytes: Infinity, borrowBytes: Infinity };

/** A machine on which jobs take the time they say. */
class Machine {
  readonly schedule: Schedule<Item>;
  readonly begun: { readonly item: Item; readonly atMs: number }[] = [];
  readonly running: { readonly item: Item; readonly endMs: number }[] = [];
  nowMs = 0;
  #next = 0;

  constructor(change: Partial<ScheduleLimits> = {}, budget = new ByteBudget(unlimited)) {
    this.schedule = new Schedule({ ...limits, ...change }, budget);
  }

  add(sandboxId: string, change: Partial<Item> = {}): Item {
    const item: Item = {
      sandboxId,
      kind: 'files',
      urgent: false,
      sinceMs: this.nowMs,
      estimateBytes: 0,
      tookMs: 10,
      bytes: 0,
      ...change,
      name: this.#next++,
    };
    this.schedule.add(item);
    return item;
  }

  /** Begins what may begin now. */
  fill(): void {
    for (let item = this.schedule.next(this.nowMs); item; item = this.schedule.next(this.nowMs)) {
      this.begun.push({ item, atMs: this.nowMs });
      this.running.push({ item, endMs: this.nowMs + item.tookMs });
    }
  }

  /** Goes on until `untilMs`, or until nothing is left. */
  run(untilMs = Infinity): void {
    for (;;) {
      this.fill();
      const end = Math.min(...this.running.map(({ endMs }) => endMs));
      const wake = this.nowMs + (this.schedule.waitMs(this.nowMs) ?? Infinity);
      const at = Math.min(end, wake);
      if (at > untilMs || at === Infinity) break;
      this.nowMs = at;
      for (const each of this.running.filter(({ endMs }) => endMs <= at)) {
        this.running.splice(this.running.indexOf(each), 1);
        this.schedule.ended(each.item, at, each.item.tookMs, each.item.bytes);
      }
    }
    if (untilMs !== Infinity) this.nowMs = untilMs;
  }

  get order(): string[] {
    return this.begun.map(({ item }) => item.sandboxId);
  }
}

describe('the schedule', () => {
  it('gives a sandbox whose jobs cost more its turn less often', () => {
    const machine = new Machine({
      maxConcurrent: 1,
      patienceMs: { urgent: 1e9, ordinary: 1e9, background: 1e9 },
    });
    for (let n = 0; n < 10; n++) machine.add('big', { bytes: 90_000 });
    for (let n = 0; n < 40; n++) machine.add('small');
    machine.run(400);
    const served = (sandbox: string): number => machine.order.filter((each) => each === sandbox).length;
    // A big one costs 10 ms and 90 ms worth of bytes: as much as ten small ones.
    assert.ok(served('small') >= 9 * (served('big') - 1), machine.order.join(' '));
    assert.ok(served('big') >= 3, 'it is not shut out either');
  });

  it('gives nobody a claim for having been away', () => {
    const machine = new Machine({ maxConcurrent: 1 });
    for (let n = 0; n < 50; n++) machine.add('always', { tookMs: 10 });
    machine.run(300);
    for (let n = 0; n < 20; n++) machine.add('late', { tookMs: 10 });
    const before = machine.order.length;
    machine.run(400);
    const after = machine.order.slice(before);
    assert.ok(after.filter((each) => each === 'always').length >= 4, after.join(' '));
  });

  it('lets background work begin only while no checkpoint waits, until it is overdue', () => {
    const machine = new Machine({
      maxConcurrent: 1,
      patienceMs: { urgent: 1e9, ordinary: 1e9, background: 500 },
    });
    machine.add('a', { kind: 'background' });
    for (let n = 0; n < 100; n++) machine.add(`s${n % 3}`);
    machine.run();
    const at = machine.begun.find(({ item }) => item.kind === 'background')?.atMs;
    assert.equal(at, 500);
  });

  it("keeps a sandbox's background work out of the way of its checkpoint", () => {
    const machine = new Machine({ maxConcurrent: 1 });
    machine.add('a', { kind: 'background', tookMs: 10_000 });
    machine.fill();
    machine.add('a');
    machine.fill();
    assert.deepEqual(
      machine.begun.map(({ item }) => item.kind),
      ['background', 'files'],
    );
  });

  it('holds ordinary jobs back while bytes are in debt, and lets urgent ones borrow', () => {
    const budget = new ByteBudget({ bytesPerSecond: 1_000, burstBytes: 1_000, borrowBytes: 5_000 });
    const machine = new Machine({}, budget);
    machine.add('a', { estimateBytes: 3_000, bytes: 3_000 });
    machine.add('b');
    machine.add('c', { urgent: true });
    machine.run(1_000);
    assert.deepEqual(machine.order.sort(), ['a', 'c']);
    machine.run(3_000);
    assert.equal(machine.begun.at(-1)?.item.sandboxId, 'b');
    assert.ok((machine.begun.at(-1)?.atMs ?? 0) >= 2_000, 'when the debt was paid');
  });

  it('keeps its limits, its order and its promise to everybody, whatever arrives', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = generator(seed);
      const rate = 10_000 + random(100_000);
      const [burst, borrow, largest] = [rate, 2 * rate, 50_000];
      const budget = new ByteBudget({ bytesPerSecond: rate, burstBytes: burst, borrowBytes: borrow });
      const machine = new Machine({ maxConcurrent: 1 + random(3) }, budget);
      const all: Item[] = [];
      const removed = new Set<Item>();
      for (let step = 0; step < 300; step++) {
        const kind: JobKind = (['files', 'files', 'processes', 'background'] as const)[random(4)] ?? 'files';
        const bytes = kind === 'processes' ? random(largest) : random(500);
        all.push(
          machine.add(`s${random(6)}`, {
            kind,
            urgent: kind !== 'background' && random(5) === 0,
            tookMs: 1 + random(kind === 'files' ? 20 : 200),
            bytes,
            estimateBytes: random(2) * bytes,
          }),
        );
        if (random(10) === 0) {
          const item = all[random(all.length)];
          if (item && machine.schedule.remove(item)) removed.add(item);
        }
        machine.run(machine.nowMs + random(120));
        const kinds = machine.running.map(({ item }) => item.kind);
        assert.ok(kinds.filter((each) => each !== 'background').length <= 3);
        assert.ok(kinds.filter((each) => each === 'processes').length <= 1);
        assert.ok(kinds.filter((each) => each === 'background').length <= 1);
        const lanes = machine.running.map(
          ({ item }) => `${item.sandboxId} ${String(item.kind === 'background')}`,
        );
        assert.equal(new Set(lanes).size, lanes.length, 'one of a lane at a time');
      }
      machine.run();
      const begun = new Set(machine.begun.map(({ item }) => item));
      assert.equal(begun.size, machine.begun.length, `seed ${seed}: each begins once`);
      assert.equal(begun.size + removed.size, all.length, `seed ${seed}: everybody's turn comes`);
      bytesKept(machine, rate, burst + borrow + 4 * largest, seed);
    }
  });

  it('starves nobody: a lone job waits no longer than its patience and what was overdue before it', () => {
    for (const kind of ['files', 'processes'] as const) {
      const machine = new Machine({ maxConcurrent: 1 });
      // The lone one has used far more than its share before.
      machine.add('lone', { tookMs: 60_000 });
      machine.run();
      const sinceMs = machine.nowMs;
      const lone = machine.add('lone', { kind });
      for (let n = 0; n < 2_000; n++) {
        machine.add(`s${n % 10}`, { urgent: n % 2 === 0, tookMs: 10 });
        machine.run(machine.nowMs + 5);
      }
      const at = machine.begun.find(({ item }) => item === lone)?.atMs;
      assert.ok(at !== undefined && at - sinceMs <= 5_000 + 2_500, `${kind}: waited ${String(at)}`);
    }
  });

  it('shares evenly: of sandboxes that always have work none gets more ahead than two jobs cost', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = generator(seed);
      const never = { urgent: Infinity, ordinary: Infinity, background: Infinity };
      const machine = new Machine({ maxConcurrent: 2, patienceMs: never });
      const costs = new Map<string, number>();
      let largest = 0;
      const sandboxes = ['a', 'b', 'c', 'd'];
      for (const sandbox of sandboxes) {
        for (let n = 0; n < 200; n++) {
          const item = machine.add(sandbox, { tookMs: 1 + random(50), bytes: random(50_000) });
          largest = Math.max(largest, item.tookMs + item.bytes / limits.bytesPerMs);
        }
      }
      machine.run(2_000 + random(1_000));
      for (const { item } of machine.begun.filter(
        ({ item }) => !machine.running.some((each) => each.item === item),
      )) {
        const cost = item.tookMs + item.bytes / limits.bytesPerMs;
        costs.set(item.sandboxId, (costs.get(item.sandboxId) ?? 0) + cost);
      }
      const spread = Math.max(...costs.values()) - Math.min(...sandboxes.map((each) => costs.get(each) ?? 0));
      assert.ok(spread <= 2 * largest, `seed ${seed}: ${spread} ms apart, the largest job costs ${largest}`);
    }
  });

  it('serves whoever a reply waits for before anybody who is not overdue', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = generator(seed);
      const machine = new Machine({ maxConcurrent: 1 });
      for (let n = 0; n < 30; n++) machine.add(`s${n}`, { urgent: random(3) === 0, tookMs: 1 + random(30) });
      machine.run(900);
      const ranks = machine.begun.map(({ item }) => item.urgent);
      assert.ok(
        ranks.lastIndexOf(true) < Math.max(0, ranks.indexOf(false)) || !ranks.includes(false),
        `seed ${seed}`,
      );
    }
  });
});

/** Over any stretch of time no more was begun than the rate gives, what was saved up or borrowed, and what surprised. */
function bytesKept(machine: Machine, bytesPerSecond: number, slackBytes: number, seed: number): void {
  for (let first = 0; first < machine.begun.length; first += 7) {
    let bytes = 0;
    for (const { item, atMs } of machine.begun.slice(first)) {
      bytes += item.bytes;
      const spanMs = atMs - (machine.begun[first]?.atMs ?? 0);
      assert.ok(
        bytes <= slackBytes + (spanMs * bytesPerSecond) / 1000,
        `seed ${seed}: ${bytes} bytes in ${spanMs} ms`,
      );
    }
  }
}
