/**
 * Process images as earlier versions kept them: every file with one flat list of its pages. Only read: they are kept anew in
 * today's form soon after the start.
 */

import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromHex, pageBytes, type ChunkHash, type ChunkReader } from './chunk-reader.ts';
import { decodeBlockList } from './file-tree.ts';
import type { LegacyImage } from './image-format.ts';

const pagesAtOnce = 64;
const zeroPage = Buffer.alloc(pageBytes);

/** Makes the files of an image below `directory` (new). */
export async function unpackLegacy(
  chunks: ChunkReader,
  image: LegacyImage,
  directory: string,
): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  for (const file of image) {
    const path = join(directory, file.path);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await using handle = await open(path, 'wx', 0o600);
    await handle.truncate(file.size);
    const { blocks } = decodeBlockList(chunks.get(fromHex(file.list)));
    for (let at = 0; at < blocks.length; at += pagesAtOnce) {
      const slice = blocks.slice(at, at + pagesAtOnce);
      if (slice.every((page) => page === undefined)) continue;
      const data = Buffer.concat(slice.map((page) => (page ? chunks.get(page) : zeroPage)));
      await handle.write(data, 0, Math.min(data.length, file.size - at * pageBytes), at * pageBytes);
    }
  }
}

/** Every hash that an image needs. */
export function* legacyHashes(chunks: ChunkReader, image: LegacyImage): Generator<ChunkHash> {
  for (const file of image) {
    const list = fromHex(file.list);
    yield list;
    for (const page of decodeBlockList(chunks.get(list)).blocks) if (page) yield page;
  }
}
