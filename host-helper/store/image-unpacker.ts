/**
 * Makes the files of a process image again from its pages, and finds what an image needs. Runs in the image thread. Reads the
 * store, writes one new directory.
 */

import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromHex, pageBytes, type ChunkHash, type ChunkReader } from './chunk-reader.ts';
import { damaged } from './database.ts';
import { decodeHashes, decodeManifest, zeroHash, type ImageRoot } from './image-format.ts';

const writePages = 256;

/** Throws `storeDamaged` when a page is missing or is not what it was. */
export function unpackDump(chunks: ChunkReader, image: ImageRoot, directory: string): void {
  const manifest = decodeManifest(chunks.get(fromHex(image.manifest)));
  const pages = pagesOf(chunks, image);
  mkdirSync(directory, { mode: 0o700 });
  for (const [path, size] of manifest) {
    const full = join(directory, path);
    mkdirSync(dirname(full), { recursive: true, mode: 0o700 });
    const descriptor = openSync(full, 'wx', 0o600);
    try {
      ftruncateSync(descriptor, size);
      let run: Buffer[] = [];
      let runFrom = 0;
      const flush = (): void => {
        if (run.length) writeWhole(descriptor, Buffer.concat(run), runFrom);
        run = [];
      };
      for (let at = 0; at < size; at += pageBytes) {
        const next = pages.next();
        if (next.done) throw damaged('A process image has fewer pages than files');
        // Zeros stay a hole.
        if (next.value === zeroHash) {
          flush();
          continue;
        }
        const data = chunks.get(next.value);
        if (data.length !== Math.min(pageBytes, size - at))
          throw damaged('A page of a process image is cut short');
        if (run.length === 0) runFrom = at;
        // A page of a group is a view of it, which the next group replaces but does not change.
        run.push(data);
        if (run.length === writePages) flush();
      }
      flush();
    } finally {
      closeSync(descriptor);
    }
  }
}

/** The hash of every page of an image, in order. */
export function* pagesOf(chunks: ChunkReader, image: ImageRoot): Generator<ChunkHash> {
  for (const list of decodeHashes(chunks.get(fromHex(image.root)))) yield* decodeHashes(chunks.get(list));
}

/**
 * Sets the bit of the row of every content that one of the images needs, also of a lost one: its row is what tells that a list
 * which is there has not all its pages. Throws `storeDamaged` when a list cannot be read.
 */
export function markImages(chunks: ChunkReader, images: readonly ImageRoot[], lastRow: number): Uint8Array {
  const bits = new Uint8Array((lastRow >> 3) + 1);
  // Apart from what is needed: a program may have a page that reads like a list.
  const walked = new Uint8Array(bits.length);
  /** False when the bit was set already. */
  const set = (into: Uint8Array, hash: ChunkHash): boolean => {
    const row = chunks.rowOf(hash);
    if (row === undefined || row > lastRow) return true;
    const bit = 1 << (row & 7);
    const before = into[row >> 3] ?? 0;
    into[row >> 3] = before | bit;
    return (before & bit) === 0;
  };
  const roots = new Set<ChunkHash>();
  for (const image of images) {
    const root = fromHex(image.root);
    set(bits, fromHex(image.manifest));
    set(bits, root);
    if (roots.has(root)) continue;
    roots.add(root);
    for (const list of decodeHashes(chunks.get(root))) {
      set(bits, list);
      if (!set(walked, list)) continue;
      for (const page of decodeHashes(chunks.get(list))) if (page !== zeroHash) set(bits, page);
    }
  }
  return bits;
}

function writeWhole(descriptor: number, data: Buffer, position: number): void {
  for (let at = 0; at < data.length;) at += writeSync(descriptor, data, at, data.length - at, position + at);
}
