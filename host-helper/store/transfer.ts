/**
 * Versions, folders and process images as objects that leave for another store, or come in from one that nobody vouches for.
 * Owns what is needed, in which form, and that nothing counts before it was proven. Knows no archive format and no sessions.
 */

import { chunkedLimits, TreeProver } from './transfer-check.ts';
import type { ChunkBatch, ChunkStore } from './chunks.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { hashOf } from './chunk-reader.ts';
import {
  baseOf,
  decodeBlockList,
  decodeEntry,
  encodeEntry,
  isDirectory,
  isFile,
  isWhiteout,
  kindOf,
  type TreeEntry,
} from './file-tree.ts';
import type {
  FileStatus,
  FileVersionId,
  ImageFiles,
  IncomingFolder,
  IncomingObjects,
  ObjectTaker,
  StoreObject,
  StoreTransfer,
  TreeTop,
} from './store.ts';
import { Pace } from './pace.ts';
import { compareFolder, fillFolder, readFolder } from './transfer-folder.ts';
import { readImage, writeImage } from './transfer-image.ts';
import { archiveInvalid } from './transfer-errors.ts';
import type { TreeWorker } from './treefs.ts';
import { blockBytes, byteName } from './treefs-wire.ts';
import { VersionStore } from './versions.ts';

/** So many objects come into the database in one step: the helper stands still for no longer. */
const batchObjects = 4_000;
/** Larger ones are compressed off the main thread. */
const largeBytes = 64 << 10;

export class ObjectTransfer implements StoreTransfer {
  readonly form = `directory-1 block-${blockBytes}`;
  readonly #worker: TreeWorker;
  readonly #chunks: ChunkStore;
  readonly #versions: VersionStore;

  constructor(worker: TreeWorker, chunks: ChunkStore, versions: VersionStore) {
    this.#worker = worker;
    this.#chunks = chunks;
    this.#versions = versions;
  }

  tops(version: FileVersionId): readonly TreeTop[] {
    return [...this.#versions.roots(version)].map(([name, entry]) => ({ name, entry: encoded(entry) }));
  }

  async sendVersion(version: FileVersionId, taker: ObjectTaker): Promise<void> {
    const send = async (hash: ChunkHash): Promise<Buffer | undefined> => {
      if (taker.has(hash)) return undefined;
      const data = this.#chunks.get(hash);
      await taker.take({ hash, data });
      return data;
    };
    const content = async (hash: ChunkHash, size: number): Promise<void> => {
      const data = await send(hash);
      if (!data || size <= blockBytes) return;
      for (const block of decodeBlockList(data).blocks) if (block) await send(block);
    };
    const waiting: TreeEntry[] = [...this.#versions.roots(version).values()];
    for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
      if (isDirectory(entry)) {
        // A directory that has been sent was sent with all below it.
        if ((await send(entry.content)) !== undefined)
          waiting.push(...this.#versions.directory(entry.content).values());
      } else if (isFile(entry)) await content(entry.content, entry.size);
      const base = baseOf(entry);
      if (base?.kept)
        await content(Buffer.from(base.hash, 'hex').toString('latin1'), base.kind === 'file' ? base.size : 0);
    }
  }

  async sendFolder(
    folder: string,
    masked: readonly string[],
    taker: ObjectTaker | undefined,
    contents: boolean,
  ): Promise<{ readonly top: TreeTop; readonly warnings: readonly string[] }> {
    const { entry, warnings } = await readFolder(this.#worker, folder, { masked, taker, contents });
    return { top: { name: 'folder', entry: encoded(entry) }, warnings };
  }

  async sendImage(directory: string, taker: ObjectTaker): Promise<ImageFiles> {
    return await readImage(directory, taker);
  }

  kindAt(version: FileVersionId, root: string, path: string): FileStatus['kind'] | 'whiteout' | undefined {
    const top = this.#versions.roots(version).get(root);
    return top && kindIn(this.#versions, top, path);
  }

  incoming(): IncomingObjects {
    return new Incoming(this.#worker, this.#chunks, this.#versions);
  }
}

class Incoming implements IncomingObjects {
  readonly #worker: TreeWorker;
  readonly #chunks: ChunkStore;
  readonly #versions: VersionStore;
  /** Holds what is committed already: a collection that runs meanwhile spares it. */
  readonly #guard: ChunkBatch;
  /** What came, and its size. */
  readonly #known = new Map<ChunkHash, number>();
  readonly #prover = new TreeProver({
    get: (hash) => this.#get(hash),
    sizeOf: (hash) => this.#known.get(hash),
  });
  readonly #pace = new Pace();
  /** Proven versions. */
  readonly #rows = new Map<FileVersionId, string>();
  #batch: ChunkBatch;
  #inBatch: ChunkHash[] = [];
  #bytes = 0;

  constructor(worker: TreeWorker, chunks: ChunkStore, versions: VersionStore) {
    this.#worker = worker;
    this.#chunks = chunks;
    this.#versions = versions;
    this.#guard = chunks.begin();
    this.#batch = chunks.begin();
  }

  async put({ hash, data }: StoreObject): Promise<void> {
    await this.#pace.done(1 + (data.length >> 10));
    if (hashOf(data) !== hash) throw archiveInvalid('one of its contents is not what its hash says');
    if (this.#known.has(hash)) return;
    this.#bytes += data.length;
    if (this.#known.size >= chunkedLimits.objects || this.#bytes > chunkedLimits.objectBytes)
      throw archiveInvalid('it holds more than any session can');
    this.#known.set(hash, data.length);
    if (data.length > largeBytes) await this.#batch.putBlock(data);
    else this.#batch.put(data);
    this.#inBatch.push(hash);
    if (this.#inBatch.length >= batchObjects) {
      await this.seal();
      this.#batch = this.#chunks.begin();
    }
  }

  async seal(): Promise<void> {
    await this.#batch.flush();
    this.#batch.commit(() => {});
    // In the same step as the commit: no collection gets in between.
    for (const hash of this.#inBatch) this.#guard.relied.add(hash);
    this.#inBatch = [];
  }

  async version(tops: readonly TreeTop[]): Promise<{ readonly id: FileVersionId; readonly bytes: number }> {
    const roots = new Map(tops.map(({ name, entry }) => [name, decoded(entry)]));
    if (roots.size !== tops.length) throw archiveInvalid('a file version names a root twice');
    let bytes = 0;
    for (const entry of roots.values()) bytes += (await this.#prover.prove(entry, true)).bytes;
    const { id, row } = VersionStore.describe(roots);
    this.#rows.set(id, row);
    return { id, bytes };
  }

  publish(): void {
    this.#versions.insertAll(this.#rows);
  }

  async folder(top: TreeTop, contents: boolean): Promise<IncomingFolder> {
    const entry = decoded(top.entry);
    const { bytes } = await this.#prover.prove(entry, contents);
    return {
      bytes,
      differences: (folder, masked, most) =>
        compareFolder(this.#worker, this.#versions, folder, masked, entry, most),
      fill: (folder, owner) => fillFolder(this.#worker, this.#chunks, this.#versions, folder, entry, owner),
    };
  }

  async writeImage(files: ImageFiles, directory: string): Promise<void> {
    await writeImage(files, directory, (hash) => this.#get(hash));
  }

  isBlocked(tops: readonly TreeTop[], root: string, path: string): boolean {
    const top = tops.find(({ name }) => name === root);
    let entry = top && decoded(top.entry);
    for (const name of byteName(path).split('/')) {
      entry = entry && this.#versions.directory(entry.content).get(name);
      if (!entry) return false;
      if (!isDirectory(entry)) return true;
    }
    return false;
  }

  [Symbol.dispose](): void {
    this.#batch[Symbol.dispose]();
    this.#guard[Symbol.dispose]();
  }

  /** Only what came with this archive: a hash alone must not open what the store holds for others. */
  #get(hash: ChunkHash): Buffer {
    if (!this.#known.has(hash)) throw archiveInvalid('something that it names is missing from it');
    return this.#chunks.get(hash);
  }
}

function kindIn(
  versions: VersionStore,
  top: TreeEntry,
  path: string,
): FileStatus['kind'] | 'whiteout' | undefined {
  const entry = versions.find(top, Buffer.from(path, 'utf8').toString('latin1'));
  return entry && (isWhiteout(entry) ? 'whiteout' : kindOf(entry));
}

function encoded(entry: TreeEntry): string {
  return encodeEntry(entry).toString('base64');
}

function decoded(entry: string): TreeEntry {
  const data = Buffer.from(entry, 'base64');
  try {
    const { entry: tree, end } = decodeEntry(data, 0);
    if (end === data.length && isDirectory(tree)) return tree;
  } catch (cause) {
    throw archiveInvalid('the top of a tree cannot be read', cause);
  }
  throw archiveInvalid('the top of a tree is no directory');
}
