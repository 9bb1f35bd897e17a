/**
 * Contents by hash. Small ones are rows; large ones lie one behind the other in pack files, a pack for each capture that
 * has large contents, so that thousands of files cost one fsync. Owns rows, packs and their removal; knows no versions.
 *
 * Order that survives kill -9: pack written and fsync'd, then the rows that point into it commit. A pack without rows is
 * rubbish and goes at the next start. Space is given back the other way round: rows first, then holes are punched.
 */

import { closeSync, fsync, fsyncSync, openSync, readdirSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { zstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import { ChunkReader, hashOf, packPath, rawCodec, zstdCodec, type ChunkHash } from './chunk-reader.ts';
import { diskFull, inTransaction, withoutSync } from './database.ts';
import { noQuota, type Quota, type Room } from './quota.ts';
import type { TreeWorker } from './treefs.ts';

const compressAsync = promisify(zstdCompress);
const fsyncAsync = promisify(fsync);

/** Contents up to this size are rows. */
export const rowBytes = 32 << 10;
/** Small contents beyond this sum in one capture go into its pack: memory stays bounded. */
const pendingRowBytes = 8 << 20;
const compressFromBytes = 256;

/** A content that is about to get a row. Without `data` it lies in a pack. */
export interface PendingChunk {
  readonly hash: ChunkHash;
  readonly codec: number;
  readonly size: number;
  readonly data: Buffer | undefined;
  readonly offset: number;
  readonly stored: number;
}

/** What a sweep must spare: by hash, and by row (a bit each). */
export interface Marked {
  readonly hashes: ReadonlySet<ChunkHash>;
  readonly rows: Uint8Array;
}

export class ChunkStore extends ChunkReader {
  readonly #database: DatabaseSync;
  readonly #directory: string;
  readonly #worker: TreeWorker;
  readonly #insert: StatementSync;
  readonly #replace: StatementSync;
  #nextPack: number;
  #holds = 0;
  #released = Promise.withResolvers<undefined>();
  readonly #quota: Quota;
  /** What has been added since the start. */
  addedBytes = 0;
  readonly #batches = new Set<ChunkBatch>();
  /** While `sweep` runs: what batches that ended since it began rely on, which must not go. */
  #touched: Set<ChunkHash> | undefined;

  constructor(database: DatabaseSync, directory: string, worker: TreeWorker, quota: Quota = noQuota) {
    super(database, directory);
    this.#database = database;
    this.#directory = directory;
    this.#worker = worker;
    this.#quota = quota;
    this.#insert = database.prepare(
      'INSERT OR IGNORE INTO chunk (hash, codec, size, data, pack, offset, stored) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#replace = database.prepare(
      'UPDATE chunk SET codec = ?, size = ?, data = ?, pack = ?, offset = ?, stored = ? WHERE hash = ?',
    );
    // Above every number a row knows, too: a lost pack's must not come back with other contents.
    const rows = database.prepare('SELECT MAX(pack) AS last FROM chunk').get();
    this.#nextPack = 1 + Math.max(0, Number(rows?.['last'] ?? 0), ...this.#packFiles());
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

  /** A number for a new pack. */
  takePack(): number {
    return this.#nextPack++;
  }

  /** For ChunkBatch only: rows and `extra` in one transaction. */
  insertAll(chunks: Iterable<PendingChunk>, pack: number | undefined, extra: () => void): void {
    inTransaction(this.#database, () => {
      for (const chunk of chunks) this.#insertOne(chunk, pack);
      extra();
    });
  }

  /** Nothing is swept until it is disposed: for a reader beside the store, which relies on what it finds there. */
  holdSweep(): Disposable {
    this.#holds++;
    return {
      [Symbol.dispose]: () => {
        if (--this.#holds > 0) return;
        this.#released.resolve(undefined);
        this.#released = Promise.withResolvers();
      },
    };
  }

  /**
   * Makes contents of a pack that is durable already count, some rows at a time so that other work goes on; until something
   * names them the next sweep would take them, so hold it. They are durable themselves with the next transaction of anybody.
   */
  async insertPacked(chunks: readonly PendingChunk[], pack: number): Promise<void> {
    const rowsAtOnce = 500;
    for (let at = 0; at < chunks.length; at += rowsAtOnce) {
      withoutSync(this.#database, () => {
        this.insertAll(chunks.slice(at, at + rowsAtOnce), pack, () => {});
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A sweep that runs must spare these: something that it did not see when it began names them now. */
  spare(hashes: () => Iterable<ChunkHash>): void {
    if (this.#touched) for (const hash of hashes()) this.#touched.add(hash);
  }

  /** The highest row there is. */
  get lastRow(): number {
    return Number(this.#database.prepare('SELECT MAX(rowid) AS last FROM chunk').get()?.['last'] ?? 0);
  }

  /**
   * Removes every chunk that is not marked, in small steps so that captures go on meanwhile. Returns freed bytes; with `dryRun`
   * removes nothing and returns what it would free. One at a time: a second one returns 0 at once.
   */
  async sweep(
    mark: (lastRow: number) => Promise<Marked>,
    options: { readonly dryRun?: boolean; readonly onProgress?: (fraction: number) => void } = {},
  ): Promise<number> {
    if (this.#touched) return 0;
    this.#touched = new Set();
    let freed = 0;
    const groups = new Set<string>();
    const changedPacks = new Set<number>();
    try {
      const { lastRow } = this;
      const { hashes, rows: marked } = await mark(lastRow);
      // Downwards: a page list goes before the pages it names, so that who finds the list finds the pages.
      const page = this.#database.prepare(
        'SELECT rowid AS id, hash, pack, offset, stored FROM chunk WHERE rowid < ? ORDER BY rowid DESC LIMIT 2000',
      );
      const remove = this.#database.prepare('DELETE FROM chunk WHERE rowid = ?');
      for (let before = lastRow + 1; ;) {
        while (this.#holds > 0) await this.#released.promise;
        const rows = page.all(before);
        if (rows.length === 0) break;
        options.onProgress?.(1 - before / (lastRow + 1));
        inTransaction(this.#database, () => {
          for (const row of rows) {
            const id = (before = Number(row['id']));
            if (!(row['hash'] instanceof Uint8Array) || isSet(marked, id)) continue;
            const hash = Buffer.from(row['hash']).toString('latin1');
            if (hashes.has(hash) || this.#touched?.has(hash) || this.#reliedOn(hash)) continue;
            if (options.dryRun) {
              // Pages of one group share their place; it is given back when the last of them goes.
              const place = row['pack'] === null ? '' : `${Number(row['pack'])}:${Number(row['offset'])}`;
              if (place === '' || !groups.has(place)) freed += Number(row['stored']);
              if (place !== '') groups.add(place);
              continue;
            }
            remove.run(id);
            if (row['pack'] === null) freed += Number(row['stored']);
            else changedPacks.add(Number(row['pack']));
          }
        });
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#touched = undefined;
    }
    crashPoint('gc:contentsForgotten');
    for (const pack of changedPacks) {
      freed += await this.#shrinkPack(pack);
      crashPoint('gc:packGiven');
    }
    return freed;
  }

  /** At start: packs that no row needs go (a capture that never committed). One that is missing or too short is lost: see `lostPacks`. */
  checkPacks(): void {
    const needed = new Map<number, number>();
    // Each by its place in the index: a look at every row would take long.
    const next = this.#database.prepare('SELECT pack FROM chunk WHERE pack > ? ORDER BY pack LIMIT 1');
    const last = this.#database.prepare('SELECT MAX(offset) AS last FROM chunk WHERE pack = ?');
    const end = this.#database.prepare(
      'SELECT MAX(offset + stored) AS end FROM chunk WHERE pack = ? AND offset = ?',
    );
    for (let row = next.get(-1); row; row = next.get(Number(row['pack']))) {
      const pack = Number(row['pack']);
      needed.set(pack, Number(end.get(pack, Number(last.get(pack)?.['last']))?.['end'] ?? 0));
    }
    const present = new Set(this.#packFiles());
    const lost = new Set<number>();
    for (const [pack, end] of needed)
      if (!present.has(pack) || statSync(this.#packPath(pack)).size < end) lost.add(pack);
    this.lostPacks = lost;
    for (const pack of present) if (!needed.has(pack)) unlinkSync(this.#packPath(pack));
  }

  /** How many bytes may be added now. */
  room(): Room {
    return this.#quota.room(this.addedBytes);
  }

  /** Why there is no room. */
  noRoom(): TurntableError {
    return this.#quota.refusal(this.addedBytes);
  }

  /** Nothing is known to be lost. */
  get isWhole(): boolean {
    const lost = 'SELECT 1 FROM chunk WHERE data IS NULL AND pack IS NULL LIMIT 1';
    return this.lostPacks.size === 0 && this.#database.prepare(lost).get() === undefined;
  }

  /** These contents are not what they should be: their rows lose their place. */
  forget(hashes: readonly ChunkHash[]): void {
    const remove = this.#database.prepare(
      'UPDATE chunk SET codec = 0, data = NULL, pack = NULL, offset = NULL, stored = 0 WHERE hash = ?',
    );
    inTransaction(this.#database, () => {
      for (const hash of hashes) remove.run(Buffer.from(hash, 'latin1'));
    });
  }

  /** Makes the names of packs durable. */
  syncPacks(): void {
    syncDirectory(this.#packPath(0));
  }

  packPath(id: number): string {
    return this.#packPath(id);
  }

  #reliedOn(hash: ChunkHash): boolean {
    for (const batch of this.#batches) if (batch.relied.has(hash)) return true;
    return false;
  }

  #insertOne(chunk: PendingChunk, pack: number | undefined): void {
    const inPack = chunk.data === undefined;
    const hash = Buffer.from(chunk.hash, 'latin1');
    const place = [
      chunk.codec,
      chunk.size,
      chunk.data ?? null,
      inPack ? (pack ?? null) : null,
      inPack ? chunk.offset : null,
      chunk.stored,
    ];
    // A row whose content was lost keeps its number, but gets this place.
    if (this.#insert.run(hash, ...place).changes === 0 && !this.has(chunk.hash))
      this.#replace.run(...place, hash);
  }

  /** Returns freed bytes. */
  async #shrinkPack(pack: number): Promise<number> {
    if (this.lostPacks.has(pack)) return 0;
    const rows = this.#database
      .prepare('SELECT offset, stored FROM chunk WHERE pack = ? ORDER BY offset')
      .all(pack);
    const path = this.#packPath(pack);
    if (rows.length === 0) {
      const { blocks } = statSync(path);
      this.closePack(pack);
      unlinkSync(path);
      return blocks * 512;
    }
    const gaps: { offset: number; length: number }[] = [];
    let end = 0;
    for (const row of rows) {
      const offset = Number(row['offset']);
      if (offset > end) gaps.push({ offset: end, length: offset - end });
      // Pages of one group share their place.
      end = Math.max(end, offset + Number(row['stored']));
    }
    const { size, blocks } = statSync(path);
    if (size > end) gaps.push({ offset: end, length: size - end });
    await this.#worker.punch(this.#directory, `${pack}.pack`, gaps);
    return (blocks - statSync(path).blocks) * 512;
  }

  #packPath(id: number): string {
    return packPath(this.#directory, id);
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
  readonly #room: Room;
  #rowBytes = 0;
  #pack: { readonly id: number; readonly descriptor: number; size: number; synced: number } | undefined;
  #settled = false;
  /** What this batch found in the store or adds to it: spared by a sweep that runs meanwhile. */
  readonly relied = new Set<ChunkHash>();
  /** Bytes that this batch adds on disk. */
  bytesStored = 0;

  constructor(store: ChunkStore, pathOf: (id: number) => string, maxRowBytes: number) {
    this.#store = store;
    this.#room = store.room();
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
    return chunk.codec === zstdCodec ? zstdDecompressSync(chunk.data) : chunk.data;
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
    this.#store.addedBytes += this.bytesStored;
    if (this.#pack) closeSync(this.#pack.descriptor);
  }

  [Symbol.dispose](): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#store.ended(this);
    if (!this.#pack) return;
    closeSync(this.#pack.descriptor);
    unlinkSync(this.#pathOf(this.#pack.id));
  }

  #keep(hash: ChunkHash, data: Buffer, packed: Buffer): void {
    const saves = packed.length < data.length - (data.length >> 4);
    const codec = saves ? zstdCodec : rawCodec;
    const stored = saves ? packed : data;
    const asRow = data.length <= rowBytes && this.#rowBytes + stored.length <= this.#maxRowBytes;
    if (asRow) this.#rowBytes += stored.length;
    const room = asRow ? this.#room.rows : this.#room.packs;
    if (this.bytesStored + stored.length > room) throw this.#store.noRoom();
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

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
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
