import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOf, type ChunkHash } from '../../../host-helper/store/chunk-reader.ts';
import { encodeBlockList, encodeDirectory, type TreeEntry } from '../../../host-helper/store/file-tree.ts';
import { provenTree } from '../../../host-helper/store/transfer-check.ts';
import { archiveInvalid } from '../../../host-helper/store/transfer-errors.ts';
import { blockBytes, encodeXattrs } from '../../../host-helper/store/treefs-wire.ts';

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

  prove(top: TreeEntry): { readonly entries: number } {
    return provenTree(
      top,
      {
        has: (hash) => this.#objects.has(hash),
        get: (hash) => {
          const data = this.#objects.get(hash);
          if (!data) throw archiveInvalid('something is missing');
          return data;
        },
        contents: true,
      },
      new Map(),
    );
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

test('an honest tree is proven: files, links, whiteouts, large files with holes', () => {
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
  assert.equal(objects.prove(opaque).entries, 8);
});

test('a name that leads out of its folder, or comes twice, is refused', () => {
  for (const names of [['..'], ['.'], [''], ['a/b'], ['a\0'], ['x'.repeat(256)], ['a', 'a'], ['b', 'a']]) {
    const objects = new Objects();
    const top = objects.directory(
      '',
      names.map((name) => objects.file(name, 'x')),
    );
    assert.throws(() => objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(names));
  }
});

test('an entry with impossible numbers, types or links is refused', () => {
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
    assert.throws(() => objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(change));
  }
});

test('overlay marks that tie an entry to other inodes or lead elsewhere are refused', () => {
  for (const [name, value] of [
    ['trusted.overlay.origin', 'x'],
    ['trusted.overlay.metacopy', ''],
    ['trusted.overlay.redirect', '/../../etc'],
    ['trusted.overlay.redirect', '..'],
    ['trusted.other', 'x'],
  ] as const) {
    const objects = new Objects();
    const top = objects.directory('', [objects.file('a', 'x', { xattrs: xattr(name, value) })]);
    assert.throws(() => objects.prove(top), { code: 'archiveInvalid' }, name);
  }
  const objects = new Objects();
  objects.prove(
    objects.directory('', [
      objects.file('a', 'x', { xattrs: xattr('user.mine', 'x') }),
      { ...objects.directory('b', []), xattrs: xattr('trusted.overlay.redirect', '/was/here') },
    ]),
  );
});

test('contents that are missing, or of another size than is said, are refused', () => {
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
    assert.throws(() => objects.prove(top), { code: 'archiveInvalid' }, JSON.stringify(change));
  }
  assert.throws(() => objects.prove(entry({ mode: 0o040755, content: objects.put(Buffer.from([9])) })), {
    code: 'archiveInvalid',
  });
});

test('a small archive cannot unfold into an endless tree', () => {
  const objects = new Objects();
  let inner = objects.directory('a', []);
  // Sixty folders, each of them twice in the next: 2^60 entries.
  for (let count = 0; count < 60; count += 1)
    inner = objects.directory('a', [inner, { ...inner, name: 'b' }]);
  assert.throws(() => objects.prove(inner), { code: 'archiveInvalid' });

  let deep = objects.directory('a', []);
  for (let count = 0; count < 5_000; count += 1) deep = objects.directory('a', [deep]);
  assert.throws(() => objects.prove(deep), { code: 'archiveInvalid' });
});
