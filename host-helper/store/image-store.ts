/**
 * Process dumps that are kept: a directory of files each, immutable once kept. Opened as a directory of hard links, so that
 * a restore may write its logs beside them. Knows files and rows, nothing of what is in a dump.
 */

import { randomBytes } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { Logger } from '../log.ts';
import { explainWriteError, type ChunkHash, type ChunkStore } from './chunks.ts';
import { damaged, inTransaction } from './database.ts';
import { hashesOf, packImage, parsePacked, unpackImage } from './image-pages.ts';
import type { ProcessImageStore } from './store.ts';

/** A kept image that no checkpoint names is spared this long: its checkpoint may be about to be published. */
const unpublishedMs = 15 * 60_000;

/** How many of the newest images stay as the dump wrote them. */
const wholeImages = 2;

export interface ImageDirectories {
  readonly images: string;
  readonly staging: string;
  readonly opened: string;
}

export class DirectoryImages implements ProcessImageStore {
  readonly #database: DatabaseSync;
  readonly #directories: ImageDirectories;
  readonly #chunks: ChunkStore;
  readonly #log: Logger;
  readonly #open = new Map<string, number>();
  readonly #startedAt = Date.now() - 1;
  #packing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(database: DatabaseSync, directories: ImageDirectories, chunks: ChunkStore, log: Logger) {
    this.#database = database;
    this.#directories = directories;
    this.#chunks = chunks;
    this.#log = log;
  }

  /** At start: what a dead helper staged or opened goes, and images without a row; a row without an image is damage. */
  async recover(): Promise<void> {
    for (const directory of [this.#directories.staging, this.#directories.opened]) {
      for (const name of await readdir(directory))
        await rm(join(directory, name), { recursive: true, force: true });
    }
    // A packed image needs no directory; one that is still there was about to be removed.
    const rows = new Set(this.#rows().flatMap(({ id, packed }) => (packed === undefined ? [id] : [])));
    const present = await readdir(this.#directories.images);
    for (const name of present)
      if (!rows.has(name)) await rm(join(this.#directories.images, name), { recursive: true, force: true });
    for (const id of rows) if (!present.includes(id)) throw damaged(`The process image ${id} is missing`);
  }

  async stage(): Promise<string> {
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
    const directory = join(this.#directories.images, image);
    let moved = false;
    try {
      const bytesStored = await makeDurable(stagedDirectory);
      crashPoint('image:synced');
      await rename(stagedDirectory, directory);
      moved = true;
      await syncPath(this.#directories.images);
      crashPoint('image:moved');
      inTransaction(this.#database, () =>
        this.#database
          .prepare('INSERT INTO image (id, bytes, created) VALUES (?, ?, ?)')
          .run(image, bytesStored, Date.now()),
      );
      crashPoint('image:recorded');
      this.#packing = this.#packing.then(() => this.#packOlder());
      return { image, bytesStored };
    } catch (error) {
      await rm(moved ? directory : stagedDirectory, { recursive: true, force: true });
      throw explainWriteError(error);
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
      if (row.packed === undefined) await linkTree(join(this.#directories.images, image), directory);
      else await unpackImage(this.#chunks, parsePacked(row.packed), directory);
    } catch (error) {
      await release();
      throw explainWriteError(error);
    }
    return { directory, release };
  }

  async discard(stagedDirectory: string): Promise<void> {
    this.#checkStaged(stagedDirectory);
    await rm(stagedDirectory, { recursive: true, force: true });
  }

  /** Every packed image's contents, for collection. */
  packedHashes(): ChunkHash[] {
    return this.#rows().flatMap(({ packed }) =>
      packed === undefined ? [] : [...hashesOf(this.#chunks, parsePacked(packed))],
    );
  }

  /** Stops packing and waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#packing;
  }

  /** All but the newest few become pages by content. The newest stay whole: they are what a rewind asks for first. */
  async #packOlder(): Promise<void> {
    const whole = this.#rows().filter(({ packed }) => packed === undefined);
    for (const { id } of whole.slice(0, -wholeImages)) {
      if (this.#closed || (this.#open.get(id) ?? 0) > 0) continue;
      const directory = join(this.#directories.images, id);
      try {
        using batch = this.#chunks.begin({ smallAsRows: false });
        const packed = await packImage(directory, batch);
        await batch.flush();
        crashPoint('pack:read');
        // Somebody opened or removed it meanwhile: another time.
        if ((this.#open.get(id) ?? 0) > 0 || !this.#rows().some((row) => row.id === id)) continue;
        batch.commit(() => {
          this.#database.prepare('UPDATE image SET packed = ? WHERE id = ?').run(JSON.stringify(packed), id);
        });
        crashPoint('pack:committed');
        await rm(directory, { recursive: true, force: true });
        crashPoint('pack:removed');
        this.#log.debug('Packed a process image', { image: id, bytesStored: batch.bytesStored });
      } catch (error) {
        this.#log.warn('A process image could not be packed; it stays whole', { image: id, error });
      }
    }
  }

  /** Removes images that no checkpoint names and nobody has open. Returns freed bytes. */
  async collect(): Promise<number> {
    const named = new Set(
      this.#database
        .prepare('SELECT DISTINCT process_image AS id FROM checkpoint WHERE process_image IS NOT NULL')
        .all()
        .map((row) => String(row['id'])),
    );
    let freed = 0;
    for (const { id, bytes, created } of this.#rows()) {
      const fresh = Date.now() - created < unpublishedMs && created > this.#startedAt;
      if (named.has(id) || (this.#open.get(id) ?? 0) > 0 || fresh) continue;
      inTransaction(this.#database, () => this.#database.prepare('DELETE FROM image WHERE id = ?').run(id));
      crashPoint('gc:imageForgotten');
      await rm(join(this.#directories.images, id), { recursive: true, force: true });
      crashPoint('gc:imageRemoved');
      freed += bytes;
    }
    return freed;
  }

  #rows(): {
    readonly id: string;
    readonly bytes: number;
    readonly created: number;
    readonly packed: string | undefined;
  }[] {
    return this.#database
      .prepare('SELECT id, bytes, created, packed FROM image ORDER BY created, id')
      .all()
      .map((row) => ({
        id: String(row['id']),
        bytes: Number(row['bytes']),
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

/** Every file and directory below, and the directory itself, reaches the disk. Returns bytes. */
async function makeDurable(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += await makeDurable(path);
    else if (entry.isFile()) {
      await syncPath(path);
      bytes += (await lstat(path)).size;
    }
  }
  await syncPath(directory);
  return bytes;
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
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
