/**
 * What a version says of an upper: entries, directory objects and their encoding. Equal directories encode to equal bytes,
 * so their hash names them (a Merkle tree). Knows the overlay's marks (whiteout, opaque, redirect), and no file system.
 */

import { z } from 'zod';
import { damaged } from './database.ts';
import { decodeXattrs, encodeXattrs, type EntryMeta, type EntryStat, type Xattr } from './treefs-wire.ts';
import type { ChunkHash } from './chunk-reader.ts';

const typeMask = 0o170000;
const typeDirectory = 0o040000;
const typeFile = 0o100000;
const typeSymlink = 0o120000;
const typeCharacter = 0o020000;
const typeBlock = 0o060000;

const opaqueName = 'trusted.overlay.opaque';
const redirectName = 'trusted.overlay.redirect';
const whiteoutName = 'trusted.overlay.whiteout';
const metacopyName = 'trusted.overlay.metacopy';
export const nlinkName = 'trusted.overlay.nlink';
/** What ties an entry to one mount's inodes; the overlay sets these itself, so a version does not hold them. */
const ties = new Set(['origin', 'impure', 'nlink', 'upper', 'uuid'].map((name) => `trusted.overlay.${name}`));

const baseSchema = z.object({
  kind: z.enum(['none', 'file', 'symlink', 'directory', 'other']),
  mode: z.number(),
  size: z.number(),
  hash: z.string(),
  kept: z.boolean(),
});

/** The developer's own entry at the same path when the session first changed it: what a three-way merge starts from. */
export interface EntryBase {
  readonly kind: 'none' | 'file' | 'symlink' | 'directory' | 'other';
  readonly mode: number;
  readonly size: number;
  /** Hash of a file's content, of a link's target, or of a directory's manifest; hex. */
  readonly hash: string;
  /** Whether the content is kept (files up to 1 MiB, targets, manifests), not only its hash. */
  readonly kept: boolean;
}

/** One entry of an upper. Names, targets and attribute bytes are byte strings (latin1). */
export interface TreeEntry {
  readonly name: string;
  /** With the type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly size: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Encoded list, without ties. */
  readonly xattrs: string;
  /** A file's content (a block list above one block), or a directory's object. Empty for all else. */
  readonly content: ChunkHash;
  readonly target: string;
  /** The first path of a group of hard links; empty for an entry with a single name. */
  readonly link: string;
  /** JSON of EntryBase, or empty. */
  readonly base: string;
}

export type EntryKind = 'file' | 'directory' | 'symlink' | 'other';

export function isDirectory(entry: { readonly mode: number }): boolean {
  return (entry.mode & typeMask) === typeDirectory;
}

export function isFile(entry: { readonly mode: number }): boolean {
  return (entry.mode & typeMask) === typeFile;
}

export function isSymlink(entry: { readonly mode: number }): boolean {
  return (entry.mode & typeMask) === typeSymlink;
}

/** Either form: a character device 0:0, or an empty file with the attribute. */
export function isWhiteout(entry: TreeEntry): boolean {
  if ((entry.mode & typeMask) === typeCharacter) return entry.rdevMajor === 0 && entry.rdevMinor === 0;
  return (
    isFile(entry) && entry.size === 0 && entry.xattrs !== '' && xattrOf(entry, whiteoutName) !== undefined
  );
}

/** A device other than the whiteout: recorded, never made again. */
export function isDevice(entry: TreeEntry): boolean {
  const type = entry.mode & typeMask;
  return type === typeBlock || (type === typeCharacter && !isWhiteout(entry));
}

export function kindOf(entry: { readonly mode: number }): EntryKind {
  if (isDirectory(entry)) return 'directory';
  if (isFile(entry)) return 'file';
  return isSymlink(entry) ? 'symlink' : 'other';
}

/** Hides what the lower has in this directory. ("x" only says that whiteouts of the attribute form may be inside.) */
export function isOpaque(entry: TreeEntry): boolean {
  return entry.xattrs !== '' && xattrOf(entry, opaqueName)?.toString('latin1') === 'y';
}

/** Where in the lower the entry comes from: "/path" from the overlay's root, or a name in the same directory. */
export function redirectOf(entry: TreeEntry): string | undefined {
  return entry.xattrs === '' ? undefined : xattrOf(entry, redirectName)?.toString('latin1');
}

/** Its content is still in the lower. */
export function isMetacopy(entry: TreeEntry): boolean {
  return entry.xattrs !== '' && xattrOf(entry, metacopyName) !== undefined;
}

export function xattrsOf(entry: TreeEntry): Xattr[] {
  return decodeXattrs(Buffer.from(entry.xattrs, 'latin1'));
}

/** The attributes that a program in the sandbox sees. */
export function visibleXattrs(xattrs: readonly Xattr[]): string {
  return encodeXattrs(xattrs.filter(({ name }) => !name.startsWith('trusted.overlay.'))).toString('latin1');
}

export function metaOf(entry: TreeEntry): EntryMeta {
  const { mode, uid, gid, mtimeSec, mtimeNsec } = entry;
  return { mode, uid, gid, mtimeSec, mtimeNsec, xattrs: xattrsOf(entry) };
}

export function baseOf(entry: TreeEntry): EntryBase | undefined {
  if (entry.base === '') return undefined;
  const parsed = baseSchema.safeParse(JSON.parse(entry.base));
  if (!parsed.success) throw damaged('A remembered base cannot be read', parsed.error);
  return parsed.data;
}

/** An entry as seen on disk, with what a version leaves out taken away. */
export function entryFrom(
  name: string,
  stat: EntryStat,
  xattrs: readonly Xattr[],
  parts: {
    readonly content?: ChunkHash;
    readonly target?: string;
    readonly base?: string;
    readonly link?: string;
  },
): TreeEntry {
  const { mode, uid, gid, mtimeSec, mtimeNsec, rdevMajor, rdevMinor } = stat;
  const kept = xattrs.filter((xattr) => !ties.has(xattr.name));
  return {
    name,
    mode,
    uid,
    gid,
    mtimeSec,
    mtimeNsec,
    size: (mode & typeMask) === typeFile ? stat.size : 0,
    rdevMajor,
    rdevMinor,
    xattrs: kept.length ? encodeXattrs(kept).toString('latin1') : '',
    content: parts.content ?? '',
    target: parts.target ?? '',
    link: parts.link ?? '',
    base: parts.base ?? '',
  };
}

/** Equal in everything that a restore would have to write (the base is only remembered). */
export function sameEntry(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.size === b.size &&
    a.rdevMajor === b.rdevMajor &&
    a.rdevMinor === b.rdevMinor &&
    a.xattrs === b.xattrs &&
    a.content === b.content &&
    a.target === b.target &&
    a.link === b.link
  );
}

const fixedBytes = 40;
const formatVersion = 1;

/** A directory object: its entries in byte order of their names. */
export function encodeDirectory(entries: Iterable<TreeEntry>): Buffer {
  const parts: Buffer[] = [Buffer.from([formatVersion])];
  for (const entry of entries) parts.push(encodeEntry(entry));
  return Buffer.concat(parts);
}

export function decodeDirectory(data: Buffer): TreeEntry[] {
  return [...entriesOf(data)];
}

/** One by one: a large directory is many times its bytes when all of its entries are there at once. */
export function* entriesOf(data: Buffer): Generator<TreeEntry> {
  if (data[0] !== formatVersion) throw damaged('A directory object has an unknown format');
  for (let at = 1; at < data.length;) {
    const { entry, end } = decodeEntry(data, at);
    yield entry;
    at = end;
  }
}

export function encodeEntry(entry: TreeEntry): Buffer {
  const texts = [entry.name, entry.xattrs, entry.content, entry.target, entry.link, entry.base];
  let total = fixedBytes;
  for (const text of texts) total += 4 + text.length;
  const data = Buffer.alloc(total);
  data.writeUInt32LE(entry.mode, 0);
  data.writeUInt32LE(entry.uid, 4);
  data.writeUInt32LE(entry.gid, 8);
  data.writeDoubleLE(entry.mtimeSec, 12);
  data.writeUInt32LE(entry.mtimeNsec, 20);
  data.writeDoubleLE(entry.size, 24);
  data.writeUInt32LE(entry.rdevMajor, 32);
  data.writeUInt32LE(entry.rdevMinor, 36);
  let at = fixedBytes;
  for (const text of texts) {
    data.writeUInt32LE(text.length, at);
    data.write(text, at + 4, 'latin1');
    at += 4 + text.length;
  }
  return data;
}

export function decodeEntry(
  data: Buffer,
  start: number,
): { readonly entry: TreeEntry; readonly end: number } {
  let at = start + fixedBytes;
  const text = (): string => {
    if (at + 4 > data.length) throw damaged('A directory object is cut short');
    const length = data.readUInt32LE(at);
    if (at + 4 + length > data.length) throw damaged('A directory object is cut short');
    const value = data.toString('latin1', at + 4, at + 4 + length);
    at += 4 + length;
    return value;
  };
  if (at > data.length) throw damaged('A directory object is cut short');
  const entry = {
    mode: data.readUInt32LE(start),
    uid: data.readUInt32LE(start + 4),
    gid: data.readUInt32LE(start + 8),
    mtimeSec: data.readDoubleLE(start + 12),
    mtimeNsec: data.readUInt32LE(start + 20),
    size: data.readDoubleLE(start + 24),
    rdevMajor: data.readUInt32LE(start + 32),
    rdevMinor: data.readUInt32LE(start + 36),
    name: text(),
    xattrs: text(),
    content: text(),
    target: text(),
    link: text(),
    base: text(),
  };
  return { entry, end: at };
}

/** A large content: its size and the hash of each block; 32 zero bytes stand for a block that is all hole or zeros. */
export interface BlockList {
  readonly size: number;
  readonly blocks: readonly (ChunkHash | undefined)[];
}

const hole = '\0'.repeat(32);

export function encodeBlockList(list: BlockList): Buffer {
  const head = Buffer.alloc(8);
  head.writeDoubleLE(list.size);
  return Buffer.concat([head, Buffer.from(list.blocks.map((block) => block ?? hole).join(''), 'latin1')]);
}

export function decodeBlockList(data: Buffer): BlockList {
  if ((data.length - 8) % 32 !== 0) throw damaged('A block list is cut short');
  const blocks: (ChunkHash | undefined)[] = [];
  for (let at = 8; at < data.length; at += 32) {
    const hash = data.toString('latin1', at, at + 32);
    blocks.push(hash === hole ? undefined : hash);
  }
  return { size: data.readDoubleLE(0), blocks };
}

function xattrOf(entry: TreeEntry, name: string): Buffer | undefined {
  return xattrsOf(entry).find((xattr) => xattr.name === name)?.value;
}
