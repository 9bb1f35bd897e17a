/**
 * File versions as stored: an id, and for each root the entry of its upper. Reads directory objects (with a bounded cache)
 * and finds entries by path. Knows nothing of lowers or of what is on disk now.
 */

import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';
import { hashOf, hexOf, type ChunkHash, type ChunkReader } from './chunk-reader.ts';
import { damaged, inTransaction } from './database.ts';
import { decodeDirectory, decodeEntry, encodeEntry, isDirectory, type TreeEntry } from './file-tree.ts';
import type { FileVersionId } from './store.ts';

const rootsSchema = z.array(z.object({ name: z.string(), entry: z.base64() }));
const cachedEntries = 200_000;

/** The entry of each root's upper directory, by root name. */
export type VersionRoots = ReadonlyMap<string, TreeEntry>;

export class VersionStore {
  readonly #database: DatabaseSync;
  readonly #chunks: ChunkReader;
  readonly #directories = new Map<ChunkHash, ReadonlyMap<string, TreeEntry>>();
  #cached = 0;

  constructor(database: DatabaseSync, chunks: ChunkReader) {
    this.#database = database;
    this.#chunks = chunks;
  }

  /** The id and row of a version. Call inside the transaction that makes its objects durable. */
  static describe(roots: VersionRoots): { readonly id: FileVersionId; readonly row: string } {
    const sorted = [...roots].sort(([a], [b]) => (a < b ? -1 : 1));
    const row = JSON.stringify(
      sorted.map(([name, entry]) => ({ name, entry: encodeEntry(entry).toString('base64') })),
    );
    return { id: hexOf(hashOf(Buffer.from(row))), row };
  }

  insert(id: FileVersionId, row: string): void {
    this.#database.prepare('INSERT OR IGNORE INTO version (id, roots) VALUES (?, ?)').run(id, row);
  }

  /** Rows by id, in one transaction. */
  insertAll(rows: ReadonlyMap<FileVersionId, string>): void {
    inTransaction(this.#database, () => {
      for (const [id, row] of rows) this.insert(id, row);
    });
  }

  has(id: FileVersionId): boolean {
    return this.#database.prepare('SELECT 1 FROM version WHERE id = ?').get(id) !== undefined;
  }

  /** Throws `notRestorable` for a version that is not (or no longer) there. */
  roots(id: FileVersionId): VersionRoots {
    const row = this.#database.prepare('SELECT roots FROM version WHERE id = ?').get(id);
    if (!row)
      throw new TurntableError(
        'notRestorable',
        `The file version ${id.slice(0, 12)} is not in the store. Choose another turn.`,
      );
    const parsed = rootsSchema.safeParse(JSON.parse(String(row['roots'])));
    if (!parsed.success) throw damaged(`The file version ${id.slice(0, 12)} cannot be read`, parsed.error);
    return new Map(
      parsed.data.map(({ name, entry }) => [name, decodeEntry(Buffer.from(entry, 'base64'), 0).entry]),
    );
  }

  /** Children of a directory object, by name. */
  directory(hash: ChunkHash): ReadonlyMap<string, TreeEntry> {
    const found = this.#directories.get(hash);
    if (found) return found;
    const entries = new Map(decodeDirectory(this.#chunks.get(hash)).map((entry) => [entry.name, entry]));
    if (this.#cached > cachedEntries) {
      this.#directories.clear();
      this.#cached = 0;
    }
    this.#directories.set(hash, entries);
    this.#cached += entries.size + 1;
    return entries;
  }

  /** The upper's entry at a path below the root, as it lies there (overlay marks included). */
  find(root: TreeEntry, path: string): TreeEntry | undefined {
    let entry: TreeEntry | undefined = root;
    if (path === '') return entry;
    for (const name of path.split('/')) {
      if (!entry || !isDirectory(entry)) return undefined;
      entry = this.directory(entry.content).get(name);
    }
    return entry;
  }

  ids(): string[] {
    return this.#database
      .prepare('SELECT id FROM version')
      .all()
      .map((row) => String(row['id']));
  }

  /** At start: whether every checkpoint's version is there. */
  get allPublished(): boolean {
    const missing = 'SELECT id FROM checkpoint WHERE file_version NOT IN (SELECT id FROM version) LIMIT 1';
    return this.#database.prepare(missing).get() === undefined;
  }

  remove(id: FileVersionId): void {
    this.#database.prepare('DELETE FROM version WHERE id = ?').run(id);
  }
}
