/**
 * Process dumps that are kept: pages by content from the first moment, so that a dump costs what is new in it. The newest few
 * also stay as the dump wrote them, as a cache: they are what a rewind asks for first. Owns rows of images, staged, cached and
 * opened directories; what is in a dump it does not know.
 *
 * Order that survives kill -9: the pack is durable, rows of contents follow, the image's row last. Directories are nothing but
 * caches: all of them go at the next start.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, unlinkSync, type Dirent } from 'node:fs';
import { link, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { Logger } from '../log.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { explainWriteError, type ChunkStore, type PendingChunk } from './chunks.ts';
import { inTransaction } from './database.ts';
import {
  decodeHashes,
  hashBytes,
  isLegacy,
  parsePacked,
  type ImageRoot,
  type LegacyImage,
} from './image-format.ts';
import { NoRoom, rowCostBytes, rowRecordBytes, type PackedDump } from './image-packer.ts';
import type { ImageThread } from './image-thread.ts';
import { legacyHashes, unpackLegacy } from './legacy-images.ts';
import type { ProcessImageStore } from './store.ts';

/** A kept image that no checkpoint names is spared this long: its checkpoint may be about to be published. */
const unpublishedMs = 15 * 60_000;

/** How many of the newest images stay as the dump wrote them, and up to which size together. */
const cachedImages = 4;
const cachedBytes = 1 << 30;

export interface ImageDirectories {
  /** Caches, each named by its image. (Earlier versions kept whole images here.) */
  readonly images: string;
  readonly staging: string;
  readonly opened: string;
}

/** What a collection must spare. */
export interface NeededImages {
  readonly roots: ImageRoot[];
  readonly legacy: readonly ChunkHash[];
}

interface ImageRow {
  readonly id: string;
  readonly created: number;
  /** Undefined for one that an earlier version kept whole. */
  readonly packed: string | undefined;
}

export class PagedImages implements ProcessImageStore {
  readonly #database: DatabaseSync;
  readonly #directories: ImageDirectories;
  readonly #chunks: ChunkStore;
  readonly #thread: ImageThread;
  readonly #log: Logger;
  readonly #open = new Map<string, number>();
  readonly #held = new Set<string>();
  /** Images with a cache, oldest first, and its bytes. */
  readonly #cached = new Map<string, number>();
  readonly #startedAt = Date.now() - 1;
  #renewing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    database: DatabaseSync,
    directories: ImageDirectories,
    chunks: ChunkStore,
    thread: ImageThread,
    log: Logger,
  ) {
    this.#database = database;
    this.#directories = directories;
    this.#chunks = chunks;
    this.#thread = thread;
    this.#log = log;
  }

  /**
   * At start: what a dead helper staged, opened or cached goes: what a cache holds has perhaps not reached the disk. Images of
   * earlier versions begin to be kept anew.
   */
  async recover(): Promise<void> {
    const rows = this.#rows();
    const whole = new Set(rows.flatMap(({ id, packed }) => (packed === undefined ? [id] : [])));
    const { images, staging, opened } = this.#directories;
    for (const directory of [images, staging, opened]) {
      for (const name of await readdir(directory)) {
        if (directory === images && whole.has(name)) continue;
        await rm(join(directory, name), { recursive: true, force: true });
      }
    }
    const old = rows.filter(({ packed }) => packed === undefined || isLegacy(parsePacked(packed)));
    if (old.length) this.#renewing = this.#renew(old);
  }

  /** At start: whether what earlier versions kept whole is there. */
  get allPresent(): boolean {
    return wholeImages(this.#database, this.#directories).every((path) => existsSync(path));
  }

  async stage(): Promise<string> {
    if (this.#chunks.room().packs <= 0) throw this.#chunks.noRoom();
    const directory = join(this.#directories.staging, newId());
    try {
      await mkdir(directory, { mode: 0o700 });
    } catch (error) {
      throw explainWriteError(error);
    }
    return directory;
  }

  async keep(stagedDirectory: string): Promise<{ readonly image: string; readonly bytesStored: number }> {
    this.#checkStaged(stagedDirectory);
    const image = newId();
    try {
      const { bytesStored, imageBytes } = await this.#pack(stagedDirectory, (packed) => {
        this.#database
          .prepare('INSERT INTO image (id, bytes, created, packed) VALUES (?, ?, ?, ?)')
          .run(image, packed.imageBytes, Date.now(), JSON.stringify(rootOf(packed)));
      });
      await this.#cache(image, stagedDirectory, imageBytes);
      return { image, bytesStored };
    } catch (error) {
      await rm(stagedDirectory, { recursive: true, force: true });
      throw error instanceof NoRoom ? this.#chunks.noRoom() : explainWriteError(error);
    }
  }

  async open(image: string): Promise<{ readonly directory: string; release(): Promise<void> }> {
    const row = this.#rows().find(({ id }) => id === image);
    if (!row) {
      throw new TurntableError(
        'notRestorable',
        `The process image ${image} is not in the store. Rewind the files alone, or choose another turn.`,
      );
    }
    const directory = join(this.#directories.opened, `${image}-${newId()}`);
    this.#open.set(image, (this.#open.get(image) ?? 0) + 1);
    const release = async (): Promise<void> => {
      if (released) return;
      released = true;
      this.#open.set(image, (this.#open.get(image) ?? 1) - 1);
      await rm(directory, { recursive: true, force: true });
    };
    let released = false;
    try {
      if (row.packed === undefined || this.#cached.has(image))
        await linkTree(join(this.#directories.images, image), directory);
      else await this.#unpack(parsePacked(row.packed), directory);
    } catch (error) {
      await release();
      throw explainWriteError(error);
    }
    return { directory, release };
  }

  hold(image: string): Disposable {
    this.#held.add(image);
    return { [Symbol.dispose]: () => void this.#held.delete(image) };
  }

  async discard(stagedDirectory: string): Promise<void> {
    this.#checkStaged(stagedDirectory);
    await rm(stagedDirectory, { recursive: true, force: true });
  }

  /** What the images that have a row need, but for those of `without`. */
  needed(without: ReadonlySet<string> = new Set()): NeededImages {
    const images = this.#rows().flatMap(({ id, packed }) =>
      packed === undefined || without.has(id) ? [] : [parsePacked(packed)],
    );
    return {
      roots: images.flatMap((image) => (isLegacy(image) ? [] : [image])),
      legacy: images.filter(isLegacy).flatMap((image) => [...legacyHashes(this.#chunks, image)]),
    };
  }

  /** Bytes that caches take: the first thing to give up when room is short. */
  get cacheBytes(): number {
    return this.#cached.values().reduce((sum, bytes) => sum + bytes, 0);
  }

  async dropCaches(): Promise<void> {
    await this.#trimCache(0, 0);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#renewing;
  }

  /** Removes images that no checkpoint names and nobody has open or holds. Their contents go with the sweep that follows. */
  async collect(): Promise<void> {
    for (const id of this.unneeded()) {
      inTransaction(this.#database, () => this.#database.prepare('DELETE FROM image WHERE id = ?').run(id));
      crashPoint('gc:imageForgotten');
      await this.#dropCache(id);
      crashPoint('gc:imageRemoved');
    }
  }

  /** Images that `collect` would remove if the checkpoints of `without` were gone. */
  unneeded(without: ReadonlySet<string> = new Set()): string[] {
    const named = new Set(
      this.#database
        .prepare('SELECT id, process_image AS image FROM checkpoint WHERE process_image IS NOT NULL')
        .all()
        .flatMap((row) => (without.has(String(row['id'])) ? [] : [String(row['image'])])),
    );
    return this.#rows()
      .filter(({ id, created }) => {
        const fresh = Date.now() - created < unpublishedMs && created > this.#startedAt;
        return !named.has(id) && !this.#held.has(id) && (this.#open.get(id) ?? 0) === 0 && !fresh;
      })
      .map(({ id }) => id);
  }

  /** Puts what is new of a directory into a pack and makes it count; `publish` runs in the transaction that makes it so. */
  async #pack(
    directory: string,
    publish: (packed: PackedDump) => void,
  ): Promise<{ readonly bytesStored: number; readonly imageBytes: number }> {
    // What the thread finds in the store must stay until the image's row names it.
    using _held = this.#chunks.holdSweep();
    const pack = this.#chunks.takePack();
    const packPath = this.#chunks.packPath(pack);
    let counts = false;
    try {
      const packed = await this.#thread.ask('pack', {
        directory,
        packPath,
        maxBytes: this.#chunks.room().packs,
        whole: this.#chunks.isWhole,
      });
      crashPoint('image:packed');
      const rows = decodeRows(packed.rows);
      if (rows.length) {
        this.#chunks.syncPacks();
        counts = true;
        await this.#chunks.insertPacked(rows, pack);
      }
      crashPoint('image:stored');
      inTransaction(this.#database, () => publish(packed));
      crashPoint('image:recorded');
      this.#chunks.spare(() => decodeHashes(Buffer.from(packed.hashes)));
      const bytesStored = packed.packBytes + rows.length * rowCostBytes;
      this.#chunks.addedBytes += bytesStored;
      return { bytesStored, imageBytes: packed.imageBytes };
    } catch (error) {
      if (!counts) unlinkIfThere(packPath);
      throw error;
    }
  }

  async #unpack(image: ImageRoot | LegacyImage, directory: string): Promise<void> {
    if (isLegacy(image)) await unpackLegacy(this.#chunks, image, directory);
    else await this.#thread.ask('unpack', { image, directory });
  }

  /** Images of earlier versions, whole or with flat lists, become like the others. */
  async #renew(rows: readonly ImageRow[]): Promise<void> {
    for (const { id, packed } of rows) {
      if (this.#closed || (this.#open.get(id) ?? 0) > 0) continue;
      let directory = join(this.#directories.images, id);
      try {
        if (packed !== undefined) {
          directory = join(this.#directories.staging, newId());
          await this.#unpack(parsePacked(packed), directory);
        }
        await this.#pack(directory, (renewed) => {
          this.#database
            .prepare('UPDATE image SET packed = ? WHERE id = ?')
            .run(JSON.stringify(rootOf(renewed)), id);
        });
        // Somebody may be reading it: the next start removes it then.
        if ((this.#open.get(id) ?? 0) === 0) await rm(directory, { recursive: true, force: true });
      } catch (error) {
        this.#log.warn('A process image of an earlier version stays as it is', { image: id, error });
      }
    }
  }

  async #cache(image: string, directory: string, bytes: number): Promise<void> {
    if (bytes > cachedBytes) return rm(directory, { recursive: true, force: true });
    await rename(directory, join(this.#directories.images, image));
    this.#cached.set(image, bytes);
    crashPoint('image:cached');
    await this.#trimCache(cachedImages, cachedBytes);
  }

  async #trimCache(mostImages: number, mostBytes: number): Promise<void> {
    for (const [id] of [...this.#cached]) {
      if (this.#cached.size <= mostImages && this.cacheBytes <= mostBytes) return;
      if ((this.#open.get(id) ?? 0) > 0) continue;
      await this.#dropCache(id);
    }
  }

  async #dropCache(image: string): Promise<void> {
    this.#cached.delete(image);
    await rm(join(this.#directories.images, image), { recursive: true, force: true });
  }

  #rows(): ImageRow[] {
    return this.#database
      .prepare('SELECT id, created, packed FROM image ORDER BY created, id')
      .all()
      .map((row) => ({
        id: String(row['id']),
        created: Number(row['created']),
        packed: row['packed'] === null ? undefined : String(row['packed']),
      }));
  }

  #checkStaged(directory: string): void {
    if (dirname(directory) !== this.#directories.staging) {
      throw new TurntableError('internal', `${basename(directory)} was not staged by this store.`);
    }
  }
}

/** Directories of images that an earlier version kept whole and that have not been kept anew. */
export function wholeImages(database: DatabaseSync, { images }: ImageDirectories): string[] {
  return database
    .prepare('SELECT id FROM image WHERE packed IS NULL')
    .all()
    .map((row) => join(images, String(row['id'])));
}

function rootOf({ manifest, root }: PackedDump): ImageRoot {
  return { format: 2, manifest, root };
}

function decodeRows(records: Uint8Array): PendingChunk[] {
  const data = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
  const rows: PendingChunk[] = [];
  for (let at = 0; at < data.length; at += rowRecordBytes) {
    rows.push({
      hash: data.toString('latin1', at, at + hashBytes),
      codec: data.readUInt32LE(at + hashBytes),
      size: data.readUInt32LE(at + hashBytes + 4),
      stored: data.readUInt32LE(at + hashBytes + 8),
      offset: data.readDoubleLE(at + hashBytes + 12),
      data: undefined,
    });
  }
  return rows;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

async function linkTree(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  const entries: Dirent[] = await readdir(from, { withFileTypes: true });
  for (const entry of entries) {
    if (entry.isDirectory()) await linkTree(join(from, entry.name), join(to, entry.name));
    else await link(join(from, entry.name), join(to, entry.name));
  }
}

function newId(): string {
  return randomBytes(12).toString('hex');
}
