/**
 * A helper that is killed and started again under work, and what its clients were told meanwhile: the oracle of the crash
 * tests. Remembers for every checkpoint that a client has seen published what the folder looked like, and what a process that
 * lives on had in its memory.
 */

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Overlay, treefsPath } from './store-fixture.ts';
import { DoomedHelper, type HelperStart } from './bad-luck-fixture.ts';
import { difference, pictureOf, strayFiles, wrongAfterCrash, type Picture } from './crash-checks.ts';
import type { CrashPoint } from '../../host-helper/crash-point.ts';
import { silentLogger } from '../../host-helper/log.ts';
import type { SessionState } from '../../host-helper/protocol/state.ts';
import { openStore } from '../../host-helper/store/open-store.ts';

/** What was published of a turn, as its client saw it. */
interface Published {
  readonly picture: Picture;
  /** What the counter held; undefined where none lived. */
  readonly counter: number | undefined;
}

/** A process that lives on and remembers, small enough to be dumped in no time. */
export const startCounter =
  `mkfifo /tmp/ask /tmp/answer; ` +
  `setsid nohup sh -c 'n=0; while :; do read x </tmp/ask; n=$((n+1)); echo $n >/tmp/answer; done' </dev/null >/dev/null 2>&1 &`;
// No program starts between the question and its answer: without a helper none may, and a counter that nobody hears out waits for ever.
const askCounter = 'echo x >/tmp/ask; read answer </tmp/answer; echo "$answer"';

/** Scripts of one session run one after another, also those whose helper died. */
const oneByOne = (script: string): string => `exec flock -o /tmp/one-by-one sh -c ${quote(script)}`;

export class CrashLab {
  readonly helper: DoomedHelper;
  /** Session → turn → what it held. */
  readonly published = new Map<string, Map<number, Published>>();
  /** What the counter of a session holds now; undefined where none lives. */
  readonly counters = new Map<string, number>();
  readonly #trap: string;
  readonly #cache: string;

  private constructor(helper: DoomedHelper) {
    this.helper = helper;
    this.#trap = join(helper.directory, 'die-at');
    this.#cache = join(helper.directory, '..', 'turntable-test-compiled');
  }

  static async create(context: TestContext): Promise<CrashLab> {
    const lab = new CrashLab(await DoomedHelper.create(context));
    await lab.up();
    return lab;
  }

  async up(): Promise<void> {
    await this.helper.up(this.#start);
  }

  async upAndDie(afterMs: number): Promise<void> {
    await this.helper.upAndDie(this.#start, afterMs);
  }

  get #start(): HelperStart {
    return { env: { TURNTABLE_CRASH_AT: this.#trap, NODE_COMPILE_CACHE: this.#cache } };
  }

  /** The helper dies when it passes `step` the next time. */
  async setTrap(step: CrashPoint): Promise<void> {
    await writeFile(this.#trap, step);
  }

  async clearTrap(): Promise<void> {
    await rm(this.#trap, { force: true });
  }

  async start(): Promise<string> {
    const session = await this.helper.start();
    await this.exec(session, 'true');
    return session;
  }

  async head(session: string): Promise<number> {
    return (await this.helper.session(session)).head;
  }

  async sessions(): Promise<Readonly<Record<string, SessionState>>> {
    const watched = await this.helper.watch();
    watched.subscription.close();
    return watched.subscription.state.sessions;
  }

  /** Runs a script as one turn and notes what its checkpoint must bring back. */
  async exec(session: string, script: string): Promise<string> {
    const result = await this.helper.exec(session, oneByOne(script));
    const said = Buffer.from(result.stdout, 'base64').toString();
    assert.equal(result.exitCode, 0, said + Buffer.from(result.stderr, 'base64').toString());
    assert.equal(result.turn.checkpoint?.restorable, true, result.turn.checkpoint?.reason);
    await this.note(session, result.turn.id);
    return said;
  }

  async startCounter(session: string): Promise<void> {
    this.counters.set(session, 0);
    await this.exec(session, startCounter);
  }

  /** Asks the counter, which must have gone on from what it held; `slack` questions may have been asked without an answer. */
  async ask(session: string, slack = 0): Promise<void> {
    const held = this.counters.get(session);
    assert.ok(held !== undefined);
    const result = await this.helper.exec(session, oneByOne(askCounter));
    const now = Number(Buffer.from(result.stdout, 'base64').toString());
    assert.equal(result.exitCode, 0, 'the counter answers');
    assert.ok(
      now > held && now <= held + 1 + slack,
      `the counter of ${session} held ${held} and says ${now}`,
    );
    this.counters.set(session, now);
    await this.note(session, result.turn.id);
  }

  async note(session: string, turn: number): Promise<void> {
    const { mount } = await this.helper.session(session);
    const turns = this.published.get(session) ?? new Map<number, Published>();
    turns.set(turn, { picture: pictureOf(mount), counter: this.counters.get(session) });
    this.published.set(session, turns);
  }

  known(session: string, turn: number): Published {
    const found = this.published.get(session)?.get(turn);
    assert.ok(found, `turn ${turn} of ${session} was published`);
    return found;
  }

  /** A branch or a rewound session is what was published of the turn, in its files and in its memory. */
  async isAt(session: string, of: string, turn: number): Promise<void> {
    const { picture, counter } = this.known(of, turn);
    const { mount } = await this.helper.session(session);
    assert.deepEqual(difference(picture, pictureOf(mount)), [], `${session} at turn ${turn} of ${of}`);
    if (counter === undefined) this.counters.delete(session);
    else this.counters.set(session, counter);
  }

  async rewind(session: string, turn: number): Promise<void> {
    const result = await this.helper.client.request('rewind', { sessionId: session, turn });
    assert.deepEqual(result.notes, []);
    await this.isAt(session, session, turn);
  }

  async branch(from: string, turn: number): Promise<string> {
    const result = await this.helper.client.request('branch', { sessionId: from, turn });
    assert.deepEqual(result.notes, []);
    await this.isAt(result.sessionId, from, turn);
    // It inherits the line of turns up to there.
    const inherited = new Map<number, Published>();
    for (const { id } of (await this.helper.session(result.sessionId)).turns) {
      const known = this.published.get(from)?.get(id);
      if (known) inherited.set(id, known);
    }
    this.published.set(result.sessionId, inherited);
    return result.sessionId;
  }

  async resume(session: string): Promise<void> {
    const { head } = await this.helper.session(session);
    await this.helper.client.request('session/resume', { sessionId: session });
    const now = await this.helper.session(session);
    if (this.published.get(session)?.has(now.head)) await this.isAt(session, session, now.head);
    else assert.ok(now.head >= head);
  }

  async remove(session: string): Promise<void> {
    this.published.delete(session);
    this.counters.delete(session);
    await this.helper.client.request('session/remove', { sessionId: session });
  }

  /**
   * After a start: the host, the directories and the database hold what the sessions need and nothing else, and every turn that
   * was published is there.
   */
  async check(expected: { readonly folder?: Picture } = {}): Promise<Readonly<Record<string, SessionState>>> {
    const sessions = await this.sessions();
    const all = Object.values(sessions);
    const wrong = await wrongAfterCrash({
      stateDirectory: this.helper.stateDirectory,
      helperPid: this.helper.client.hello.helperPid,
      sessions: all.map(({ id }) => id),
      running: all.filter(({ status }) => status === 'running').map(({ id }) => id),
      half: all.filter(({ status }) => status !== 'running').map(({ id }) => id),
    });
    for (const [id, turns] of this.published) {
      const session = sessions[id];
      if (!session) {
        wrong.push(`session ${id} is gone`);
        continue;
      }
      for (const turn of turns.keys()) {
        const found = session.turns.find((each) => each.id === turn);
        if (found?.state !== 'closed' || found.checkpoint?.restorable !== true)
          wrong.push(
            `turn ${turn} of ${id} is ${found ? `${found.state}: ${found.checkpoint?.reason ?? ''}` : 'gone'}`,
          );
      }
      if (session.status !== 'running' && session.status !== 'stopped')
        wrong.push(`session ${id} is ${session.status}: ${session.detail ?? ''}`);
    }
    for (const path of strayFiles(this.helper.workspace)) wrong.push(`${path} was left in the folder`);
    if (expected.folder) wrong.push(...difference(expected.folder, pictureOf(this.helper.workspace)));
    assert.deepEqual(wrong, [], this.helper.recovered.join('\n'));
    return sessions;
  }

  /** Every published checkpoint, restored by a store of its own into a fresh overlay. With the helper down. */
  async allRestore(): Promise<number> {
    const store = await openStore({
      directory: join(this.helper.stateDirectory, 'store'),
      treefsPath: treefsPath() ?? '',
      logger: silentLogger,
    });
    using overlay = new Overlay(join(this.helper.directory, 'restored'), this.helper.workspace);
    let count = 0;
    try {
      for (const [id, turns] of this.published) {
        for (const [turn, { picture }] of turns) {
          const record = store.metadata.checkpointOf(id, turn);
          assert.ok(record, `the checkpoint of turn ${turn} of ${id}`);
          overlay.unmount();
          const roots = [overlay.root];
          await store.files.restore({ sandboxId: 'oracle', roots, version: record.fileVersion });
          const found = pictureOf(overlay.mount().root.merged);
          assert.deepEqual(difference(picture, found), [], `turn ${turn} of ${id}`);
          if (record.processImage !== undefined) {
            const image = await store.images.open(record.processImage);
            await image.release();
          }
          count += 1;
        }
      }
    } finally {
      await store.close();
    }
    return count;
  }
}

function quote(script: string): string {
  return `'${script.replaceAll("'", `'\\''`)}'`;
}
