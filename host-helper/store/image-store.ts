/**
 * Process dumps that are kept: a directory of files each, immutable once kept. Opened as a directory of hard links, so that
 * a restore may write its logs beside them. Knows files and rows, nothing of what is in a dump.
 */

import { randomBytes } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { TurntableError } from '../protocol/errors.ts';
import { explainWriteError } from './chunks.ts';
import { damaged, inTransaction } from './database.ts';
import type { ProcessImageStore } from './store.ts';

/** A kept image that no checkpoint names is spared this long: its checkpoint may be about to be published. */
const unpublishedMs = 15 * 60_000;

export interface ImageDirectories {
  readonly images: string;
  readonly staging: string;
  readonly opened: string;
}

export class DirectoryImages implements ProcessImageStore {
  readonly #database: DatabaseSync;
  readonly #directories: ImageDirectories;
  readonly #open = new Map<string, number>();

  constructor(database: DatabaseSync, directories: ImageDirectories) {
    this.#database = database;
    this.#directories = directories;
  }

  /** At start: what a dead helper staged or opened goes, and images without a row; a row without an image is damage. */
  async recover(): Promise<void> {
    for (const directory of [this.#directories.staging, this.#directories.opened]) {
      for (const name of await readdir(directory))
        await rm(join(directory, name), { recursive: true, force: true });
    }
    const rows = new Set(this.#rows().map(({ id }) => id));
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
      await rename(stagedDirectory, directory);
      moved = true;
      await syncPath(this.#directories.images);
      inTransaction(this.#database, () =>
        this.#database
          .prepare('INSERT INTO image (id, bytes, created) VALUES (?, ?, ?)')
          .run(image, bytesStored, Date.now()),
      );
      return { image, bytesStored };
    } catch (error) {
      await rm(moved ? directory : stagedDirectory, { recursive: true, force: true });
      throw explainWriteError(error);
    }
  }

  async open(image: string): Promise<{ readonly directory: string; release(): Promise<void> }> {
    if (!this.#rows().some(({ id }) => id === image)) {
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
      await linkTree(join(this.#directories.images, image), directory);
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
      await rm(join(this.#directories.images, id), { recursive: true, force: true });
      freed += bytes;
    }
    return freed;
  }

  readonly #startedAt = Date.now() - 1;

  #rows(): { readonly id: string; readonly bytes: number; readonly created: number }[] {
    return this.#database
      .prepare('SELECT id, bytes, created FROM image')
      .all()
      .map((row) => ({
        id: String(row['id']),
        bytes: Number(row['bytes']),
        created: Number(row['created']),
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
