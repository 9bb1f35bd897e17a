/**
 * Proves that a tree from outside is whole and harmless before anything is made of it: names that stay inside, sizes and
 * counts in bounds, every content there, no overlay marks that would lead elsewhere. Reads objects; writes nothing.
 */

import type { ChunkHash } from './chunk-reader.ts';
import {
  baseOf,
  decodeBlockList,
  decodeDirectory,
  isDirectory,
  isFile,
  isSymlink,
  xattrsOf,
  type TreeEntry,
} from './file-tree.ts';
import { archiveInvalid } from './transfer-errors.ts';
import { blockBytes, encodeXattrs, maxPathBytes } from './treefs-wire.ts';

/** No session comes near these; an archive that goes beyond was made to hurt. */
export const chunkedLimits = {
  objects: 20_000_000,
  objectBytes: 2 ** 40,
  /** Of one tree, with everything that occurs twice counted twice. */
  entries: 5_000_000,
  treeBytes: 2 ** 40,
  fileBytes: 2 ** 44,
  depth: 1_000,
} as const;

export interface ProofSource {
  get(hash: ChunkHash): Buffer;
  has(hash: ChunkHash): boolean;
  /** False: contents of files are not expected, only directories. */
  readonly contents: boolean;
}

/** What a proven directory amounts to. */
export interface TreeProof {
  readonly entries: number;
  readonly bytes: number;
  /** The longest path below. */
  readonly pathBytes: number;
}

const types = new Set([0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000]);
const typeMask = 0o170000;
/** Marks that a version may carry. All others would tie an entry to inodes of another machine. */
const overlayMarks = new Set(['opaque', 'redirect', 'whiteout', 'whiteouts']);
const otherAttributes = /^(user|security)\.|^system\.posix_acl_(access|default)$/;

/** Throws `archiveInvalid`. `proofs` remembers directories across trees (with contents only). */
export function provenTree(
  top: TreeEntry,
  source: ProofSource,
  proofs: Map<ChunkHash, TreeProof>,
): TreeProof {
  const known = source.contents ? proofs : new Map<ChunkHash, TreeProof>();
  const visit = (entry: TreeEntry, depth: number): TreeProof => {
    checkEntry(entry);
    checkBase(entry, source);
    if (isFile(entry))
      return { entries: 1, bytes: checkContent(entry.content, entry.size, source), pathBytes: 0 };
    if (!isDirectory(entry)) return { entries: 1, bytes: 0, pathBytes: 0 };
    if (depth > chunkedLimits.depth) throw archiveInvalid('its folders are nested too deep');
    const found = known.get(entry.content);
    if (found) return found;
    let total: TreeProof = { entries: 1, bytes: 0, pathBytes: 0 };
    let last = '';
    for (const child of readDirectory(entry.content, source)) {
      // Byte order, each name once: that also makes equal folders equal objects.
      if (!isName(child.name) || child.name <= last)
        throw archiveInvalid('a folder in it lists an impossible name');
      last = child.name;
      const proof = visit(child, depth + 1);
      total = {
        entries: total.entries + proof.entries,
        bytes: total.bytes + proof.bytes,
        pathBytes: Math.max(total.pathBytes, child.name.length + 1 + proof.pathBytes),
      };
      if (total.entries > chunkedLimits.entries || total.bytes > chunkedLimits.treeBytes)
        throw archiveInvalid('a tree in it is larger than any session can be');
      if (total.pathBytes > maxPathBytes) throw archiveInvalid('a path in it is too long');
    }
    known.set(entry.content, total);
    return total;
  };
  return visit(top, 0);
}

function readDirectory(hash: ChunkHash, source: ProofSource): TreeEntry[] {
  const data = source.get(hash);
  try {
    return decodeDirectory(data);
  } catch (cause) {
    throw archiveInvalid('a folder in it cannot be read', cause);
  }
}

function checkEntry(entry: TreeEntry): void {
  const { mode, mtimeSec, mtimeNsec, size, target, link } = entry;
  const sound =
    types.has(mode & typeMask) &&
    mode <= 0o177777 &&
    Number.isSafeInteger(mtimeSec) &&
    Math.abs(mtimeSec) < 2 ** 40 &&
    mtimeNsec < 1e9 &&
    Number.isSafeInteger(size) &&
    size >= 0 &&
    size <= chunkedLimits.fileBytes &&
    target.length < 4096 &&
    !target.includes('\0') &&
    (isSymlink(entry) ? target !== '' : target === '') &&
    (link === '' || (isFile(entry) && link.length <= maxPathBytes && link.split('/').every(isName)));
  if (!sound) throw archiveInvalid('an entry in it is impossible');
  if (entry.xattrs !== '') checkAttributes(entry);
}

function checkAttributes(entry: TreeEntry): void {
  const attributes = xattrsOf(entry);
  if (encodeXattrs(attributes).toString('latin1') !== entry.xattrs)
    throw archiveInvalid('attributes in it cannot be read');
  for (const { name, value } of attributes) {
    const mark = /^trusted\.overlay\.(.+)$/.exec(name)?.[1];
    const allowed = mark === undefined ? otherAttributes.test(name) : overlayMarks.has(mark);
    const led = mark === 'redirect' && !value.toString('latin1').replace(/^\//, '').split('/').every(isName);
    if (!allowed || led || name.includes('\0'))
      throw archiveInvalid(
        `an entry in it carries an attribute that is not taken over (${JSON.stringify(name)})`,
      );
  }
}

/** Bytes that a restore would write. */
function checkContent(hash: ChunkHash, size: number, source: ProofSource): number {
  if (!source.contents) return size;
  if (!source.has(hash)) throw archiveInvalid('a content that it names is missing from it');
  if (size <= blockBytes) {
    if (source.get(hash).length !== size) throw archiveInvalid('a file in it has another size than is said');
    return size;
  }
  const list = blocksOf(source.get(hash));
  if (list.size !== size || list.blocks.length !== Math.ceil(size / blockBytes))
    throw archiveInvalid('a file in it has another size than is said');
  let bytes = 0;
  for (const block of list.blocks) {
    if (block === undefined) continue;
    if (!source.has(block)) throw archiveInvalid('a part of a file is missing from it');
    bytes += blockBytes;
  }
  return bytes;
}

function blocksOf(data: Buffer): ReturnType<typeof decodeBlockList> {
  try {
    if (data.length >= 8) return decodeBlockList(data);
  } catch (cause) {
    throw archiveInvalid('the parts of a file cannot be read', cause);
  }
  throw archiveInvalid('the parts of a file cannot be read');
}

/** What an apply would start from: kept contents must be there, and of the size that is said. */
function checkBase(entry: TreeEntry, source: ProofSource): void {
  if (entry.base === '') return;
  let base: ReturnType<typeof baseOf>;
  try {
    base = baseOf(entry);
  } catch (cause) {
    throw archiveInvalid('a remembered base in it cannot be read', cause);
  }
  if (!base?.kept) return;
  if (!/^[0-9a-f]{64}$/.test(base.hash)) throw archiveInvalid('a remembered base in it cannot be read');
  const hash = Buffer.from(base.hash, 'hex').toString('latin1');
  if (base.kind === 'file') checkContent(hash, base.size, source);
  else source.get(hash);
}

function isName(name: string): boolean {
  return name !== '' && name.length <= 255 && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}
