import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createEngine,
  type Clock,
  type Engine,
  type EngineOptions,
  type Job,
} from '../../../host-helper/engine/engine.ts';
import { MergeKey } from '../../../host-helper/engine/queued-job.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import { generator } from './generator.ts';

/** Jobs that run until they are told to end, and a record of who started when. */
class Bench {
  readonly engine: Engine;
  readonly started: string[] = [];
  readonly #ends = new Map<string, () => void>();

  constructor(options: Partial<EngineOptions> = {}) {
    this.engine = createEngine({ ...options, logger: silentLogger });
  }

  /** `name` is "sandbox/rest"; a rest that begins with p is a process dump, one that ends with ! is urgent. */
  submit(name: string): Job<string> {
    const [sandboxId = '', rest = ''] = name.split('/');
    return this.engine.submit({
      sandboxId,
      kind: rest.startsWith('p') ? 'processes' : 'files',
      urgent: rest.endsWith('!'),
      run: () => {
        this.started.push(name);
        return new Promise((resolve) => this.#ends.set(name, () => resolve(name)));
      },
    });
  }

  async end(name: string): Promise<void> {
    const end = this.#ends.get(name);
    assert.ok(end, `${name} has not started`);
    this.#ends.delete(name);
    end();
    await new Promise((resolve) => setImmediate(resolve));
  }

  get active(): string[] {
    return [...this.#ends.keys()];
  }
}

describe('the engine', () => {
  it('gives what the job gave, and its failure', async () => {
    const engine = createEngine({ logger: silentLogger });
    const job = (run: () => Promise<number>): Promise<number> =>
      engine.submit({ sandboxId: 'a', kind: 'files', urgent: false, run }).done;
    assert.equal(await job(() => Promise.resolve(7)), 7);
    await assert.rejects(
      job(() => Promise.reject(new Error('disk'))),
      /disk/,
    );
    await assert.rejects(
      job(() => {
        throw new Error('at once');
      }),
      /at once/,
    );
    assert.equal(await job(() => Promise.resolve(8)), 8);
  });

  it('runs no more at once than it may, and one of a sandbox at a time', async () => {
    const bench = new Bench({ maxConcurrent: 2 });
    for (const name of ['a/1', 'a/2', 'b/1', 'c/1']) bench.submit(name);
    assert.deepEqual(bench.active, ['a/1', 'b/1']);
    await bench.end('b/1');
    assert.deepEqual(bench.active, ['a/1', 'c/1']);
    await bench.end('a/1');
    assert.deepEqual(bench.active, ['c/1', 'a/2']);
  });

  it('goes round between sandboxes, so that a busy one starves none', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    for (const name of ['a/1', 'a/2', 'a/3', 'b/1', 'c/1', 'b/2']) bench.submit(name);
    for (let n = 0; n < 6; n++) await bench.end(bench.active[0] ?? '');
    assert.deepEqual(
      bench.started,
      ['a/1', 'a/2', 'b/1', 'c/1', 'a/3', 'b/2'].sort(
        (l, r) => bench.started.indexOf(l) - bench.started.indexOf(r),
      ),
    );
    assert.ok(bench.started.indexOf('c/1') < bench.started.indexOf('a/3'));
  });

  it('serves first the sandbox for which a reply waits', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    for (const name of ['x/1', 'a/1', 'b/1', 'c/1!']) bench.submit(name);
    await bench.end('x/1');
    assert.deepEqual(bench.active, ['c/1!']);
  });

  it('lets a job become urgent while it waits', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    bench.submit('x/1');
    bench.submit('a/1');
    bench.submit('b/1').makeUrgent();
    await bench.end('x/1');
    assert.deepEqual(bench.active, ['b/1']);
  });

  it('brings forward what an urgent job has to wait for in its own sandbox, in order', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    for (const name of ['x/1', 'a/1', 'b/1', 'b/2!']) bench.submit(name);
    await bench.end('x/1');
    await bench.end('b/1');
    await bench.end('b/2!');
    assert.deepEqual(bench.started, ['x/1', 'b/1', 'b/2!', 'a/1']);
  });

  it('makes one process dump at a time, and lets files pass meanwhile', async () => {
    const bench = new Bench({ maxConcurrent: 3, maxDumps: 1 });
    for (const name of ['a/p1', 'b/p1', 'c/f1', 'b/f2']) bench.submit(name);
    assert.deepEqual(bench.active, ['a/p1', 'c/f1']);
    await bench.end('a/p1');
    assert.deepEqual(bench.active, ['c/f1', 'b/p1']);
  });

  it('cancels what has not started, and only aborts the signal of what has', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    let aborted = false;
    const running = bench.engine.submit({
      sandboxId: 'x',
      kind: 'files',
      urgent: false,
      run: (signal) =>
        new Promise<string>((resolve) =>
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve('ended by itself');
          }),
        ),
    });
    const waiting = bench.submit('a/1');
    assert.equal(waiting.cancel(), true);
    assert.equal(waiting.cancel(), false);
    await assert.rejects(waiting.done, { code: 'cancelled' });
    assert.equal(running.cancel(), false);
    assert.equal(await running.done, 'ended by itself');
    assert.equal(aborted, true);
    assert.deepEqual(bench.started, []);
  });

  it('refuses more than it may hold', async () => {
    const bench = new Bench({ maxConcurrent: 1, maxQueued: 1 });
    bench.submit('a/1');
    bench.submit('a/2');
    await assert.rejects(bench.submit('a/3').done, { code: 'overloaded' });
  });

  it('drains when nothing runs and nothing waits', async () => {
    const bench = new Bench();
    await bench.engine.drain();
    bench.submit('a/1');
    bench.submit('a/2');
    let drained = false;
    const drain = bench.engine.drain().then(() => (drained = true));
    await bench.end('a/1');
    assert.equal(drained, false);
    await bench.end('a/2');
    await drain;
    assert.equal(bench.engine.running + bench.engine.queued, 0);
  });

  it('closes by ending what runs, rejecting what waits and taking nothing new', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    const running = bench.submit('a/1');
    const waiting = bench.submit('b/1');
    const closed = bench.engine.close();
    await assert.rejects(waiting.done, { code: 'cancelled' });
    await assert.rejects(bench.submit('c/1').done, { code: 'cancelled' });
    await bench.end('a/1');
    await closed;
    assert.equal(await running.done, 'a/1');
    assert.deepEqual(bench.started, ['a/1']);
  });

  it('keeps its promises for any order of arrivals, ends, urgency and cancelling', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = generator(seed);
      const bench = new Bench({ maxConcurrent: 1 + (seed % 3), maxDumps: 1 });
      const jobs = new Map<string, Job<string>>();
      const cancelled = new Set<string>();
      for (let step = 0; step < 120; step++) {
        const choice = random(10);
        if (choice < 5) {
          const name = `s${random(4)}/${random(2) === 0 ? 'p' : 'f'}${step}${random(4) === 0 ? '!' : ''}`;
          jobs.set(name, bench.submit(name));
        } else if (choice < 8 && bench.active.length > 0) {
          await bench.end(bench.active[random(bench.active.length)] ?? '');
        } else {
          const [name, job] = [...jobs][random(jobs.size || 1)] ?? [];
          if (name && job && choice === 8) job.makeUrgent();
          else if (name && job?.cancel()) cancelled.add(name);
        }
        const sandboxes = bench.active.map((name) => name.split('/')[0]);
        assert.ok(bench.active.length <= 1 + (seed % 3));
        assert.equal(new Set(sandboxes).size, sandboxes.length, 'one of a sandbox at a time');
        assert.ok(bench.active.filter((name) => name.includes('/p')).length <= 1, 'one dump at a time');
      }
      while (bench.active.length > 0) await bench.end(bench.active[0] ?? '');
      await bench.engine.drain();
      const wanted = [...jobs.keys()].filter((name) => !cancelled.has(name));
      assert.deepEqual(
        [...bench.started].sort(),
        wanted.sort(),
        'everything runs once, nothing cancelled does',
      );
      for (const sandbox of ['s0', 's1', 's2', 's3']) {
        const order = bench.started
          .filter((name) => name.startsWith(sandbox))
          .map((name) => Number(/\d+(?=!?$)/.exec(name)?.[0]));
        assert.deepEqual(
          order,
          [...order].sort((left, right) => left - right),
          'first in, first out within a sandbox',
        );
      }
    }
  });

  it('refuses one sandbox that asks for too much, and takes the others', async () => {
    const bench = new Bench({ maxConcurrent: 1, maxQueuedPerSandbox: 2 });
    for (const name of ['a/1', 'a/2', 'a/3']) bench.submit(name);
    await assert.rejects(bench.submit('a/4').done, { code: 'overloaded', message: /this session/ });
    void bench.submit('b/1');
    assert.equal(bench.engine.queued, 3);
    assert.equal(bench.engine.stats().refused, 1);
  });

  it('takes what a reply waits for although the queue is full', async () => {
    const bench = new Bench({ maxConcurrent: 1, maxQueued: 1 });
    for (const name of ['a/1', 'b/1', 'c/1!']) bench.submit(name);
    assert.equal(bench.engine.pressure, 'full');
    await assert.rejects(bench.submit('d/1!').done, { code: 'overloaded' });
    await bench.end('a/1');
    assert.deepEqual(bench.active, ['c/1!']);
  });

  it('puts background work off while the queue is long, and says when it is short', async () => {
    const bench = new Bench({ maxConcurrent: 1, maxQueued: 4 });
    for (const name of ['a/1', 'b/1', 'c/1']) bench.submit(name);
    assert.equal(bench.engine.pressure, 'long');
    const pack = (): Promise<string> =>
      bench.engine.submit({
        sandboxId: 'a',
        kind: 'background',
        urgent: false,
        run: () => Promise.resolve('packed'),
      }).done;
    await assert.rejects(pack(), { code: 'overloaded' });
    let short = false;
    const wait = bench.engine.whenShort().then(() => (short = true));
    await bench.end('a/1');
    await wait;
    assert.equal(short, true);
    await bench.end('b/1');
    await bench.end('c/1');
    assert.equal(await pack(), 'packed');
    await assert.rejects(crowded().engine.whenShort(AbortSignal.abort()), { code: 'cancelled' });
  });

  it('runs merged jobs once, in the place of the first, and settles all with one result', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    bench.submit('x/1');
    const key = new MergeKey<string>();
    const runs: string[] = [];
    const submit = (name: string, urgent = false): Job<string> =>
      bench.engine.submit({
        sandboxId: 'a',
        kind: 'files',
        urgent,
        merge: key,
        run: () => {
          runs.push(name);
          return Promise.resolve(name);
        },
      });
    const first = submit('first');
    bench.submit('b/1');
    const second = submit('second', true);
    assert.equal(bench.engine.queued, 2);
    await bench.end('x/1');
    assert.deepEqual([await first.done, await second.done, runs], ['first', 'first', ['first']]);
    assert.equal(bench.engine.stats().merged, 1);
    await bench.end('b/1');
    // What has begun takes nothing in any more.
    assert.equal(await submit('third').done.then(() => runs.length), 2);
  });

  it('aborts a running job when the last who waits for it has given up', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    bench.submit('x/1');
    const key = new MergeKey<boolean>();
    const ended = Promise.withResolvers<void>();
    const submit = (): Job<boolean> =>
      bench.engine.submit({
        sandboxId: 'a',
        kind: 'files',
        urgent: false,
        merge: key,
        run: async (signal) => {
          await ended.promise;
          return signal.aborted;
        },
      });
    const [first, second] = [submit(), submit()];
    await bench.end('x/1');
    assert.equal(first.cancel(), false);
    await assert.rejects(first.done, { code: 'cancelled' });
    assert.equal(second.cancel(), false);
    ended.resolve();
    assert.equal(await second.done, true);
  });

  it('merges only within one sandbox, and cancels only for whoever gives up', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    bench.submit('x/1');
    const key = new MergeKey<string>();
    const submit = (sandboxId: string): Job<string> =>
      bench.engine.submit({
        sandboxId,
        kind: 'files',
        urgent: false,
        merge: key,
        run: () => Promise.resolve(sandboxId),
      });
    const [first, second, other] = [submit('a'), submit('a'), submit('b')];
    assert.equal(first.cancel(), true);
    await assert.rejects(first.done, { code: 'cancelled' });
    await bench.end('x/1');
    assert.deepEqual([await second.done, await other.done], ['a', 'b']);
    assert.equal(second.cancel(), false);
  });

  it('forgets a merged job once everybody has given it up', async () => {
    const bench = new Bench({ maxConcurrent: 1 });
    bench.submit('x/1');
    const key = new MergeKey<number>();
    let runs = 0;
    const submit = (): Job<number> =>
      bench.engine.submit({
        sandboxId: 'a',
        kind: 'files',
        urgent: false,
        merge: key,
        run: () => Promise.resolve(++runs),
      });
    const jobs = [submit(), submit()];
    for (const job of jobs) assert.equal(job.cancel(), true);
    for (const job of jobs) await assert.rejects(job.done, { code: 'cancelled' });
    const later = submit();
    await bench.end('x/1');
    assert.equal(await later.done, 1);
  });

  it('begins again by itself once the bytes that held it back are paid', async () => {
    const clock = new FakeClock();
    const bench = new Bench({ bytesPerSecond: 1_000, clock });
    const write = bench.engine.submit({
      sandboxId: 'a',
      kind: 'files',
      urgent: false,
      run: (_signal, wrote) => {
        wrote(2_000);
        return Promise.resolve('written');
      },
    });
    assert.equal(await write.done, 'written');
    await new Promise((resolve) => setImmediate(resolve));
    bench.submit('b/1');
    bench.submit('c/1!');
    assert.deepEqual(bench.active, ['c/1!'], 'a reply waits: it borrows');
    clock.advance(900);
    assert.deepEqual(bench.active, ['c/1!']);
    clock.advance(200);
    assert.deepEqual(bench.active, ['c/1!', 'b/1']);
  });

  it('switched off, starts everything at once, one of a sandbox at a time', async () => {
    const bench = new Bench({ mode: 'off', maxConcurrent: 1, bytesPerSecond: 1 });
    for (const name of ['a/p1', 'b/p1', 'c/f1', 'a/p2!']) bench.submit(name);
    assert.deepEqual(bench.active, ['a/p1', 'b/p1', 'c/f1']);
    await bench.end('a/p1');
    assert.deepEqual(bench.active, ['b/p1', 'c/f1', 'a/p2!']);
    assert.equal(bench.engine.stats().mode, 'off');
  });

  it('tells what waits and how long it took, for each sandbox', async () => {
    const clock = new FakeClock();
    const bench = new Bench({ maxConcurrent: 1, clock });
    bench.submit('a/1');
    bench.submit('b/1');
    clock.advance(40);
    await bench.end('a/1');
    bench.submit('b/2');
    const stats = bench.engine.stats();
    assert.deepEqual([stats.running, stats.queued, stats.started], [1, 1, 2]);
    assert.deepEqual(stats.waitMs, { p50: 0, p95: 40, max: 40 });
    const [a, b] = stats.sandboxes;
    assert.deepEqual([a?.sandboxId, a?.busyMs, a?.queued], ['a', 40, 0]);
    assert.deepEqual([b?.sandboxId, b?.waitMs.p95, b?.queued], ['b', 40, 1]);
  });
});

function crowded(): Bench {
  const bench = new Bench({ maxConcurrent: 1, maxQueued: 2 });
  for (const name of ['a/1', 'b/1', 'c/1']) bench.submit(name);
  return bench;
}

/** Goes on only when told. */
class FakeClock implements Clock {
  #nowMs = 0;
  readonly #calls = new Set<{ readonly atMs: number; call(): void }>();

  now(): number {
    return this.#nowMs;
  }

  later(afterMs: number, call: () => void): () => void {
    const entry = { atMs: this.#nowMs + afterMs, call };
    this.#calls.add(entry);
    return () => this.#calls.delete(entry);
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const entry of [...this.#calls].filter(({ atMs }) => atMs <= this.#nowMs)) {
      this.#calls.delete(entry);
      entry.call();
    }
  }
}
