/**
 * kill -9 of the helper at every named step of everything it does in steps (host-helper/crash-point.ts): nothing that was
 * published is lost, nothing half done stays, what ran goes on.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, it, test, type TestContext } from 'node:test';
import { crashPoints, type CrashPoint } from '../../host-helper/crash-point.ts';
import { exported, imported } from './archive-fixture.ts';
import { difference, pictureOf } from './crash-checks.ts';
import { CrashLab } from './crash-lab.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

/** Steps at which a helper has died here; only a reply of a model is let go, and crash-agents.test.ts has those. */
const reached = new Set<CrashPoint>(['checkpoint:released']);

interface Work {
  readonly name: string;
  readonly steps: readonly CrashPoint[];
  /** What stands before every step. */
  prepare(place: Place): Promise<void>;
  /** In the middle of which the helper dies. Again and again, if need be. */
  act(place: Place): Promise<unknown>;
  /** With the next helper, after what holds for all work has been checked. */
  afterwards(place: Place, step: CrashPoint): Promise<void>;
}

/** One lab with a session that has turns of files, a process that lives on, and turns with that. */
class Place {
  readonly lab: CrashLab;
  readonly main: string;
  /** A turn with files only, and one with the counter. */
  readonly filesTurn: number;
  readonly counterTurn: number;
  readonly folder;
  /** What the work of a step is about. */
  other = '';
  undoId = '';
  archive: Buffer | undefined;
  archived = 0;
  count = 0;
  #outside: Server | undefined;

  private constructor(lab: CrashLab, main: string, filesTurn: number, counterTurn: number) {
    this.lab = lab;
    this.main = main;
    this.filesTurn = filesTurn;
    this.counterTurn = counterTurn;
    this.folder = pictureOf(lab.helper.workspace);
  }

  static async create(context: TestContext): Promise<Place> {
    const lab = await CrashLab.create(context);
    const main = await lab.start();
    await lab.exec(main, 'echo first >a; mkdir -p d/e; echo x >d/e/x; head -c 300000 /dev/urandom >big');
    const filesTurn = await lab.head(main);
    await lab.startCounter(main);
    await lab.ask(main);
    const counterTurn = await lab.head(main);
    await lab.exec(main, 'echo second >a; rm -r d; head -c 300000 /dev/urandom >>big');
    return new Place(lab, main, filesTurn, counterTurn);
  }

  async dieAt(work: Work, step: CrashPoint): Promise<void> {
    const { lab } = this;
    await work.prepare(this);
    await lab.setTrap(step);
    await assert.rejects(work.act(this), `the helper dies at ${step}`);
    assert.equal(await lab.helper.died(), 'SIGKILL');
    reached.add(step);
    await lab.clearTrap();
    await lab.up();
    await lab.check(work.name === 'apply' || work.name === 'undo' ? {} : { folder: this.folder });
    await work.afterwards(this, step);
    await lab.check({ folder: this.folder });
  }

  /** Not noted: nobody is told what comes of it. */
  script(text: string): Promise<unknown> {
    return this.lab.helper.exec(this.main, `flock -o /tmp/one-by-one sh -c '${text}'`);
  }

  /** A socket in the sandbox's /tmp that a process of the host listens to. */
  async listenOutside(): Promise<void> {
    const { stateDirectory } = this.lab.helper;
    const rootfs = join(stateDirectory, 'sessions', this.main, 'sandbox/layers/rootfs');
    const [upper = ''] = (await readdir(rootfs)).filter((name) => name.startsWith('upper-'));
    this.#outside = createServer((socket) => socket.unref().on('error', () => {})).unref();
    this.#outside.listen(join(rootfs, upper, 'tmp/outside'));
    await once(this.#outside, 'listening');
  }

  async closeOutside(): Promise<void> {
    await new Promise((resolve) => this.#outside?.close(resolve));
  }

  async mustRun(): Promise<void> {
    const { status, detail } = await this.lab.helper.session(this.main);
    assert.equal(status, 'running', detail);
  }

  async resumeIfStopped(): Promise<void> {
    if ((await this.lab.helper.session(this.main)).status === 'running') return;
    await this.lab.resume(this.main);
  }
}

const connectOutside =
  'perl -e "socket(S, 1, 1, 0); connect(S, pack(q(Sa*), 1, q(/tmp/outside))) or die; open(F, q(>made)); print F q(made); close(F); sleep 300 while 1"';

const nothing = (): Promise<void> => Promise.resolve();

/** The main session ran on: its folder, its memory, and turns to come. */
async function goesOn({ lab, main }: Place, made?: string): Promise<void> {
  assert.equal((await lab.helper.session(main)).status, 'running');
  await lab.ask(main, 1);
  await lab.exec(main, made === undefined ? 'true' : `test "$(cat ${made})" = made; rm ${made}`);
}

const works: readonly Work[] = [
  {
    name: 'start',
    steps: [
      ...(['start:recorded', 'start:created', 'launch:doors', 'launch:noted', 'launch:runs'] as const),
      ...(['launch:attached', 'start:running', 'start:captured', 'start:published'] as const),
    ],
    prepare: nothing,
    act: ({ lab }) => lab.helper.start(),
    async afterwards(place) {
      const { lab, main } = place;
      assert.deepEqual(Object.keys(await lab.sessions()), [main]);
      assert.match(lab.helper.recovered.join('\n'), /had not been started completely and was removed/);
      await goesOn(place);
    },
  },
  {
    name: 'a turn of files',
    steps: [
      ...(['checkpoint:observed', 'checkpoint:planned', 'checkpoint:begun', 'capture:stored'] as const),
      ...(['capture:flushed', 'capture:committed', 'checkpoint:unpublished'] as const),
      ...(['checkpoint:published', 'checkpoint:moved'] as const),
    ],
    // So that the image fits: what lives on and did not run is kept.
    prepare: async ({ lab, main }) => lab.exec(main, 'true').then(() => {}),
    act: (place) => place.script('echo made >made; head -c 400000 /dev/urandom >big'),
    afterwards: (place) => goesOn(place, 'made'),
  },
  {
    // It is connected to somebody outside: everything stands still while the files are captured.
    name: 'a turn that leaves a process that cannot be dumped',
    steps: ['checkpoint:frozen', 'checkpoint:captured', 'checkpoint:thawed'],
    prepare: async (place) => place.listenOutside(),
    act: (place) =>
      place.script(
        `${connectOutside} </dev/null >/dev/null 2>&1 & for i in $(seq 100); do test -s made && break; sleep 0.05; done`,
      ),
    async afterwards(place) {
      await place.lab.exec(place.main, 'pkill -KILL -x perl');
      await place.closeOutside();
      await goesOn(place, 'made');
    },
  },
  {
    name: 'a turn of processes',
    steps: [
      ...([
        'dump:staged',
        'dump:detached',
        'dump:quiet',
        'dump:paused',
        'dump:gate',
        'dump:answered',
      ] as const),
      ...(['dump:written', 'dump:resumed', 'dump:attached', 'image:packed', 'image:stored'] as const),
      ...(['image:recorded', 'image:cached'] as const),
    ],
    prepare: nothing,
    async act(place) {
      for (let tries = 0; tries < 6; tries++) {
        await place.script(
          'echo x >/tmp/ask; read answer </tmp/answer; echo "$answer" >/tmp/said; echo made >made',
        );
        const held = place.lab.counters.get(place.main) ?? 0;
        place.lab.counters.set(place.main, held + 1);
      }
    },
    afterwards: (place) => goesOn(place, 'made'),
  },
  {
    name: 'rewind',
    steps: [
      ...(['rewind:safe', 'rewind:ended', 'rewind:stopped', 'renew:moved', 'renew:cleared'] as const),
      ...(['rewind:prepared', 'restore:files', 'restore:opened', 'restore:processes'] as const),
      ...(['launch:doors', 'launch:noted', 'rewind:restored', 'rewind:carried', 'rewind:moved'] as const),
      ...(['rewind:whole', 'rewind:done'] as const),
    ],
    async prepare({ lab, main, count }) {
      await lab.ask(main);
      await lab.exec(main, `echo ${count} >a; echo later >later`);
    },
    act: ({ lab, main, counterTurn }) =>
      lab.helper.client.request('rewind', { sessionId: main, turn: counterTurn }),
    async afterwards(place, step) {
      const { lab, main, counterTurn } = place;
      const { head } = await lab.helper.session(main);
      const arrived = (['rewind:moved', 'rewind:whole', 'rewind:done'] as CrashPoint[]).includes(step);
      if (arrived) await lab.isAt(main, main, counterTurn);
      else await place.resumeIfStopped();
      if (!arrived && lab.published.get(main)?.has(head)) await lab.isAt(main, main, head);
      await place.mustRun();
      await goesOn(place);
      await lab.rewind(main, counterTurn);
      await lab.ask(main);
    },
  },
  {
    name: 'branch',
    steps: [
      ...(['branch:noted', 'branch:saved', 'branch:recorded', 'branch:created', 'branch:restored'] as const),
      ...(['branch:goesOn', 'branch:done'] as const),
    ],
    prepare: nothing,
    act: ({ lab, main, counterTurn }) => lab.branch(main, counterTurn),
    async afterwards(place, step) {
      const { lab, main, counterTurn } = place;
      const others = Object.keys(await lab.sessions()).filter((id) => id !== main);
      if (step === 'branch:done') {
        assert.equal(others.length, 1, 'it was whole');
        await lab.isAt(others[0] ?? '', main, counterTurn);
      } else assert.deepEqual(others, []);
      for (const id of others) await lab.remove(id);
      const branch = await lab.branch(main, counterTurn);
      await lab.ask(branch);
      await lab.remove(branch);
      await goesOn(place);
    },
  },
  {
    name: 'import',
    steps: ['import:begun', 'import:recorded', 'import:restored'],
    async prepare(place) {
      if (place.archive) return;
      place.archived = await place.lab.head(place.main);
      place.archive = await exported(place.lab.helper.client, { sessionId: place.main });
    },
    act: ({ lab, archive }) => imported(lab.helper.client, archive ?? Buffer.of()),
    async afterwards(place) {
      const { lab, main, archive } = place;
      assert.deepEqual(Object.keys(await lab.sessions()), [main]);
      const { sessionId } = await imported(lab.helper.client, archive ?? Buffer.of());
      await lab.helper.client.request('session/resume', { sessionId });
      await lab.isAt(sessionId, main, place.archived);
      await lab.remove(sessionId);
      await goesOn(place);
    },
  },
  {
    name: 'apply',
    steps: ['apply:planned', 'apply:recorded', 'apply:written', 'apply:done', 'apply:confirmed'],
    prepare: async ({ lab, main, filesTurn }) => {
      await lab.rewind(main, filesTurn);
      await lab.exec(
        main,
        'echo theirs >README.md; rm src/one.txt; mkdir new; echo new >new/file; ln -s file new/link',
      );
    },
    act: ({ lab, main }) => lab.helper.client.request('apply', { sessionId: main }),
    async afterwards({ lab, main, folder }, step) {
      if (step === 'apply:confirmed') {
        // Whole, and the audit log says how to take it back.
        assert.equal(await readFile(join(lab.helper.workspace, 'new/file'), 'utf8'), 'new\n');
        const { entries } = await lab.helper.client.request('audit', { sessionId: main });
        const undoId = String(entries.findLast(({ kind }) => kind === 'apply.done')?.data['undoId']);
        await lab.helper.client.request('apply/undo', { sessionId: main, undoId });
      }
      assert.deepEqual(difference(folder, pictureOf(lab.helper.workspace)), [], 'taken back');
      const { undoId, applied } = await lab.helper.client.request('apply', { sessionId: main });
      assert.ok(applied.length >= 5, applied.join());
      await lab.helper.client.request('apply/undo', { sessionId: main, undoId });
    },
  },
  {
    name: 'undo',
    steps: ['undo:written', 'undo:done'],
    prepare: async (place) => {
      const { lab, main } = place;
      await lab.exec(
        main,
        `echo ${place.count++} >README.md; rm -f src/two.txt; mkdir -p new; echo new >new/file`,
      );
      const { undoId } = await lab.helper.client.request('apply', { sessionId: main });
      place.undoId = undoId;
    },
    act: ({ lab, main, undoId }) => lab.helper.client.request('apply/undo', { sessionId: main, undoId }),
    afterwards: ({ lab, folder }) => {
      assert.deepEqual(difference(folder, pictureOf(lab.helper.workspace)), [], 'undone to the end');
      return Promise.resolve();
    },
  },
  {
    name: 'removal and collection',
    steps: [
      ...(['remove:down', 'remove:destroyed', 'remove:forgotten', 'gc:imageForgotten'] as const),
      ...(['gc:imageRemoved', 'gc:versionsForgotten', 'gc:contentsForgotten', 'gc:packGiven'] as const),
    ],
    prepare: async (place) => {
      const { lab, main, counterTurn } = place;
      place.other = await lab.branch(main, counterTurn);
      await lab.ask(place.other);
      await lab.exec(place.other, 'head -c 400000 /dev/urandom >big; head -c 1000 /dev/urandom >small');
      // An image of this helper's own life might be about to be published, and would be spared.
      await lab.helper.kill();
      await lab.up();
    },
    act: ({ lab, other }) => lab.remove(other),
    async afterwards(place) {
      assert.deepEqual(Object.keys(await place.lab.sessions()), [place.main]);
      await goesOn(place);
    },
  },
  {
    name: 'stop',
    steps: ['stop:closed', 'stop:down', 'stop:marked'],
    prepare: nothing,
    act: ({ lab, main }) => lab.helper.client.request('session/stop', { sessionId: main }),
    async afterwards(place) {
      await place.resumeIfStopped();
      await goesOn(place);
    },
  },
  {
    name: 'resume',
    steps: ['resume:kept', 'resume:noted', 'resume:restored', 'resume:moved'],
    prepare: async ({ lab, main }) => {
      await lab.helper.client.request('session/stop', { sessionId: main });
    },
    act: ({ lab, main }) => lab.helper.client.request('session/resume', { sessionId: main }),
    async afterwards(place) {
      await place.resumeIfStopped();
      await goesOn(place);
    },
  },
];

describe('a helper that is killed at a step of its work', { concurrency: 2, ...options }, () => {
  for (const work of works) {
    it(`loses nothing and leaves nothing half done: ${work.name}`, async (context) => {
      const place = await Place.create(context);
      for (const step of work.steps) await place.dieAt(work, step);
      await place.lab.helper.kill();
      assert.ok((await place.lab.allRestore()) > 0);
    });
  }
});

test('every named step was died at', options, () => {
  assert.deepEqual(
    crashPoints.filter((step) => !reached.has(step)),
    [],
  );
});
