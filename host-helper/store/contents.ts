/**
 * Contents of files, in and out: small ones as one chunk, larger ones as a list of blocks, never whole in memory.
 * Knows chunks and the tree worker; nothing of versions.
 */

import type { ChunkStore } from './chunks.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { hashOf } from './chunk-reader.ts';
import { decodeBlockList, encodeBlockList, type BlockList } from './file-tree.ts';
import type { TreeWorker } from './treefs.ts';
import { blockBytes, type EntryStat } from './treefs-wire.ts';
import type { TreeWriter } from './tree-writer.ts';

/** How often a file that keeps changing while it is read is tried again. */
const readTries = 3;
const zeros = Buffer.alloc(blockBytes);

/** Takes contents and names them: a batch of the store, or what leaves for another store. */
export interface ObjectSink {
  put(data: Buffer): ChunkHash;
  putBlock(data: Buffer): Promise<ChunkHash>;
}

/** Where new contents go; without one they are only hashed. */
export type ContentSink = ObjectSink | undefined;

/** The hash of a content of one block or less. */
export function storeSmall(sink: ContentSink, data: Buffer): ChunkHash {
  return sink ? sink.put(data) : hashOf(data);
}

export interface ReadContent {
  readonly content: ChunkHash;
  readonly stat: EntryStat;
  /** It changed on every try: what is stored may mix two states. */
  readonly unstable: boolean;
}

/** Reads a file of any size through the worker, block by block. */
export async function storeLarge(
  worker: TreeWorker,
  root: string,
  path: string,
  sink: ContentSink,
): Promise<ReadContent> {
  for (let attempt = 1; ; attempt++) {
    const blocks: (ChunkHash | undefined)[] = [];
    let first: Buffer | undefined;
    const { before, after } = await worker.stream(root, path, async (offset, data) => {
      if (offset === 0 && data.length < blockBytes) first = Buffer.from(data);
      const index = offset / blockBytes;
      while (blocks.length < index) blocks.push(undefined);
      if (isZero(data)) blocks.push(undefined);
      else blocks.push(sink ? await sink.putBlock(Buffer.from(data)) : hashOf(data));
    });
    const unstable = before.signature !== after.signature;
    if (unstable && attempt < readTries) continue;
    if (before.size <= blockBytes) {
      // Shrunk since it was listed: small contents have one form only.
      const data = first ?? Buffer.alloc(before.size);
      return { content: storeSmall(sink, data.subarray(0, before.size)), stat: before, unstable };
    }
    while (blocks.length < Math.ceil(before.size / blockBytes)) blocks.push(undefined);
    const list: BlockList = { size: before.size, blocks };
    return { content: storeSmall(sink, encodeBlockList(list)), stat: before, unstable };
  }
}

/** The whole content, in memory. */
export function readContent(chunks: ChunkStore, content: ChunkHash, size: number): Buffer {
  if (size <= blockBytes) return chunks.get(content);
  const list = decodeBlockList(chunks.get(content));
  const data = Buffer.alloc(list.size);
  list.blocks.forEach((block, index) => {
    if (block) chunks.get(block).copy(data, index * blockBytes);
  });
  return data;
}

/** Sends a content to the file that `writer` has begun. */
export async function writeContent(
  chunks: ChunkStore,
  writer: TreeWriter,
  content: ChunkHash,
  size: number,
): Promise<number> {
  if (size <= blockBytes) {
    const data = chunks.get(content);
    if (data.length) await writer.fileData(0, data);
    return data.length;
  }
  let written = 0;
  for (const [index, block] of decodeBlockList(chunks.get(content)).blocks.entries()) {
    if (!block) continue;
    const data = chunks.get(block);
    await writer.fileData(index * blockBytes, data);
    written += data.length;
  }
  return written;
}

/** Turns one large content into another, block by block, in the file that `writer` has begun in place. */
export async function patchContent(
  chunks: ChunkStore,
  writer: TreeWriter,
  from: { readonly content: ChunkHash; readonly size: number },
  to: { readonly content: ChunkHash; readonly size: number },
): Promise<number> {
  const had = decodeBlockList(chunks.get(from.content)).blocks;
  let written = 0;
  for (const [index, block] of decodeBlockList(chunks.get(to.content)).blocks.entries()) {
    const old = had[index];
    // The last block of the shorter content ends where it ends: what follows must be written anew.
    const whole = (index + 1) * blockBytes <= Math.min(from.size, to.size);
    if (old === block && (whole || from.size === to.size)) continue;
    if (!block) {
      await writer.fileZero(index * blockBytes, blockBytes);
      continue;
    }
    const data = chunks.get(block);
    await writer.fileData(index * blockBytes, data);
    written += data.length;
  }
  return written;
}

function isZero(data: Buffer): boolean {
  return data[0] === 0 && data[data.length - 1] === 0 && data.compare(zeros, 0, data.length) === 0;
}
