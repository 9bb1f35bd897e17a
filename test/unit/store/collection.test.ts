/** Random histories against a model: whatever is live comes back bit by bit, whatever is dead is gone after a last collection. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import type { TrackedRoot } from '../../../host-helper/sandbox/sandbox.ts';
import { openStore } from '../../../host-helper/store/open-store.ts';
import type { Store } from '../../../host-helper/store/store.ts';
import { treefsPath } from '../../integration/store-fixture.ts';

interface Live {
  readonly id: string;
  readonly session: string;
  readonly turn: number;
  readonly version: string;
  readonly files: ReadonlyMap<string, string>;
  readonly image: { readonly id: string; readonly digest: string } | undefined;
}

function digestOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A sandbox of one plain root, with some memory. */
class Place {
  readonly root: TrackedRoot;
  readonly memory = randomBytes(400_000);
  readonly session: string;
  previous: string | undefined;
  turn = 0;

  constructor(directory: string, session: string) {
    this.session = session;
    const upper = join(directory, session);
    mkdirSync(join(upper, 'dir'), { recursive: true });
    this.root = {
      name: 'workspace',
      path: '/project',
      kind: 'plain',
      lower: undefined,
      upper,
      merged: upper,
    };
  }

  files(): Map<string, string> {
    const found = new Map<string, string>();
    for (const name of readdirSync(this.root.upper, { recursive: true, encoding: 'utf8' }))
      if (name !== 'dir') found.set(name, digestOf(readFileSync(join(this.root.upper, name))));
    return found;
  }
}

for (const firstSeed of [3, 77, 20_261]) {
  void test(`random histories with collections in between (seed ${firstSeed}) keep what is live and nothing else`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'turntable-collection-'));
    let seed = firstSeed;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const open = (): Promise<Store> =>
      openStore({
        directory: join(directory, 'state'),
        treefsPath: treefsPath() ?? '',
        logger: silentLogger,
      });
    let store = await open();
    try {
      const places = ['one', 'two'].map((session) => new Place(directory, session));
      let live: Live[] = [];
      let count = 0;
      /** An image that was kept and never published: spared for a while, for its checkpoint may still come. */
      let strays = 0;
      const publish = (checkpoint: Omit<Live, 'id' | 'turn'>): void => {
        const made: Live = { ...checkpoint, id: `c${++count}`, turn: count };
        store.metadata.publish(
          {
            id: made.id,
            sessionId: made.session,
            turn: made.turn,
            fileVersion: made.version,
            processImage: made.image?.id,
            position: '{}',
            createdAt: count,
          },
          '{}',
        );
        live.push(made);
      };
      const dump = async (place: Place): Promise<{ readonly id: string; readonly digest: string }> => {
        const staged = await store.images.stage();
        writeFileSync(join(staged, 'pages-1.img'), place.memory);
        writeFileSync(join(staged, 'core.img'), `core of ${place.session} at ${count}`);
        const digest = digestOf(place.memory);
        return { id: (await store.images.keep(staged)).image, digest };
      };
      const change = (place: Place): void => {
        for (let times = random(4); times >= 0; times--) {
          const path = join(place.root.upper, ['a', 'b', 'dir/c', 'dir/d', 'big'][random(5)] ?? 'a');
          if (random(4) === 0) rmSync(path, { force: true });
          else if (path.endsWith('big'))
            writeFileSync(path, Buffer.alloc(300_000 + random(3) * 70_000, `${random(4)} `));
          // Few different contents: what one checkpoint gives up another often still needs.
          else writeFileSync(path, `${'content '.repeat(20)}${random(6)}`);
        }
        for (let page = random(3); page > 0; page--)
          place.memory.write(`${random(3)}`.repeat(50), 4096 * random(90));
      };
      const capture = async (place: Place): Promise<void> => {
        change(place);
        const files = place.files();
        const { version } = await store.files.capture({
          sandboxId: place.session,
          roots: [place.root],
          previous: place.previous,
          dirtyRoots: new Set(['workspace']),
        });
        place.previous = version;
        const image = random(2) === 0 ? await dump(place) : undefined;
        publish({ session: place.session, version, files, image });
      };
      const expire = (): void => {
        const gone = live.filter(() => random(4) === 0);
        store.metadata.expire(
          gone.map(({ session, turn }) => ({ sessionId: session, turn, document: '"expired"' })),
        );
        live = live.filter((each) => !gone.includes(each));
      };
      const branch = (): void => {
        const from = live[random(Math.max(1, live.length))];
        if (from) publish({ ...from, session: 'branch' });
      };
      const removeSession = (): void => {
        const session = ['one', 'two', 'branch'][random(3)] ?? '';
        store.metadata.removeSession(session);
        live = live.filter((each) => each.session !== session);
      };
      const check = async (one: Live): Promise<void> => {
        for (const [path, digest] of one.files) {
          const root = places[0]?.root;
          assert.ok(root);
          const data = await store.files.read(one.version, [root], `/project/${path}`);
          assert.equal(digestOf(data), digest, `${one.id} ${path}`);
        }
        if (!one.image) return;
        const { directory: opened, release } = await store.images.open(one.image.id);
        assert.equal(digestOf(readFileSync(join(opened, 'pages-1.img'))), one.image.digest, one.id);
        await release();
      };
      for (let step = 0; step < 30; step++) {
        const place = places[random(2)];
        assert.ok(place);
        const steps: (() => void | Promise<unknown>)[] = [
          () => capture(place),
          () => capture(place),
          () => Promise.all([capture(place), store.collect()]),
          () => Promise.all([store.collect(), ...places.map(capture)]),
          () => store.collect(),
          expire,
          () => Promise.all([store.collect(), Promise.resolve().then(expire)]),
          branch,
          async () => {
            strays++;
            await Promise.all([dump(place), store.collect()]);
          },
          async () => {
            const one = live[random(Math.max(1, live.length))];
            // It may be given up while it is read: what is open stays.
            if (one) await Promise.all([check(one), store.collect()]);
          },
          async () => {
            await store.close();
            store = await open();
          },
          () => (random(4) === 0 ? removeSession() : undefined),
        ];
        await steps[random(steps.length)]?.();
        if (step % 6 === 5) for (const each of live) await check(each);
      }
      const verified = await store.verify();
      assert.deepEqual([verified.problems, verified.damagedCheckpoints], [[], []]);
      for (const each of live) await check(each);
      assert.ok(strays > 0 || count > 0);

      // Half of what is left goes, and takes nothing of the other half along.
      live = live.filter(({ session, turn }, index) => {
        if (index % 2 === 0) return true;
        store.metadata.expire([{ sessionId: session, turn, document: '{}' }]);
        return false;
      });
      await store.close();
      store = await open();
      const survey = await store.survey(new Set());
      const freed = await store.collect();
      assert.ok(Math.abs(freed - survey.bytes) < 300_000, `said ${survey.bytes}, freed ${freed}`);
      for (const each of live) await check(each);

      for (const session of ['one', 'two', 'branch']) store.metadata.removeSession(session);
      await store.close();
      store = await open();
      await store.collect();
      assert.deepEqual(readdirSync(join(directory, 'state/packs')), []);
      using database = new DatabaseSync(join(directory, 'state/state.sqlite'), { readOnly: true });
      for (const table of ['chunk', 'version', 'image', 'checkpoint'])
        assert.equal(database.prepare(`SELECT COUNT(*) AS n FROM ${table}`).get()?.['n'], 0, table);
    } finally {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

void test('an image whose checkpoint is long in the making stays while it is held, and no longer', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-collection-'));
  const store = await openStore({
    directory: join(directory, 'state'),
    treefsPath: treefsPath() ?? '',
    logger: silentLogger,
  });
  try {
    context.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const keep = async (): Promise<string> => {
      const staged = await store.images.stage();
      writeFileSync(join(staged, 'pages-1.img'), randomBytes(20_000));
      return (await store.images.keep(staged)).image;
    };
    const [held, other] = [await keep(), await keep()];
    const hold = store.images.hold(held);
    context.mock.timers.setTime(Date.now() + 60 * 60_000);
    await store.collect();
    await assert.rejects(store.images.open(other), { code: 'notRestorable' });
    await (await store.images.open(held)).release();
    hold[Symbol.dispose]();
    await store.collect();
    await assert.rejects(store.images.open(held), { code: 'notRestorable' });
  } finally {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
