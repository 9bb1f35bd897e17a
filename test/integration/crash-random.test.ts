/**
 * kill -9 of the helper at random instants, under work and while it starts: whatever was going on, nothing that was published is
 * lost and nothing half done stays. The seed is printed; TURNTABLE_CRASH_SEED repeats a run, as far as time repeats itself.
 */

import assert, { AssertionError } from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pictureOf } from './crash-checks.ts';
import { CrashLab } from './crash-lab.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

/** `npm run test:soak` sets it. */
const soak = process.env['TURNTABLE_SOAK'] !== undefined;
const instants = Number(process.env['TURNTABLE_CRASH_INSTANTS'] ?? (soak ? 1000 : 200));
const firstSeed = Number(process.env['TURNTABLE_CRASH_SEED'] ?? Date.now() % 1_000_000) + 1;
const labs = 2;

/** Longer than most lives of a helper here, so that instants fall into every kind of work. */
const longestLifeMs = 1_200;
const longestStartMs = 1_500;
const mostSessions = 4;

/** What was asked for when the helper died. */
interface Asked {
  readonly what: 'turn' | 'question' | 'rewind' | 'branch' | 'remove' | 'apply' | 'stop' | 'resume' | 'start';
  readonly session: string;
  readonly turn?: number;
}

class Walk {
  readonly lab: CrashLab;
  readonly folder;
  readonly done = new Map<string, number>();
  /** Where each session was when it was last told. */
  readonly at = new Map<string, number>();
  #seed: number;
  #asked: Asked | undefined;
  #made = 0;

  constructor(lab: CrashLab, seed: number) {
    this.lab = lab;
    this.#seed = seed;
    this.folder = pictureOf(lab.helper.workspace);
  }

  async begin(): Promise<void> {
    const session = await this.lab.start();
    await this.lab.startCounter(session);
    await this.#isThere(session);
  }

  random(below: number): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed % below;
  }

  #any<Item>(items: readonly Item[]): Item {
    const item = items[this.random(items.length)];
    assert.ok(item !== undefined);
    return item;
  }

  /** Works until the helper is killed, at an instant that has nothing to do with the work. */
  async untilKilled(): Promise<void> {
    const lifeMs = this.random(longestLifeMs);
    const killed = sleep(lifeMs).then(() => this.lab.helper.strike());
    for (;;) {
      try {
        await this.#step();
      } catch (error) {
        if (error instanceof AssertionError || !this.lab.helper.struck) throw error;
        break;
      }
    }
    await killed;
    assert.equal(await this.lab.helper.died(), 'SIGKILL');
    const what = this.#asked?.what ?? 'between';
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  /** Every so often the next helper dies too, while it starts. */
  async startAgain(): Promise<number> {
    let died = 0;
    while (this.random(6) === 0) {
      await this.lab.upAndDie(this.random(longestStartMs));
      died += 1;
      this.done.set('recovery', (this.done.get('recovery') ?? 0) + 1);
    }
    await this.lab.up();
    return died;
  }

  /** What was asked for is there whole or not at all; everything else is as it was told. */
  async settle(): Promise<void> {
    const { lab } = this;
    const asked = this.#asked;
    this.#asked = undefined;
    await this.#takeBackApply(asked);
    for (const [id, { status, head, detail }] of Object.entries(await lab.sessions())) {
      const mine = asked?.session === id;
      if (!lab.published.has(id)) {
        // The answer never came: a session that was being removed, or has just been made.
        assert.ok(mine || asked?.what === 'branch' || asked?.what === 'start', `${id} came from nowhere`);
        await lab.remove(id);
        continue;
      }
      const turn = this.at.get(id) ?? 0;
      if (status !== 'running') {
        const may = mine && ['rewind', 'stop', 'resume'].includes(asked.what);
        assert.ok(may, `${id} is ${status} (${detail ?? ''}) after ${JSON.stringify(asked)}`);
        await lab.resume(id);
      } else if (mine && asked.what === 'rewind' && head === asked.turn) await lab.isAt(id, id, head);
      else if (!mine || !['turn', 'question'].includes(asked.what)) await lab.isAt(id, id, turn);
      await this.#isThere(id, mine && asked.what === 'question' ? 1 : 0);
    }
    await lab.check({ folder: this.folder });
  }

  /** An apply is whole or was taken back; a whole one that nobody was told of stands in the audit log. */
  async #takeBackApply(asked: Asked | undefined): Promise<void> {
    if (asked?.what !== 'apply') return;
    const { client } = this.lab.helper;
    const { entries, intact } = await client.request('audit', { sessionId: asked.session });
    assert.equal(intact, true);
    const last = entries.findLast(({ kind }) => kind.startsWith('apply.'));
    if (last?.kind !== 'apply.done') return;
    await client
      .request('apply/undo', { sessionId: asked.session, undoId: String(last.data['undoId']) })
      .catch((error: unknown) => assert.match(String(error), /no such apply/));
  }

  /** Waits for scripts whose helper died, and notes where the session is now. */
  async #isThere(session: string, slack = 0): Promise<void> {
    if (this.lab.counters.has(session)) await this.lab.ask(session, slack);
    else await this.lab.exec(session, 'true');
    this.at.set(session, await this.lab.head(session));
  }

  async #step(): Promise<void> {
    const { lab } = this;
    const session = this.#any([...lab.published.keys()]);
    const head = this.at.get(session) ?? 0;
    const kind = this.random(20);
    if (kind < 6) {
      this.#asked = { what: 'turn', session };
      const name = this.#any(['a', 'b', 'd/c', 'src/one.txt', 'src/two.txt', 'README.md']);
      const work = this.#any([
        `mkdir -p d; echo ${this.#made++} >${name}`,
        `rm -rf ${name}`,
        `mkdir -p d; head -c ${40_000 + this.random(400_000)} /dev/urandom >${name}`,
        'rm -rf d; mkdir d; ln -s nowhere d/link; chmod 711 d',
        'true',
      ]);
      await lab.exec(session, work);
    } else if (kind < 9) {
      if (!lab.counters.has(session)) return;
      this.#asked = { what: 'question', session };
      await lab.ask(session);
    } else if (kind < 12) {
      const turn = this.#any([...(lab.published.get(session)?.keys() ?? [])]);
      if (turn === head) return;
      this.#asked = { what: 'rewind', session, turn };
      await lab.rewind(session, turn);
      this.at.set(session, turn);
      this.#asked = undefined;
      return;
    } else if (kind < 15) {
      if (lab.published.size >= mostSessions) return;
      const turn = this.#any([...(lab.published.get(session)?.keys() ?? [])]);
      this.#asked = { what: 'branch', session: '' };
      const made = await lab.branch(session, turn);
      this.at.set(made, turn);
      this.#asked = undefined;
      return;
    } else if (kind < 17) {
      if (lab.published.size < 2) return;
      this.#asked = { what: 'remove', session };
      await lab.remove(session);
      this.#asked = undefined;
      return;
    } else if (kind < 18) {
      this.#asked = { what: 'apply', session };
      const { undoId } = await lab.helper.client.request('apply', {
        sessionId: session,
        conflicts: 'take-theirs',
      });
      if (undoId !== '') await lab.helper.client.request('apply/undo', { sessionId: session, undoId });
      this.#asked = undefined;
      return;
    } else if (kind < 19) {
      this.#asked = { what: 'stop', session };
      await lab.helper.client.request('session/stop', { sessionId: session });
      this.#asked = { what: 'resume', session };
      await lab.resume(session);
    } else {
      if (lab.published.size >= mostSessions) return;
      this.#asked = { what: 'start', session: '' };
      const made = await lab.start();
      this.at.set(made, await lab.head(made));
      this.#asked = undefined;
      return;
    }
    this.at.set(session, await lab.head(session));
    this.#asked = undefined;
  }
}

async function walk(context: TestContext, seed: number, count: number): Promise<void> {
  const lab = await CrashLab.create(context);
  const steps = new Walk(lab, seed);
  await steps.begin();
  let died = 0;
  while (died < count) {
    try {
      await steps.untilKilled();
      died += 1;
      died += await steps.startAgain();
      await steps.settle();
    } catch (error) {
      context.diagnostic(`seed ${seed}, instant ${died}: ${lab.helper.recovered.join('; ')}`);
      throw error;
    }
  }
  await lab.helper.kill();
  const restored = await lab.allRestore();
  const during = [...steps.done].map(([what, times]) => `${what} ${times}`).join(', ');
  context.diagnostic(
    `seed ${seed}: ${died} instants (${during}); ${restored} checkpoints restored at the end`,
  );
}

describe(`a helper killed at ${instants} random instants`, { concurrency: labs, ...options }, () => {
  for (let index = 0; index < labs; index++) {
    const seed = firstSeed + index * 1_000_003;
    it(`loses nothing that was published and leaves nothing half done (seed ${seed})`, (context) =>
      walk(context, seed, Math.ceil(instants / labs)));
  }
});
