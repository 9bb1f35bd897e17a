/**
 * Puts a dump into a pack: finds which of its pages the store lacks, writes those, compressed in groups, and says which rows
 * make them count. Runs in the image thread: it hashes all of a sandbox's memory. Writes one pack file and no rows.
 */

import { closeSync, fsyncSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import {
  groupCodec,
  groupPages,
  hashOf,
  hexOf,
  pageBytes,
  rawCodec,
  zstdCodec,
  type ChunkHash,
  type ChunkReader,
} from './chunk-reader.ts';
import {
  encodeHashes,
  encodeManifest,
  endsList,
  hashBytes,
  zeroHash,
  type Manifest,
} from './image-format.ts';

const readBytes = 64 * pageBytes;
const zeroPage = Buffer.alloc(pageBytes);
/** What is new is little, mostly, and worth some thought; a whole memory is not. */
const thorough = { params: { [constants.ZSTD_c_compressionLevel]: 9 } };
const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const thoroughBytes = 2 << 20;

/** Rows as they cross the thread: hash, codec, size, stored (u32 each), offset (f64). */
export const rowRecordBytes = hashBytes + 12 + 8;
/** What the database takes for a row and its key. */
export const rowCostBytes = 110;

export interface PackedDump {
  readonly manifest: string;
  readonly root: string;
  /** New contents, each before the lists that name it. */
  readonly rows: Uint8Array;
  /** Every content the image needs, old and new. */
  readonly hashes: Uint8Array;
  readonly packBytes: number;
  readonly imageBytes: number;
}

/** More would be written than there is room for. */
export class NoRoom extends Error {}

export interface PackRequest {
  readonly directory: string;
  readonly packPath: string;
  readonly maxBytes: number;
  /** Nothing of the store is known to be lost: a list that is there has all its pages. */
  readonly whole: boolean;
}

/** The pack is durable when this returns; without new contents there is none. */
export function packDump(chunks: ChunkReader, request: PackRequest): PackedDump {
  using packer = new Packer(chunks, request);
  return packer.run();
}

class Packer implements Disposable {
  readonly #chunks: ChunkReader;
  readonly #request: PackRequest;
  readonly #fresh = new Set<ChunkHash>();
  readonly #needed = new Set<ChunkHash>();
  readonly #rows: Buffer[] = [];
  readonly #lists: ChunkHash[] = [];
  /** The pages of the list that is being read. */
  #pages: { readonly hash: ChunkHash; readonly data: Buffer }[] = [];
  #group: { readonly hash: ChunkHash; readonly data: Buffer }[] = [];
  #descriptor: number | undefined;
  #packBytes = 0;
  #imageBytes = 0;

  constructor(chunks: ChunkReader, request: PackRequest) {
    this.#chunks = chunks;
    this.#request = request;
  }

  run(): PackedDump {
    const manifest: Manifest = [];
    for (const path of filesBelow(this.#request.directory)) manifest.push([path, this.#readFile(path)]);
    this.#endList();
    this.#endGroup();
    const manifestHash = this.#put(encodeManifest(manifest));
    const root = this.#put(encodeHashes(this.#lists));
    if (this.#descriptor !== undefined) fsyncSync(this.#descriptor);
    return {
      manifest: hexOf(manifestHash),
      root: hexOf(root),
      rows: Buffer.concat(this.#rows),
      hashes: Buffer.from([...this.#needed].join(''), 'latin1'),
      packBytes: this.#packBytes,
      imageBytes: this.#imageBytes,
    };
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  #readFile(path: string): number {
    const descriptor = openSync(join(this.#request.directory, path), 'r');
    try {
      for (let size = 0; ;) {
        const buffer = Buffer.allocUnsafe(readBytes);
        let filled = 0;
        while (filled < readBytes) {
          const n = readSync(descriptor, buffer, filled, readBytes - filled, size + filled);
          if (n === 0) break;
          filled += n;
        }
        for (let at = 0; at < filled; at += pageBytes)
          this.#page(buffer.subarray(at, Math.min(at + pageBytes, filled)));
        size += filled;
        if (filled < readBytes) {
          this.#imageBytes += size;
          return size;
        }
      }
    } finally {
      closeSync(descriptor);
    }
  }

  #page(data: Buffer): void {
    const hash = data.equals(zeroPage) ? zeroHash : hashOf(data);
    this.#pages.push({ hash, data });
    if (endsList(hash, this.#pages.length)) this.#endList();
  }

  #endList(): void {
    if (this.#pages.length === 0) return;
    const list = encodeHashes(this.#pages.map(({ hash }) => hash));
    const listHash = hashOf(list);
    const known = this.#request.whole && this.#chunks.has(listHash);
    for (const page of this.#pages) {
      if (page.hash === zeroHash) continue;
      this.#needed.add(page.hash);
      if (known || this.#fresh.has(page.hash) || this.#chunks.has(page.hash)) continue;
      this.#fresh.add(page.hash);
      this.#group.push(page);
      if (this.#group.length === groupPages) this.#endGroup();
    }
    this.#pages = [];
    this.#lists.push(listHash);
    this.#needed.add(listHash);
    if (known || this.#fresh.has(listHash)) return;
    // The rows of its pages come first.
    this.#endGroup();
    this.#put(list, listHash);
  }

  #endGroup(): void {
    if (this.#group.length === 0) return;
    const pages = this.#group;
    this.#group = [];
    const whole = Buffer.alloc((pages.length - 1) * pageBytes + (pages.at(-1)?.data.length ?? 0));
    for (const [index, { data }] of pages.entries()) data.copy(whole, index * pageBytes);
    const packed = zstdCompressSync(whole, this.#packBytes < thoroughBytes ? thorough : fast);
    if (packed.length < whole.length - (whole.length >> 4)) {
      const offset = this.#append(packed);
      for (const [index, { hash, data }] of pages.entries())
        this.#row(hash, groupCodec + index, data.length, packed.length, offset);
      return;
    }
    const offset = this.#append(whole);
    for (const [index, { hash, data }] of pages.entries())
      this.#row(hash, rawCodec, data.length, data.length, offset + index * pageBytes);
  }

  #put(data: Buffer, hash = hashOf(data)): ChunkHash {
    this.#needed.add(hash);
    if (this.#fresh.has(hash) || this.#chunks.has(hash)) return hash;
    this.#fresh.add(hash);
    const packed = zstdCompressSync(data);
    const smaller = packed.length < data.length ? packed : data;
    const codec = smaller === packed ? zstdCodec : rawCodec;
    this.#row(hash, codec, data.length, smaller.length, this.#append(smaller));
    return hash;
  }

  #row(hash: ChunkHash, codec: number, size: number, stored: number, offset: number): void {
    const record = Buffer.alloc(rowRecordBytes);
    record.write(hash, 0, 'latin1');
    record.writeUInt32LE(codec, hashBytes);
    record.writeUInt32LE(size, hashBytes + 4);
    record.writeUInt32LE(stored, hashBytes + 8);
    record.writeDoubleLE(offset, hashBytes + 12);
    this.#rows.push(record);
  }

  #append(data: Buffer): number {
    const offset = this.#packBytes;
    if (offset + data.length > this.#request.maxBytes) throw new NoRoom();
    this.#descriptor ??= openSync(this.#request.packPath, 'wx', 0o600);
    for (let at = 0; at < data.length;)
      at += writeSync(this.#descriptor, data, at, data.length - at, offset + at);
    this.#packBytes += data.length;
    return offset;
  }
}

/** Plain files below a directory, in byte order of their paths. */
function filesBelow(directory: string): string[] {
  const paths: string[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) continue;
    if (!entry.isFile()) throw new Error(`${entry.name} is no plain file`);
    paths.push(join(entry.parentPath, entry.name).slice(directory.length + 1));
  }
  return paths.sort();
}
