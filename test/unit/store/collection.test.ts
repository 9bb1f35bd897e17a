/** Random histories against a model: whatever is live comes back bit by bit, whatever is dead is gone after a last collection. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import type { TrackedRoot } from '../../../host-helper/sandbox/sandbox.ts';
import { ChunkReader, fromHex, hashOf } from '../../../host-helper/store/chunk-reader.ts';
import { encodeBlockList } from '../../../host-helper/store/file-tree.ts';
import { decodeHashes, isLegacy, parsePacked } from '../../../host-helper/store/image-format.ts';
import { openStore } from '../../../host-helper/store/open-store.ts';
import type { Store } from '../../../host-helper/store/store.ts';
import { blockBytes } from '../../../host-helper/store/treefs-wire.ts';
import { VersionStore } from '../../../host-helper/store/versions.ts';
import { treefsPath } from '../../integration/store-fixture.ts';

interface Live {
  readonly id: string;
  readonly session: string;
  readonly turn: number;
  readonly version: string;
  readonly files: ReadonlyMap<string, string>;
  readonly image: Dump | undefined;
}

interface Dump {
  readonly id: string;
  readonly digest: string;
  /** Hashes (hex) of the pages of its memory. */
  readonly pages: ReadonlySet<string>;
}

function digestOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function pagesOf(memory: Buffer): Set<string> {
  const pages = new Set<string>();
  for (let at = 0; at < memory.length; at += 4096) pages.add(digestOf(memory.subarray(at, at + 4096)));
  return pages;
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
      /** Pages that were found damaged and not seen again since. */
      const lost = new Set<string>();
      const hasLost = ({ image }: Live): boolean =>
        image !== undefined && [...lost].some((page) => image.pages.has(page));
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
      const dump = async (place: Place): Promise<Dump> => {
        const staged = await store.images.stage();
        writeFileSync(join(staged, 'pages-1.img'), place.memory);
        writeFileSync(join(staged, 'core.img'), `core of ${place.session} at ${count}`);
        const digest = digestOf(place.memory);
        const pages = pagesOf(place.memory);
        const { image: id } = await store.images.keep(staged);
        for (const page of pages) lost.delete(page);
        return { id, digest, pages };
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
      const lose = (): void => {
        const pages = [...(live[random(Math.max(1, live.length))]?.image?.pages ?? [])];
        const gone = pages.filter(() => random(20) === 0);
        for (const page of gone) lost.add(page);
        store.forgetContents(gone);
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
        if (!one.image || hasLost(one)) return;
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
          lose,
        ];
        await steps[random(steps.length)]?.();
        // The pages, not the copies that make restores quick.
        if (step % 6 === 5) await store.dropCaches();
        if (step % 6 === 5) for (const each of live) await check(each);
      }
      const verified = await store.verify();
      assert.deepEqual(
        verified.damagedCheckpoints.map(({ id }) => id).sort(),
        live
          .filter(hasLost)
          .map(({ id }) => id)
          .sort(),
      );
      if (lost.size === 0) assert.deepEqual(verified.problems, []);
      await store.dropCaches();
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

/** A store with one session, whose memory and large file are checkpointed as turn 1. */
async function withCheckpoint(
  body: (stage: {
    readonly place: Place;
    readonly state: string;
    readonly store: () => Store;
    readonly reopen: () => Promise<void>;
    readonly keep: () => Promise<string>;
    readonly capture: () => Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-collection-'));
  const state = join(directory, 'state');
  const open = (): Promise<Store> =>
    openStore({ directory: state, treefsPath: treefsPath() ?? '', logger: silentLogger });
  let store = await open();
  try {
    const place = new Place(directory, 'one');
    writeFileSync(join(place.root.upper, 'big'), randomBytes(600_000));
    const keep = async (): Promise<string> => {
      const staged = await store.images.stage();
      writeFileSync(join(staged, 'pages-1.img'), place.memory);
      const { image } = await store.images.keep(staged);
      await store.dropCaches();
      return image;
    };
    const capture = async (): Promise<string> => {
      const { version } = await store.files.capture({
        sandboxId: place.session,
        roots: [place.root],
        previous: place.previous,
        dirtyRoots: new Set(['workspace']),
      });
      return (place.previous = version);
    };
    store.metadata.publish(
      {
        id: 'c1',
        sessionId: place.session,
        turn: 1,
        fileVersion: await capture(),
        processImage: await keep(),
        position: '{}',
        createdAt: 1,
      },
      '{}',
    );
    await body({
      place,
      state,
      store: () => store,
      reopen: async () => {
        await store.close();
        store = await open();
      },
      keep,
      capture,
    });
  } finally {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

for (const how of ['were found damaged', 'lay in a pack that is gone'] as const) {
  void test(`pages that ${how} are stored again when they are seen again, after a collection and a restart`, async () => {
    await withCheckpoint(async ({ place, state, store, reopen, keep }) => {
      if (how === 'were found damaged') store().forgetContents([...pagesOf(place.memory)].slice(0, 3));
      else {
        using database = new DatabaseSync(join(state, 'state.sqlite'));
        const page = Buffer.from([...pagesOf(place.memory)][0] ?? '', 'hex');
        database.prepare('UPDATE chunk SET pack = 999 WHERE hash = ?').run(page);
        await reopen();
      }
      await store().collect();
      await reopen();
      const image = await keep();
      const { directory, release } = await store().images.open(image);
      assert.ok(readFileSync(join(directory, 'pages-1.img')).equals(place.memory));
      await release();
      await store().collect();
      assert.deepEqual((await store().verify()).damagedCheckpoints, []);
    });
  });
}

void test('where the list of a large file is lost nothing is removed, until it is stored again', async () => {
  await withCheckpoint(async ({ place, state, store, capture }) => {
    const contents = (): unknown => {
      using database = new DatabaseSync(join(state, 'state.sqlite'), { readOnly: true });
      return database.prepare('SELECT COUNT(*) AS n FROM chunk').get()?.['n'];
    };
    const data = readFileSync(join(place.root.upper, 'big'));
    const blocks: string[] = [];
    for (let at = 0; at < data.length; at += blockBytes)
      blocks.push(hashOf(data.subarray(at, at + blockBytes)));
    store().forgetContents([digestOf(encodeBlockList({ size: data.length, blocks }))]);
    const before = contents();
    await assert.rejects(store().collect(), { code: 'storeDamaged' });
    assert.equal(contents(), before);
    await capture();
    await store().collect();
    assert.deepEqual((await store().verify()).problems, []);
  });
});

void test('a content that reads like a list or a directory does not hide what that names', async () => {
  await withCheckpoint(async ({ place, state, store, reopen, keep, capture }) => {
    writeFileSync(join(place.root.upper, 'dir/file'), 'in a directory');
    // The same pages, and so the same lists, whenever this runs.
    for (let at = 0; at < place.memory.length; at += 4096)
      place.memory.fill(createHash('sha256').update(`page ${at}`).digest(), at, Math.min(at + 4096, 400_000));
    const version = await capture();
    const image = await keep();
    const page = ((): Buffer => {
      using database = new DatabaseSync(join(state, 'state.sqlite'), { readOnly: true });
      const chunks = new ChunkReader(database, join(state, 'packs'));
      const versions = new VersionStore(database, chunks);
      const top = versions.roots(version).get('workspace');
      assert.ok(top);
      for (const name of ['big', 'dir'])
        writeFileSync(
          join(place.root.upper, `0 ${name}`),
          chunks.get(versions.find(top, name)?.content ?? ''),
        );
      const row = database.prepare('SELECT packed FROM image WHERE id = ?').get(image);
      const packed = parsePacked(String(row?.['packed']));
      assert.ok(!isLegacy(packed));
      const list = chunks.get(decodeHashes(chunks.get(fromHex(packed.root)))[1] ?? '');
      chunks.close();
      return list;
    })();
    const staged = await store().images.stage();
    writeFileSync(join(staged, 'a.img'), page);
    writeFileSync(join(staged, 'pages-1.img'), place.memory);
    const { image: processImage } = await store().images.keep(staged);
    const checkpoint = { id: 'c2', sessionId: place.session, turn: 2, position: '{}', createdAt: 2 };
    store().metadata.publish({ ...checkpoint, fileVersion: await capture(), processImage }, '{}');
    store().metadata.expire([{ sessionId: place.session, turn: 1, document: '{}' }]);
    await reopen();
    await store().collect();
    assert.deepEqual((await store().verify()).damagedCheckpoints, []);
  });
});

void test('packs that are gone are open nowhere: their place on the disk is free', async () => {
  await withCheckpoint(async ({ place, state, store, reopen }) => {
    const held = (): string[] =>
      readdirSync('/proc/self/fd').flatMap((name) => {
        try {
          const path = readlinkSync(join('/proc/self/fd', name));
          return path.startsWith(state) && path.includes('.pack') ? [path] : [];
        } catch {
          return [];
        }
      });
    await reopen();
    // Both threads read in packs: one unpacks, the other marks.
    const { processImage = '' } = store().metadata.checkpoint('c1') ?? {};
    const image = await store().images.open(processImage);
    await store().collect();
    await image.release();
    store().metadata.expire([{ sessionId: place.session, turn: 1, document: '{}' }]);
    assert.ok((await store().collect()) > place.memory.length / 2);
    assert.deepEqual(held(), []);
  });
});

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
