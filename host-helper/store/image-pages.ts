/**
 * Older process images as pages by content: two dumps of a process that did little in between share nearly all of them.
 * Turns a kept directory into page lists in the store, and lists back into a directory. Knows nothing of rows of images.
 */

import { mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { ChunkBatch, ChunkHash, ChunkStore } from './chunks.ts';
import { decodeBlockList, encodeBlockList } from './file-tree.ts';

const pageBytes = 4096;
const readBytes = 64 * pageBytes;
const zeroPage = Buffer.alloc(pageBytes);

/** Files of an image: path below it, size, and the hash (hex) of its page list. */
const packedSchema = z.array(z.object({ path: z.string(), size: z.number(), list: z.string() }));
export type PackedImage = z.infer<typeof packedSchema>;

export function parsePacked(text: string): PackedImage {
  return packedSchema.parse(JSON.parse(text));
}

/** Puts every file below `directory` into `batch`, a slice at a time so that other work goes on. */
export async function packImage(directory: string, batch: ChunkBatch): Promise<PackedImage> {
  const files: PackedImage = [];
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) continue;
    if (!entry.isFile()) throw new Error(`${entry.name} is no plain file`);
    const full = join(entry.parentPath, entry.name);
    const { size, list } = await packFile(full, batch);
    files.push({
      path: full.slice(directory.length + 1),
      size,
      list: Buffer.from(list, 'latin1').toString('hex'),
    });
  }
  return files;
}

/** Makes the files of an image below `directory` (new). */
export async function unpackImage(chunks: ChunkStore, image: PackedImage, directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  for (const file of image) {
    const path = join(directory, file.path);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await using handle = await open(path, 'wx', 0o600);
    await handle.truncate(file.size);
    const { blocks } = decodeBlockList(chunks.get(Buffer.from(file.list, 'hex').toString('latin1')));
    for (let at = 0; at < blocks.length; at += readBytes / pageBytes) {
      const slice = blocks.slice(at, at + readBytes / pageBytes);
      if (slice.every((page) => page === undefined)) continue;
      const data = Buffer.concat(slice.map((page) => (page ? chunks.get(page) : zeroPage)));
      await handle.write(data, 0, Math.min(data.length, file.size - at * pageBytes), at * pageBytes);
    }
  }
}

/** Every hash that an image needs. */
export function* hashesOf(chunks: ChunkStore, image: PackedImage): Generator<ChunkHash> {
  for (const file of image) {
    const list = Buffer.from(file.list, 'hex').toString('latin1');
    yield list;
    for (const page of decodeBlockList(chunks.get(list)).blocks) if (page) yield page;
  }
}

async function packFile(
  path: string,
  batch: ChunkBatch,
): Promise<{ readonly size: number; readonly list: ChunkHash }> {
  await using handle = await open(path, 'r');
  const buffer = Buffer.alloc(readBytes);
  const blocks: (ChunkHash | undefined)[] = [];
  let size = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, readBytes, size);
    if (bytesRead === 0) break;
    size += bytesRead;
    for (let at = 0; at < bytesRead; at += pageBytes) {
      const page = Buffer.from(buffer.subarray(at, Math.min(at + pageBytes, bytesRead)));
      blocks.push(page.equals(zeroPage) ? undefined : batch.put(page));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { size, list: batch.put(encodeBlockList({ size, blocks })) };
}
