/**
 * Proves that trees from outside are whole and harmless before anything is made of them: names that stay inside, sizes and
 * counts in bounds, every content there, no overlay marks that would lead elsewhere. Reads each object once, however often it
 * is named, and lets others go first now and then; writes nothing.
 */

import type { ChunkHash } from './chunk-reader.ts';
import {
  baseOf,
  decodeBlockList,
  entriesOf,
  isDirectory,
  isFile,
  isSymlink,
  xattrsOf,
  type TreeEntry,
} from './file-tree.ts';
import { Pace } from './pace.ts';
import { archiveInvalid } from './transfer-errors.ts';
import { blockBytes, encodeXattrs, maxPathBytes } from './treefs-wire.ts';

/** No session comes near these; an archive that goes beyond was made to hurt. */
export const chunkedLimits = {
  /** All hashes are in memory, 120 MB for each million. */
  objects: 4_000_000,
  objectBytes: 2 ** 40,
  /** Of one tree, with everything that occurs twice counted twice. */
  entries: 5_000_000,
  treeBytes: 2 ** 40,
  fileBytes: 2 ** 44,
  depth: 1_000,
  /** Folders on the way to an entry, together: they are in memory at once. */
  openBytes: 512 << 20,
} as const;

/** What came with the archive. */
export interface ProofSource {
  /** Throws `archiveInvalid` for what did not. */
  get(hash: ChunkHash): Buffer;
  /** Undefined for what did not come. */
  sizeOf(hash: ChunkHash): number | undefined;
}

/** What a proven directory amounts to. */
export interface TreeProof {
  readonly entries: number;
  /** What a restore would write; the other names of a file count as well. */
  readonly bytes: number;
  /** The longest path below. */
  readonly pathBytes: number;
}

const types = new Set([0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000]);
const typeMask = 0o170000;
/** Marks that a version may carry. All others would tie an entry to inodes of another machine. */
const overlayMarks = new Set(['opaque', 'redirect', 'whiteout', 'whiteouts']);
const otherAttributes = /^(user|security)\.|^system\.posix_acl_(access|default)$/;

export class TreeProver {
  readonly #source: ProofSource;
  readonly #maxOpenBytes: number;
  readonly #pace = new Pace();
  /** Proven with their contents. */
  readonly #directories = new Map<ChunkHash, TreeProof>();
  readonly #lists = new Map<ChunkHash, { readonly size: number; readonly bytes: number }>();
  #openBytes = 0;

  constructor(source: ProofSource, openBytes: number = chunkedLimits.openBytes) {
    this.#source = source;
    this.#maxOpenBytes = openBytes;
  }

  /** `contents` false: those of files are not expected, only directories. Throws `archiveInvalid`. */
  async prove(top: TreeEntry, contents: boolean): Promise<TreeProof> {
    this.#openBytes = 0;
    return await this.#entry(
      top,
      0,
      contents,
      contents ? this.#directories : new Map<ChunkHash, TreeProof>(),
    );
  }

  async #entry(
    entry: TreeEntry,
    depth: number,
    contents: boolean,
    known: Map<ChunkHash, TreeProof>,
  ): Promise<TreeProof> {
    checkEntry(entry);
    this.#checkBase(entry, contents);
    await this.#pace.done(1);
    if (isDirectory(entry)) return await this.#directory(entry.content, depth, contents, known);
    const bytes = isFile(entry) ? this.#content(entry.content, entry.size, contents) : 0;
    return { entries: 1, bytes, pathBytes: 0 };
  }

  async #directory(
    hash: ChunkHash,
    depth: number,
    contents: boolean,
    known: Map<ChunkHash, TreeProof>,
  ): Promise<TreeProof> {
    const found = known.get(hash);
    if (found) return found;
    const data = this.#source.get(hash);
    this.#openBytes += data.length;
    if (depth > chunkedLimits.depth || this.#openBytes > this.#maxOpenBytes)
      throw archiveInvalid('its folders are nested too deep');
    await this.#pace.done(data.length >> 10);
    let total: TreeProof = { entries: 1, bytes: 0, pathBytes: 0 };
    let last = '';
    for (const child of readDirectory(data)) {
      // Byte order, each name once: that also makes equal folders equal objects.
      if (!isName(child.name) || child.name <= last)
        throw archiveInvalid('a folder in it lists an impossible name');
      last = child.name;
      const proof = await this.#entry(child, depth + 1, contents, known);
      total = {
        entries: total.entries + proof.entries,
        bytes: total.bytes + proof.bytes,
        pathBytes: Math.max(total.pathBytes, child.name.length + 1 + proof.pathBytes),
      };
      if (total.entries > chunkedLimits.entries || total.bytes > chunkedLimits.treeBytes)
        throw archiveInvalid('a tree in it is larger than any session can be');
      if (total.pathBytes > maxPathBytes) throw archiveInvalid('a path in it is too long');
    }
    this.#openBytes -= data.length;
    known.set(hash, total);
    return total;
  }

  /** Bytes that a restore would write. */
  #content(hash: ChunkHash, size: number, contents: boolean): number {
    if (!contents) return size;
    const stored = this.#source.sizeOf(hash);
    if (stored === undefined) throw archiveInvalid('a content that it names is missing from it');
    const list = size <= blockBytes ? { size: stored, bytes: stored } : this.#list(hash);
    if (list.size !== size) throw archiveInvalid('a file in it has another size than is said');
    return list.bytes;
  }

  #list(hash: ChunkHash): { readonly size: number; readonly bytes: number } {
    const found = this.#lists.get(hash);
    if (found) return found;
    const { size, blocks } = blocksOf(this.#source.get(hash));
    if (blocks.length !== Math.ceil(size / blockBytes))
      throw archiveInvalid('a file in it has another size than is said');
    let bytes = 0;
    for (const block of blocks) {
      if (block === undefined) continue;
      if (this.#source.sizeOf(block) === undefined)
        throw archiveInvalid('a part of a file is missing from it');
      bytes += blockBytes;
    }
    const proof = { size, bytes };
    this.#lists.set(hash, proof);
    return proof;
  }

  /** What an apply would start from: kept contents must be there, and of the size that is said. */
  #checkBase(entry: TreeEntry, contents: boolean): void {
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
    if (base.kind === 'file') this.#content(hash, base.size, contents);
    else if (this.#source.sizeOf(hash) === undefined)
      throw archiveInvalid('a remembered base is missing from it');
  }
}

function* readDirectory(data: Buffer): Generator<TreeEntry> {
  try {
    yield* entriesOf(data);
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

function blocksOf(data: Buffer): ReturnType<typeof decodeBlockList> {
  try {
    if (data.length >= 8) return decodeBlockList(data);
  } catch (cause) {
    throw archiveInvalid('the parts of a file cannot be read', cause);
  }
  throw archiveInvalid('the parts of a file cannot be read');
}

function isName(name: string): boolean {
  return name !== '' && name.length <= 255 && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}
