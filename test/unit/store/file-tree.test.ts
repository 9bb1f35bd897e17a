import assert from 'node:assert/strict';
import test from 'node:test';
import {
  decodeBlockList,
  decodeDirectory,
  encodeBlockList,
  encodeDirectory,
  entryFrom,
  isOpaque,
  isWhiteout,
  redirectOf,
  visibleXattrs,
  xattrsOf,
  type TreeEntry,
} from '../../../host-helper/store/file-tree.ts';
import { decodeStat, type EntryStat } from '../../../host-helper/store/treefs-wire.ts';

function stat(change: Partial<EntryStat> = {}): EntryStat {
  return { ...decodeStat('\0'.repeat(64)), mode: 0o100644, ...change };
}

function xattr(name: string, value: string): { name: string; value: Buffer } {
  return { name, value: Buffer.from(value) };
}

void test('a directory object comes back as it was, whatever bytes its names hold', () => {
  const entries: TreeEntry[] = [
    entryFrom('a\nb', stat({ size: 2 ** 40, mtimeSec: -5, mtimeNsec: 999_999_999 }), [], {
      content: '\xff'.repeat(32),
    }),
    entryFrom('\xff\xfe', stat({ mode: 0o120777 }), [], { target: '/etc/\xe9' }),
    entryFrom('x', stat({ uid: 4_294_967_294 }), [xattr('user.a', 'b\0c')], { link: 'a/b', base: '{}' }),
  ];
  const encoded = encodeDirectory(entries);
  assert.deepEqual(decodeDirectory(encoded), entries);
  assert.deepEqual(encodeDirectory(decodeDirectory(encoded)), encoded);
});

void test('a directory object that is cut short is damage, never a shorter directory', () => {
  const encoded = encodeDirectory([entryFrom('name', stat(), [], { content: 'c'.repeat(32) })]);
  for (let length = 0; length < encoded.length; length++) {
    if (length === 1) continue; // An empty directory.
    assert.throws(
      () => decodeDirectory(encoded.subarray(0, length)),
      { code: 'storeDamaged' },
      `cut to ${length} bytes`,
    );
  }
});

void test('what ties an entry to one mount is no part of a version, what the overlay means by it is', () => {
  const marks = [
    xattr('trusted.overlay.origin', 'o'),
    xattr('trusted.overlay.impure', 'y'),
    xattr('trusted.overlay.opaque', 'y'),
    xattr('trusted.overlay.redirect', '/old'),
  ];
  const entry = entryFrom('d', stat({ mode: 0o040755 }), [...marks, xattr('user.seen', '1')], {});
  assert.deepEqual(
    xattrsOf(entry).map(({ name }) => name),
    ['trusted.overlay.opaque', 'trusted.overlay.redirect', 'user.seen'],
  );
  assert.equal(isOpaque(entry), true);
  assert.equal(redirectOf(entry), '/old');
  assert.equal(visibleXattrs(xattrsOf(entry)), visibleXattrs([xattr('user.seen', '1')]));
});

void test('both forms of a whiteout are one, and a device is none', () => {
  const character = { mode: 0o020000 };
  assert.equal(isWhiteout(entryFrom('w', stat(character), [], {})), true);
  assert.equal(isWhiteout(entryFrom('w', stat(), [xattr('trusted.overlay.whiteout', '')], {})), true);
  assert.equal(
    isWhiteout(entryFrom('w', stat({ size: 1 }), [xattr('trusted.overlay.whiteout', '')], {})),
    false,
  );
  assert.equal(isWhiteout(entryFrom('w', stat({ ...character, rdevMajor: 1, rdevMinor: 3 }), [], {})), false);
});

void test('a block list keeps its holes', () => {
  const list = { size: 700_000, blocks: ['a'.repeat(32), undefined, 'b'.repeat(32)] };
  assert.deepEqual(decodeBlockList(encodeBlockList(list)), list);
  assert.throws(() => decodeBlockList(encodeBlockList(list).subarray(0, 50)), { code: 'storeDamaged' });
});
