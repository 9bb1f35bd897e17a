/**
 * The files of a process image as pages by content, so that the images of neighbouring turns share what they have in common
 * on their way. Knows files and pages, nothing of dumps.
 */

import { mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hashOf, type ChunkHash } from './chunk-reader.ts';
import { decodeBlockList, encodeBlockList } from './file-tree.ts';
import type { ImageFiles, ObjectTaker } from './store.ts';
import { archiveInvalid } from './transfer-errors.ts';

const pageBytes = 4096;
const sliceBytes = 64 * pageBytes;
const zeroPage = Buffer.alloc(pageBytes);
const limits = { files: 10_000, fileBytes: 2 ** 40 } as const;

/** Hands every page below `directory` to `taker`. */
export async function readImage(directory: string, taker: ObjectTaker): Promise<ImageFiles> {
  const files: { path: string; size: number; list: string }[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) continue;
    const full = join(entry.parentPath, entry.name);
    if (!entry.isFile()) throw new Error(`${full} is no plain file`);
    await using handle = await open(full, 'r');
    const buffer = Buffer.alloc(sliceBytes);
    const blocks: (ChunkHash | undefined)[] = [];
    let size = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, sliceBytes, size);
      if (bytesRead === 0) break;
      size += bytesRead;
      for (let at = 0; at < bytesRead; at += pageBytes) {
        const page = buffer.subarray(at, Math.min(at + pageBytes, bytesRead));
        if (page.equals(zeroPage)) blocks.push(undefined);
        else blocks.push(await hand(taker, page));
      }
    }
    const list = await hand(taker, encodeBlockList({ size, blocks }));
    files.push({
      path: full.slice(directory.length + 1),
      size,
      list: Buffer.from(list, 'latin1').toString('hex'),
    });
  }
  return files;
}

/** Makes the files below `directory`, which exists and is empty. Throws `archiveInvalid`. */
export async function writeImage(
  files: ImageFiles,
  directory: string,
  get: (hash: ChunkHash) => Buffer,
): Promise<void> {
  if (files.length > limits.files) throw archiveInvalid('a process image has too many files');
  for (const file of files) {
    const names = file.path.split('/');
    if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0')))
      throw archiveInvalid('a process image names an impossible file');
    const { size, blocks } = listOf(get(Buffer.from(file.list, 'hex').toString('latin1')));
    if (size !== file.size || size > limits.fileBytes || blocks.length !== Math.ceil(size / pageBytes))
      throw archiveInvalid('a process image has another size than is said');
    const path = join(directory, file.path);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await using handle = await open(path, 'wx', 0o600);
    await handle.truncate(size);
    for (let at = 0; at < blocks.length; at += sliceBytes / pageBytes) {
      const slice = blocks.slice(at, at + sliceBytes / pageBytes);
      if (slice.every((page) => page === undefined)) continue;
      const pages = slice.map((page, index) => {
        const data = page === undefined ? zeroPage : get(page);
        const wanted = Math.min(pageBytes, size - (at + index) * pageBytes);
        if (page !== undefined && data.length !== wanted)
          throw archiveInvalid('a page of a process image is cut short');
        return data;
      });
      const data = Buffer.concat(pages);
      await handle.write(data, 0, Math.min(data.length, size - at * pageBytes), at * pageBytes);
    }
  }
}

function listOf(data: Buffer): ReturnType<typeof decodeBlockList> {
  if (data.length < 8 || (data.length - 8) % 32 !== 0) throw archiveInvalid('a process image cannot be read');
  return decodeBlockList(data);
}

async function hand(taker: ObjectTaker, data: Buffer): Promise<ChunkHash> {
  const hash = hashOf(data);
  if (!taker.has(hash)) await taker.take({ hash, data: Buffer.from(data) });
  return hash;
}
