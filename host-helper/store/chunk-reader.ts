/**
 * Contents by hash, read: where a content lies, and its bytes checked against its hash. Needs nothing but a connection and
 * the pack files, so that a thread of its own may read beside the store. Never writes.
 */

import { hash as digest } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { zstdDecompressSync } from 'node:zlib';
import { damaged } from './database.ts';

/** SHA-256, as latin1 text of 32 characters: compares and maps quickly. */
export type ChunkHash = string;

/** How a content is stored: as it is, compressed, or as one of the pages (`codec - groupCodec`) of a compressed group. */
export const rawCodec = 0;
export const zstdCodec = 1;
export const groupCodec = 16;
/** Distance of the pages of a group. */
export const pageBytes = 4096;
export const groupPages = 16;

const mostOpenPacks = 64;

export interface Located {
  /** Row id: rises, and is never above that of a list which names this content. */
  readonly row: number;
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

export function fromHex(text: string): ChunkHash {
  return Buffer.from(text, 'hex').toString('latin1');
}

export function packPath(directory: string, id: number): string {
  return join(directory, `${id}.pack`);
}

export class ChunkReader {
  readonly #directory: string;
  readonly #place: StatementSync;
  readonly #number: StatementSync;
  readonly #find: StatementSync;
  readonly #openPacks = new Map<number, number>();
  /** The group that was read last: pages are mostly asked for in the order they lie in. */
  #group: { readonly pack: number; readonly offset: number; readonly data: Buffer } | undefined;
  /** Packs that are gone or cut short: what lies in them counts as absent, so that it is stored again when it is seen again. */
  lostPacks: ReadonlySet<number> = new Set();

  constructor(database: DatabaseSync, directory: string) {
    this.#directory = directory;
    this.#place = database.prepare('SELECT pack, data IS NULL AS away FROM chunk WHERE hash = ?');
    this.#number = database.prepare('SELECT rowid AS id FROM chunk WHERE hash = ?');
    this.#find = database.prepare(
      'SELECT rowid AS id, codec, size, data, pack, offset, stored FROM chunk WHERE hash = ?',
    );
  }

  has(hash: ChunkHash): boolean {
    const row = this.#place.get(Buffer.from(hash, 'latin1'));
    if (!row) return false;
    return row['away'] === 0 || (row['pack'] !== null && !this.lostPacks.has(Number(row['pack'])));
  }

  /** The row of a content, also of one that is lost. */
  rowOf(hash: ChunkHash): number | undefined {
    const row = this.#number.get(Buffer.from(hash, 'latin1'));
    return row && Number(row['id']);
  }

  /** Throws `storeDamaged` when the content is missing or is not what its hash says. */
  get(hash: ChunkHash): Buffer {
    const found = this.#locate(hash);
    if (!found) throw damaged(`The content ${hexOf(hash).slice(0, 12)}… is missing from the store`);
    return this.read(hash, found);
  }

  /** The content of a row; throws `storeDamaged` when it is not what `hash` says. */
  read(hash: ChunkHash, found: Located): Buffer {
    const name = `The content ${hexOf(hash).slice(0, 12)}…`;
    let data: Buffer;
    try {
      data = this.#unpack(found, name);
    } catch (error) {
      throw damaged(`${name} cannot be unpacked`, error);
    }
    if (data.length !== found.size || hashOf(data) !== hash)
      throw damaged(`${name} is not what its hash says`);
    return data;
  }

  /** Forgets a pack that is about to be removed. */
  closePack(pack: number): void {
    const descriptor = this.#openPacks.get(pack);
    if (descriptor !== undefined) closeSync(descriptor);
    this.#openPacks.delete(pack);
    if (this.#group?.pack === pack) this.#group = undefined;
  }

  close(): void {
    for (const descriptor of this.#openPacks.values()) closeSync(descriptor);
    this.#openPacks.clear();
    this.#group = undefined;
  }

  #unpack(found: Located, name: string): Buffer {
    const { codec, size, pack, offset } = found;
    if (codec >= groupCodec) {
      if (pack === undefined) throw damaged(`${name} has no place`);
      const from = (codec - groupCodec) * pageBytes;
      return this.#readGroup(pack, offset, found.stored).subarray(from, from + size);
    }
    let stored: Buffer;
    if (found.data) stored = Buffer.from(found.data.buffer, found.data.byteOffset, found.data.byteLength);
    else if (pack !== undefined) stored = this.#readPack(pack, offset, found.stored);
    else throw damaged(`${name} has no place`);
    return codec === zstdCodec ? zstdDecompressSync(stored, { maxOutputLength: size + 1 }) : stored;
  }

  #readGroup(pack: number, offset: number, stored: number): Buffer {
    if (this.#group?.pack === pack && this.#group.offset === offset) return this.#group.data;
    const data = zstdDecompressSync(this.#readPack(pack, offset, stored), {
      maxOutputLength: groupPages * pageBytes,
    });
    this.#group = { pack, offset, data };
    return data;
  }

  #locate(hash: ChunkHash): Located | undefined {
    const row = this.#find.get(Buffer.from(hash, 'latin1'));
    return row && locatedFrom(row);
  }

  #readPack(pack: number, offset: number, length: number): Buffer {
    let descriptor = this.#openPacks.get(pack);
    if (descriptor === undefined) {
      try {
        descriptor = openSync(packPath(this.#directory, pack), 'r');
      } catch (error) {
        throw damaged(`The pack ${packPath(this.#directory, pack)} cannot be opened`, error);
      }
      if (this.#openPacks.size >= mostOpenPacks) this.close();
      this.#openPacks.set(pack, descriptor);
    }
    const data = Buffer.allocUnsafe(length);
    let got = 0;
    while (got < length) {
      const n = readSync(descriptor, data, got, length - got, offset + got);
      if (n === 0) throw damaged(`The pack ${packPath(this.#directory, pack)} is too short`);
      got += n;
    }
    return data;
  }
}

/** A row of `chunk` (with `rowid AS id`). */
export function locatedFrom(row: Readonly<Record<string, unknown>>): Located {
  return {
    row: Number(row['id']),
    codec: Number(row['codec']),
    size: Number(row['size']),
    data: row['data'] instanceof Uint8Array ? row['data'] : undefined,
    pack: row['pack'] === null ? undefined : Number(row['pack']),
    offset: Number(row['offset'] ?? 0),
    stored: Number(row['stored']),
  };
}
