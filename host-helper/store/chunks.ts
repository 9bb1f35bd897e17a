/**
 * Contents by hash. Small ones are rows; large ones lie one behind the other in pack files, a pack for each capture that
 * has large contents, so that thousands of files cost one fsync. Owns rows, packs and their removal; knows no versions.
 *
 * Order that survives kill -9: pack written and fsync'd, then the rows that point into it commit. A pack without rows is
 * rubbish and goes at the next start. Space is given back the other way round: rows first, then holes are punched.
 */

import { hash as digest } from 'node:crypto';
import {
  closeSync,
  fsync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { zstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import { damaged, diskFull, inTransaction } from './database.ts';
import type { TreeWorker } from './treefs.ts';

const compressAsync = promisify(zstdCompress);
const fsyncAsync = promisify(fsync);

/** Contents up to this size are rows. */
export const rowBytes = 32 << 10;
/** Small contents beyond this sum in one capture go into its pack: memory stays bounded. */
const pendingRowBytes = 8 << 20;
const compressFromBytes = 256;

/** SHA-256, as latin1 text of 32 characters: compares and maps quickly. */
export type ChunkHash = string;

interface PendingChunk {
  readonly hash: ChunkHash;
  readonly codec: number;
  readonly size: number;
  readonly data: Buffer | undefined;
  readonly offset: number;
  readonly stored: number;
}

interface Located {
  readonly codec: number;
  readonly size: number;
  readonly data: Uint8Array | undefined;
  readonly pack: number | undefined;
  readonly offset: number;
  readonly stored: number;
}

export function hashOf(data: Uint8Array): ChunkHash {
  return digest('sha256', data, 'buffer').toString('latin1');
}

export function hexOf(hash: ChunkHash): string {
  return Buffer.from(hash, 'latin1').toString('hex');
}

export class ChunkStore {
  readonly #database: DatabaseSync;
  readonly #directory: string;
  readonly #worker: TreeWorker;
  readonly #exists: StatementSync;
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #openPacks = new Map<number, number>();
  readonly #packsInUse = new Set<number>();
  #nextPack: number;
  readonly #batches = new Set<ChunkBatch>();
  /** While `sweep` runs: what batches that ended since it began rely on, which must not go. */
  #touched: Set<ChunkHash> | undefined;

  constructor(database: DatabaseSync, directory: string, worker: TreeWorker) {
    this.#database = database;
    this.#directory = directory;
    this.#worker = worker;
    this.#exists = database.prepare('SELECT 1 FROM chunk WHERE hash = ?');
    this.#find = database.prepare('SELECT codec, size, data, pack, offset, stored FROM chunk WHERE hash = ?');
    this.#insert = database.prepare(
      'INSERT OR IGNORE INTO chunk (hash, codec, size, data, pack, offset, stored) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#nextPack = 1 + Math.max(0, ...this.#packFiles());
  }

  has(hash: ChunkHash): boolean {
    return this.#exists.get(Buffer.from(hash, 'latin1')) !== undefined;
  }

  /** Throws `storeDamaged` when the content is missing or is not what its hash says. */
  get(hash: ChunkHash): Buffer {
    const found = this.#locate(hash);
    if (!found) throw damaged(`The content ${hexOf(hash).slice(0, 12)}… is missing from the store`);
    let stored: Buffer;
    if (found.data) stored = Buffer.from(found.data.buffer, found.data.byteOffset, found.data.byteLength);
    else if (found.pack !== undefined) stored = this.#readPack(found.pack, found.offset, found.stored);
    else throw damaged(`The content ${hexOf(hash).slice(0, 12)}… has no place`);
    let data: Buffer;
    try {
      data = found.codec === 1 ? zstdDecompressSync(stored, { maxOutputLength: found.size + 1 }) : stored;
    } catch (error) {
      throw damaged(`The content ${hexOf(hash).slice(0, 12)}… cannot be unpacked`, error);
    }
    if (data.length !== found.size || hashOf(data) !== hash) {
      throw damaged(`The content ${hexOf(hash).slice(0, 12)}… is not what its hash says`);
    }
    return data;
  }

  /** Collects new contents; nothing counts before `commit`. */
  begin(options: { readonly smallAsRows: boolean } = { smallAsRows: true }): ChunkBatch {
    const batch = new ChunkBatch(this, (id) => this.#packPath(id), options.smallAsRows ? pendingRowBytes : 0);
    this.#batches.add(batch);
    return batch;
  }

  /** For ChunkBatch only: it has ended, and a sweep that runs must spare what it relied on. */
  ended(batch: ChunkBatch): void {
    this.#batches.delete(batch);
    if (this.#touched) for (const hash of batch.relied) this.#touched.add(hash);
  }

  /** For ChunkBatch only. */
  takePack(): number {
    const id = this.#nextPack++;
    this.#packsInUse.add(id);
    return id;
  }

  /** For ChunkBatch only. */
  releasePack(id: number): void {
    this.#packsInUse.delete(id);
  }

  /** For ChunkBatch only: rows and `extra` in one transaction. */
  insertAll(chunks: Iterable<PendingChunk>, pack: number | undefined, extra: () => void): void {
    inTransaction(this.#database, () => {
      for (const chunk of chunks) {
        const inPack = chunk.data === undefined;
        this.#insert.run(
          Buffer.from(chunk.hash, 'latin1'),
          chunk.codec,
          chunk.size,
          chunk.data ?? null,
          inPack ? (pack ?? null) : null,
          inPack ? chunk.offset : null,
          chunk.stored,
        );
      }
      extra();
    });
  }

  /** Removes every chunk that is not `live`, in small steps so that captures go on meanwhile. Returns freed bytes. */
  async sweep(mark: () => Promise<ReadonlySet<ChunkHash>>): Promise<number> {
    if (this.#touched) return 0;
    this.#touched = new Set();
    let freed = 0;
    const changedPacks = new Set<number>();
    try {
      const live = await mark();
      const page = this.#database.prepare(
        'SELECT rowid AS id, hash, pack, stored FROM chunk WHERE rowid > ? ORDER BY rowid LIMIT 2000',
      );
      const remove = this.#database.prepare('DELETE FROM chunk WHERE rowid = ?');
      for (let after = 0; ;) {
        const rows = page.all(after);
        if (rows.length === 0) break;
        inTransaction(this.#database, () => {
          for (const row of rows) {
            after = Number(row['id']);
            if (!(row['hash'] instanceof Uint8Array)) continue;
            const hash = Buffer.from(row['hash']).toString('latin1');
            if (live.has(hash) || this.#touched?.has(hash) || this.#reliedOn(hash)) continue;
            remove.run(after);
            freed += Number(row['stored']);
            if (row['pack'] !== null) changedPacks.add(Number(row['pack']));
          }
        });
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#touched = undefined;
    }
    crashPoint('gc:contentsForgotten');
    for (const pack of changedPacks) {
      await this.#shrinkPack(pack);
      crashPoint('gc:packGiven');
    }
    return freed;
  }

  /** At start: packs that no row needs go (a capture that never committed); a pack that is too short is damage. */
  checkPacks(): void {
    const needed = new Map<number, number>();
    const rows = this.#database
      .prepare('SELECT pack, MAX(offset) AS last FROM chunk WHERE pack IS NOT NULL GROUP BY pack')
      .all();
    const at = this.#database.prepare(
      'SELECT MAX(offset + stored) AS end FROM chunk WHERE pack = ? AND offset = ?',
    );
    for (const row of rows) {
      const end = at.get(Number(row['pack']), Number(row['last']));
      needed.set(Number(row['pack']), Number(end?.['end'] ?? 0));
    }
    const present = new Set(this.#packFiles());
    for (const [pack, end] of needed) {
      if (!present.has(pack)) throw damaged(`The pack ${this.#packPath(pack)} is missing`);
      if (statSync(this.#packPath(pack)).size < end)
        throw damaged(`The pack ${this.#packPath(pack)} is too short`);
    }
    for (const pack of present) if (!needed.has(pack)) unlinkSync(this.#packPath(pack));
  }

  close(): void {
    for (const descriptor of this.#openPacks.values()) closeSync(descriptor);
    this.#openPacks.clear();
  }

  #reliedOn(hash: ChunkHash): boolean {
    for (const batch of this.#batches) if (batch.relied.has(hash)) return true;
    return false;
  }

  #locate(hash: ChunkHash): Located | undefined {
    const row = this.#find.get(Buffer.from(hash, 'latin1'));
    if (!row) return undefined;
    return {
      codec: Number(row['codec']),
      size: Number(row['size']),
      data: row['data'] instanceof Uint8Array ? row['data'] : undefined,
      pack: row['pack'] === null ? undefined : Number(row['pack']),
      offset: Number(row['offset'] ?? 0),
      stored: Number(row['stored']),
    };
  }

  #readPack(pack: number, offset: number, length: number): Buffer {
    let descriptor = this.#openPacks.get(pack);
    if (descriptor === undefined) {
      try {
        descriptor = openSync(this.#packPath(pack), 'r');
      } catch (error) {
        throw damaged(`The pack ${this.#packPath(pack)} cannot be opened`, error);
      }
      const mostOpen = 64;
      if (this.#openPacks.size >= mostOpen) this.close();
      this.#openPacks.set(pack, descriptor);
    }
    const data = Buffer.allocUnsafe(length);
    let got = 0;
    while (got < length) {
      const n = readSync(descriptor, data, got, length - got, offset + got);
      if (n === 0) throw damaged(`The pack ${this.#packPath(pack)} is too short`);
      got += n;
    }
    return data;
  }

  async #shrinkPack(pack: number): Promise<void> {
    const rows = this.#database
      .prepare('SELECT offset, stored FROM chunk WHERE pack = ? ORDER BY offset')
      .all(pack);
    const path = this.#packPath(pack);
    if (rows.length === 0) {
      const open = this.#openPacks.get(pack);
      if (open !== undefined) closeSync(open);
      this.#openPacks.delete(pack);
      unlinkSync(path);
      return;
    }
    const gaps: { offset: number; length: number }[] = [];
    let end = 0;
    for (const row of rows) {
      const offset = Number(row['offset']);
      if (offset > end) gaps.push({ offset: end, length: offset - end });
      end = offset + Number(row['stored']);
    }
    const size = statSync(path).size;
    if (size > end) gaps.push({ offset: end, length: size - end });
    await this.#worker.punch(this.#directory, `${pack}.pack`, gaps);
  }

  #packPath(id: number): string {
    return join(this.#directory, `${id}.pack`);
  }

  #packFiles(): number[] {
    const ids: number[] = [];
    for (const name of readdirSync(this.#directory)) {
      const match = /^(\d+)\.pack$/.exec(name);
      if (match) ids.push(Number(match[1]));
    }
    return ids;
  }
}

/** New contents of one capture: all of them count, durable, when `commit` returns, or none. Dispose to give up. */
export class ChunkBatch implements Disposable {
  readonly #store: ChunkStore;
  readonly #pathOf: (id: number) => string;
  readonly #pending = new Map<ChunkHash, PendingChunk>();
  readonly #maxRowBytes: number;
  #rowBytes = 0;
  #pack: { readonly id: number; readonly descriptor: number; size: number; synced: number } | undefined;
  #settled = false;
  /** What this batch found in the store or adds to it: spared by a sweep that runs meanwhile. */
  readonly relied = new Set<ChunkHash>();
  /** Bytes that this batch adds on disk. */
  bytesStored = 0;

  constructor(store: ChunkStore, pathOf: (id: number) => string, maxRowBytes: number) {
    this.#store = store;
    this.#maxRowBytes = maxRowBytes;
    this.#pathOf = pathOf;
  }

  has(hash: ChunkHash): boolean {
    if (!this.#pending.has(hash) && !this.#store.has(hash)) return false;
    this.relied.add(hash);
    return true;
  }

  /** A chunk of this batch that has not been committed. */
  pendingData(hash: ChunkHash): Buffer | undefined {
    const chunk = this.#pending.get(hash);
    if (!chunk?.data) return undefined;
    return chunk.codec === 1 ? zstdDecompressSync(chunk.data) : chunk.data;
  }

  /** Stores a small content, synchronously. */
  put(data: Buffer): ChunkHash {
    const hash = hashOf(data);
    if (this.has(hash)) return hash;
    const packed = data.length >= compressFromBytes ? zstdCompressSync(data) : data;
    this.#keep(hash, data, packed);
    return hash;
  }

  /** Stores a block of a large content; compresses off the main thread. */
  async putBlock(data: Buffer): Promise<ChunkHash> {
    const hash = hashOf(data);
    if (this.has(hash)) return hash;
    const packed = data.length >= compressFromBytes ? await compressAsync(data) : data;
    if (!this.#pending.has(hash)) this.#keep(hash, data, packed);
    return hash;
  }

  /** Nothing new has been put. */
  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }

  /** Makes the pack durable off the main thread: call before `commit`, which would otherwise stand still for it. */
  async flush(): Promise<void> {
    if (!this.#pack || this.#pack.synced === this.#pack.size) return;
    try {
      const { size } = this.#pack;
      await fsyncAsync(this.#pack.descriptor);
      this.#pack.synced = size;
    } catch (error) {
      throw explainWriteError(error);
    }
  }

  /** `extra` runs in the same transaction as the rows. */
  commit(extra: () => void): void {
    try {
      if (this.#pack) {
        if (this.#pack.synced !== this.#pack.size) fsyncSync(this.#pack.descriptor);
        syncDirectory(this.#pathOf(this.#pack.id));
      }
      this.#store.insertAll(this.#pending.values(), this.#pack?.id, extra);
    } catch (error) {
      throw explainWriteError(error);
    }
    this.#settled = true;
    this.#store.ended(this);
    if (this.#pack) {
      closeSync(this.#pack.descriptor);
      this.#store.releasePack(this.#pack.id);
    }
  }

  [Symbol.dispose](): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#store.ended(this);
    if (!this.#pack) return;
    closeSync(this.#pack.descriptor);
    unlinkSync(this.#pathOf(this.#pack.id));
    this.#store.releasePack(this.#pack.id);
  }

  #keep(hash: ChunkHash, data: Buffer, packed: Buffer): void {
    const saves = packed.length < data.length - (data.length >> 4);
    const codec = saves ? 1 : 0;
    const stored = saves ? packed : data;
    const asRow = data.length <= rowBytes && this.#rowBytes + stored.length <= this.#maxRowBytes;
    if (asRow) this.#rowBytes += stored.length;
    const offset = asRow ? 0 : this.#append(stored);
    this.relied.add(hash);
    this.#pending.set(hash, {
      hash,
      codec,
      size: data.length,
      data: asRow ? Buffer.from(stored) : undefined,
      offset,
      stored: stored.length,
    });
    this.bytesStored += stored.length;
  }

  #append(data: Buffer): number {
    try {
      if (!this.#pack) {
        const id = this.#store.takePack();
        this.#pack = { id, descriptor: openSync(this.#pathOf(id), 'wx', 0o600), size: 0, synced: 0 };
      }
      const offset = this.#pack.size;
      for (let at = 0; at < data.length;) {
        at += writeSync(this.#pack.descriptor, data, at, data.length - at, offset + at);
      }
      this.#pack.size += data.length;
      return offset;
    } catch (error) {
      throw explainWriteError(error);
    }
  }
}

/** ENOSPC and its kin become `diskFull`. */
export function explainWriteError(error: unknown): unknown {
  if (error instanceof TurntableError) return error;
  if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT'))
    return diskFull(error);
  return error;
}

/** Makes a new name in the directory of `path` durable. */
export function syncDirectory(path: string): void {
  const descriptor = openSync(join(path, '..'), 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
