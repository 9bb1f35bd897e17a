import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOf, type ChunkHash } from '../../../host-helper/store/chunk-reader.ts';
import { encodeBlockList, encodeDirectory, type TreeEntry } from '../../../host-helper/store/file-tree.ts';
import { TreeProver, type TreeProof } from '../../../host-helper/store/transfer-check.ts';
import { archiveInvalid } from '../../../host-helper/store/transfer-errors.ts';
import { blockBytes, encodeXattrs } from '../../../host-helper/store/treefs-wire.ts';
import { Others } from './others.ts';

/** Objects as an archive brings them. */
class Objects {
  readonly #objects = new Map<ChunkHash, Buffer>();

  put(data: Buffer): ChunkHash {
    const hash = hashOf(data);
    this.#objects.set(hash, data);
    return hash;
  }

  directory(name: string, entries: readonly TreeEntry[]): TreeEntry {
    return entry({ name, mode: 0o040755, content: this.put(encodeDirectory(entries)) });
  }

  file(name: string, text: string, change: Partial<TreeEntry> = {}): TreeEntry {
    const data = Buffer.from(text);
    return entry({ name, mode: 0o100644, size: data.length, content: this.put(data), ...change });
  }

  /** How often an object was read. */
  reads = 0;
  readonly prover: TreeProver;

  constructor(openBytes?: number) {
    const get = (hash: ChunkHash): Buffer => {
      const data = this.#objects.get(hash);
      if (!data) throw archiveInvalid('something is missing');
      this.reads += 1;
      return data;
    };
    this.prover = new TreeProver({ get, sizeOf: (hash) => this.#objects.get(hash)?.length }, openBytes);
  }

  prove(top: TreeEntry): Promise<TreeProof> {
    return this.prover.prove(top, true);
  }
}

function entry(change: Partial<TreeEntry>): TreeEntry {
  return {
    name: '',
    mode: 0o100644,
    uid: 0,
    gid: 0,
    mtimeSec: 1,
    mtimeNsec: 0,
    size: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    xattrs: '',
    content: '',
    target: '',
    link: '',
    base: '',
    ...change,
  };
}

function xattr(name: string, value: string): string {
  return encodeXattrs([{ name, value: Buffer.from(value) }]).toString('latin1');
}

test('an honest tree is proven: files, links, whiteouts, large files with holes', async () => {
  const objects = new Objects();
  const block = objects.put(Buffer.alloc(blockBytes, 1));
  const large = encodeBlockList({ size: 2 * blockBytes + 1, blocks: [block, undefined, block] });
  const top = objects.directory('', [
    objects.file('a', 'text', { link: 'a' }),
    entry({ name: 'b', mode: 0o120777, target: '../anywhere' }),
    entry({ name: 'c', mode: 0o020000 }),
    objects.directory('d', [objects.file('x', '')]),
    entry({ name: 'e', size: 2 * blockBytes + 1, content: objects.put(large) }),
    objects.directory('f', []),
  ]);
  const opaque = { ...top, xattrs: xattr('trusted.overlay.opaque', 'y') };
  assert.equal((await objects.prove(opaque)).entries, 8);
});

test('a name that leads out of its folder, or comes twice, is refused', async () => {
  for (const names of [['..'], ['.'], [''], ['a/b'], ['a\0'], ['x'.repeat(256)], ['a', 'a'], ['b', 'a']]) {
    const objects = new Objects();
    const top = objects.directory(
      '',
      names.map((name) => objects.file(name, 'x')),
    );
    await assert.rejects(objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(names));
  }
});

test('an entry with impossible numbers, types or links is refused', async () => {
  for (const change of [
    { mode: 0o170644 },
    { mode: 0o3100644 },
    { mtimeSec: Number.NaN },
    { mtimeSec: 2 ** 60 },
    { mtimeNsec: 1e9 },
    { size: -1 },
    { size: 2 ** 50 },
    { link: '../outside' },
    { link: '/etc/passwd' },
    { target: 'a file has none' },
    { mode: 0o120777, target: '' },
  ] satisfies Partial<TreeEntry>[]) {
    const objects = new Objects();
    const top = objects.directory('', [objects.file('a', 'x', change)]);
    await assert.rejects(objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(change));
  }
});

test('overlay marks that tie an entry to other inodes or lead elsewhere are refused', async () => {
  for (const [name, value] of [
    ['trusted.overlay.origin', 'x'],
    ['trusted.overlay.metacopy', ''],
    ['trusted.overlay.redirect', '/../../etc'],
    ['trusted.overlay.redirect', '..'],
    ['trusted.other', 'x'],
  ] as const) {
    const objects = new Objects();
    const top = objects.directory('', [objects.file('a', 'x', { xattrs: xattr(name, value) })]);
    await assert.rejects(objects.prove(top), { code: 'archiveInvalid' }, name);
  }
  const objects = new Objects();
  await objects.prove(
    objects.directory('', [
      objects.file('a', 'x', { xattrs: xattr('user.mine', 'x') }),
      { ...objects.directory('b', []), xattrs: xattr('trusted.overlay.redirect', '/was/here') },
    ]),
  );
});

test('contents that are missing, or of another size than is said, are refused', async () => {
  const objects = new Objects();
  const block = objects.put(Buffer.alloc(blockBytes, 1));
  const size = 2 * blockBytes;
  const refused: Partial<TreeEntry>[] = [
    { content: 'z'.repeat(32), size: 1 },
    { content: objects.put(Buffer.from('four')), size: 5 },
    { content: objects.put(encodeBlockList({ size, blocks: [block] })), size },
    { content: objects.put(encodeBlockList({ size: size + 1, blocks: [block, block] })), size },
    { content: objects.put(encodeBlockList({ size, blocks: [block, 'z'.repeat(32)] })), size },
    { content: objects.put(Buffer.from('no list')), size },
    { base: '{"kind":"file","mode":1,"size":4,"hash":"zz","kept":true}' },
    { base: `{"kind":"file","mode":1,"size":4,"hash":"${'0'.repeat(64)}","kept":true}` },
    { base: 'no json' },
  ];
  for (const change of refused) {
    const top = objects.directory('', [objects.file('a', 'x', change)]);
    await assert.rejects(objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(change));
  }
  await assert.rejects(objects.prove(entry({ mode: 0o040755, content: objects.put(Buffer.from([9])) })), {
    code: 'archiveInvalid',
  });
});

test('a small archive cannot unfold into an endless tree', async () => {
  const objects = new Objects();
  let inner = objects.directory('a', []);
  // Sixty folders, each of them twice in the next: 2^60 entries.
  for (let count = 0; count < 60; count += 1)
    inner = objects.directory('a', [inner, { ...inner, name: 'b' }]);
  await assert.rejects(objects.prove(inner), { code: 'archiveInvalid' });

  let deep = objects.directory('a', []);
  for (let count = 0; count < 5_000; count += 1) deep = objects.directory('a', [deep]);
  await assert.rejects(objects.prove(deep), { code: 'archiveInvalid' });
});

test('what is named a thousand times is read once, and others go first now and then', async () => {
  const objects = new Objects();
  const block = objects.put(Buffer.alloc(blockBytes, 1));
  const size = 2 * blockBytes;
  const list = objects.put(encodeBlockList({ size, blocks: [block, block] }));
  const names = Array.from({ length: 10_000 }, (_each, at) => `${at}`.padStart(5, '0'));
  const top = objects.directory(
    '',
    names.map((name, at) =>
      at % 2 === 0 ? entry({ name, size, content: list }) : entry({ name, size: blockBytes, content: block }),
    ),
  );
  using others = new Others();
  const { bytes } = await objects.prove(top);
  assert.equal(bytes, 5_000 * size + 5_000 * blockBytes);
  assert.equal(objects.reads, 2, 'the folder and the list');
  assert.ok(others.turns >= 10, `others had ${others.turns} turns`);
  await objects.prove({ ...top, mode: 0o040700 });
  assert.equal(objects.reads, 2);
});

test('folders that are open at once are bounded in bytes, not all there are', async () => {
  const objects = new Objects(10_000);
  const folder = (name: string, below: readonly TreeEntry[]): TreeEntry =>
    objects.directory(name, [
      objects.file('a', name, { xattrs: xattr('user.bulk', 'x'.repeat(4_000)) }),
      ...below,
    ]);
  const beside = ['b', 'c', 'd', 'e'].map((name) => folder(name, []));
  await objects.prove(objects.directory('', beside));
  const nested = folder('', [folder('x', [folder('y', [])])]);
  await assert.rejects(objects.prove(nested), { code: 'archiveInvalid', message: /nested too deep/ });
});
