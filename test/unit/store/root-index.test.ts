import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../../host-helper/log.ts';
import { RootIndex } from '../../../host-helper/store/root-index.ts';
import { TreeWorker } from '../../../host-helper/store/treefs.ts';
import { missing, treefsPath } from '../../integration/store-fixture.ts';
import { generator } from '../engine/generator.ts';

/** Longer than the tick in which a change could go without a new ctime: an index is sure of what it has read. */
const aTickMs = 25;

class Tree {
  readonly path: string;
  readonly worker: TreeWorker;
  #before = new Map<bigint, bigint>();

  constructor(path: string, worker: TreeWorker) {
    this.path = path;
    this.worker = worker;
  }

  at(path: string): string {
    return join(this.path, path);
  }

  /** Every inode whose ctime is another one than at the last call: what the kernel would tell. */
  changed(): bigint[] {
    const now = new Map<bigint, bigint>();
    const visit = (path: string): void => {
      const { ino, ctimeNs } = lstatSync(path, { bigint: true });
      now.set(ino, ctimeNs);
      if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    };
    visit(this.path);
    const before = this.#before;
    this.#before = now;
    return [...now.keys(), ...before.keys()].filter((ino) => now.get(ino) !== before.get(ino));
  }

  /** What one look at everything finds, by an index that knows nothing. */
  async whole(): Promise<string> {
    return contentOf(this.worker, this.path, new RootIndex());
  }
}

async function contentOf(
  worker: TreeWorker,
  path: string,
  index: RootIndex,
  inodes?: readonly bigint[],
): Promise<string> {
  const { warnings } = await index.refresh(worker, path, undefined, { inodes });
  assert.deepEqual(warnings, []);
  const top = index.seal(undefined);
  return JSON.stringify([top.mode, top.uid, top.gid, top.mtimeSec, top.mtimeNsec, top.xattrs, top.content]);
}

function treeTest(name: string, body: (tree: Tree, t: TestContext) => Promise<void>): void {
  void test(name, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    const directory = mkdtempSync(join(tmpdir(), 'turntable-index-'));
    const worker = new TreeWorker(treefsPath() ?? '', silentLogger);
    try {
      await body(new Tree(directory, worker), t);
    } finally {
      await worker.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

const names = ['a', 'b', 'c', 'a-b'];

/** One change, or an attempt at one: what is in its way is an error of the file system and nothing else. */
function work(tree: Tree, below: (limit: number) => number): string {
  const pick = (): string =>
    Array.from({ length: 1 + below(3) }, () => names[below(names.length)] ?? '').join('/');
  const [path, other] = [tree.at(pick()), tree.at(pick())];
  const kinds: Readonly<Record<string, () => void>> = {
    write: () => writeFileSync(path, `${below(1000)}`),
    append: () => appendFileSync(path, 'more'),
    large: () => writeFileSync(path, Buffer.alloc(300_000 + below(10), below(255))),
    mkdir: () => mkdirSync(path, { recursive: true }),
    remove: () => rmSync(path, { recursive: true }),
    rename: () => renameSync(path, other),
    link: () => linkSync(path, other),
    symlink: () => symlinkSync(pick(), path),
    chmod: () => chmodSync(path, below(2) === 0 ? 0o700 : 0o711),
    utimes: () => utimesSync(path, below(1_000_000), below(1_000_000)),
    'a directory for a file': () => {
      rmSync(path, { recursive: true });
      mkdirSync(path);
      writeFileSync(join(path, 'inside'), 'x');
    },
    'a file for a directory': () => {
      rmSync(path, { recursive: true });
      writeFileSync(path, 'was a directory');
    },
    'the same tree again': () => {
      rmSync(path, { recursive: true });
      mkdirSync(join(path, 'a/b'), { recursive: true });
      writeFileSync(join(path, 'a/b/c'), 'again');
    },
  };
  const all = Object.keys(kinds);
  const kind = all[below(all.length)] ?? '';
  try {
    kinds[kind]?.();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
  return `${kind} ${path} ${other}`;
}

for (const seed of [1, 2, 3]) {
  treeTest(
    `an index that looks only at changed inodes knows what one that looks at everything does (seed ${seed})`,
    async (tree) => {
      const below = generator(seed);
      const index = new RootIndex();
      tree.changed();
      await contentOf(tree.worker, tree.path, index);
      for (let round = 0; round < 60; round++) {
        const done = Array.from({ length: 1 + below(6) }, () => work(tree, below));
        if (below(4) === 0) await sleep(aTickMs);
        const seen = await contentOf(tree.worker, tree.path, index, tree.changed());
        assert.equal(seen, await tree.whole(), `round ${round}:\n${done.join('\n')}`);
      }
    },
  );
}

treeTest('what changed is all that is looked at, however much there is', async (tree) => {
  mkdirSync(tree.at('many'));
  for (let number = 0; number < 2000; number++) writeFileSync(tree.at(`many/${number}`), 'x');
  mkdirSync(tree.at('few'));
  writeFileSync(tree.at('few/one'), '1');
  await sleep(aTickMs);
  const index = new RootIndex();
  await index.refresh(tree.worker, tree.path, undefined);
  tree.changed();
  writeFileSync(tree.at('few/one'), '2');
  writeFileSync(tree.at('few/two'), '2');
  const { changed, entries } = await index.refresh(tree.worker, tree.path, undefined, {
    inodes: tree.changed(),
  });
  assert.equal(changed.length, 3, 'the directory and both files');
  assert.ok(entries < 10, `${entries} entries looked at`);
  index.seal(undefined);
  assert.equal((await index.refresh(tree.worker, tree.path, undefined, { inodes: [] })).entries, 0);
});

treeTest('an audit names what changed without an inode that says so, and takes it in', async (tree) => {
  mkdirSync(tree.at('kept'));
  for (const name of ['kept/told', 'kept/untold']) writeFileSync(tree.at(name), '1');
  await sleep(aTickMs);
  const index = new RootIndex();
  await contentOf(tree.worker, tree.path, index);
  for (const name of ['kept/told', 'kept/untold']) writeFileSync(tree.at(name), '2');
  const { missed } = await index.refresh(tree.worker, tree.path, undefined, {
    inodes: [lstatSync(tree.at('kept/told'), { bigint: true }).ino],
    audit: true,
  });
  assert.deepEqual(missed, ['kept/untold']);
  assert.equal(await contentOf(tree.worker, tree.path, index, []), await tree.whole());
});

treeTest('a look that fails half way is not relied on: the next one looks at everything', async (tree) => {
  mkdirSync(tree.at('d'));
  const { ino } = lstatSync(tree.at('d'), { bigint: true });
  await sleep(aTickMs);
  const index = new RootIndex();
  await contentOf(tree.worker, tree.path, index);
  rmSync(tree.at('d'), { recursive: true });
  writeFileSync(tree.at('later'), 'x');
  // Only the directory that is gone: its parent is left out.
  await assert.rejects(index.refresh(tree.worker, tree.path, undefined, { inodes: [ino] }), {
    name: 'TreeError',
  });
  assert.equal(await contentOf(tree.worker, tree.path, index, []), await tree.whole());
});
