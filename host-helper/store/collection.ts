/**
 * Which contents something still needs: marked from checkpoints, from versions pinned in memory, from images, from unfinished
 * work, and from what an apply could undo. What is not marked is swept. Where a list or directory cannot be read, nothing is
 * removed at all: what it named may still come back.
 */

import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { crashPoint } from '../crash-point.ts';
import type { ChunkHash } from './chunk-reader.ts';
import type { ChunkStore } from './chunks.ts';
import { inTransaction } from './database.ts';
import { baseOf, decodeBlockList, isDirectory, isFile, type TreeEntry } from './file-tree.ts';
import type { PagedImages } from './image-store.ts';
import type { ImageThread } from './image-thread.ts';
import { blockBytes } from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

const yieldEvery = 200;
const backupsSchema = z.object({ contents: z.array(z.object({ hash: z.string(), size: z.number() })) });
const none: ReadonlySet<string> = new Set();

export interface CollectionParts {
  readonly database: DatabaseSync;
  readonly chunks: ChunkStore;
  readonly versions: VersionStore;
  readonly images: PagedImages;
  /** A thread that may be kept busy for long. */
  readonly thread: ImageThread;
  /** Versions that no checkpoint may name yet. */
  readonly pinned: () => ReadonlySet<string>;
}

export interface CollectOptions {
  readonly onProgress?: (fraction: number) => void;
}

/** Removes images, versions and contents that nothing needs. Returns freed bytes. Throws `storeDamaged` and removes nothing when it cannot tell. */
export async function collect(parts: CollectionParts, options: CollectOptions = {}): Promise<number> {
  const { chunks, images, versions, database } = parts;
  return await chunks.sweep(async (lastRow) => {
    // In one synchronous step: no version can be pinned or published in between.
    const live = inTransaction(database, () => {
      const found = liveVersions(database, parts.pinned(), none);
      for (const id of versions.ids()) if (!found.has(id)) versions.remove(id);
      return found;
    });
    crashPoint('gc:versionsForgotten');
    await images.collect();
    const rows = await parts.thread.ask('mark', { images: images.needed().roots, lastRow });
    return { hashes: await mark(parts, live, images.needed().legacy), rows };
  }, options);
}

export interface Survey {
  /** What a collection would free. */
  readonly bytes: number;
  readonly images: number;
  readonly versions: number;
}

/** What `collect` would remove if the checkpoints of `without` (ids) were gone; removes nothing. */
export async function surveyCollection(
  parts: CollectionParts,
  without: ReadonlySet<string>,
  options: CollectOptions = {},
): Promise<Survey> {
  const { chunks, images, versions, database } = parts;
  const unneeded = new Set(images.unneeded(without));
  const live = liveVersions(database, pinnedWithout(parts, without), without);
  const bytes = await chunks.sweep(
    async (lastRow) => {
      const needed = images.needed(unneeded);
      const rows = await parts.thread.ask('mark', { images: needed.roots, lastRow });
      return { hashes: await mark(parts, live, needed.legacy), rows };
    },
    { ...options, dryRun: true },
  );
  return { bytes, images: unneeded.size, versions: versions.ids().filter((id) => !live.has(id)).length };
}

/** What would still be pinned: a version that was published and is given up is not. */
function pinnedWithout({ database, pinned }: CollectionParts, without: ReadonlySet<string>): Set<string> {
  const left = new Set(pinned());
  for (const row of database.prepare('SELECT id, file_version AS version FROM checkpoint').all())
    if (without.has(String(row['id']))) left.delete(String(row['version']));
  return left;
}

function liveVersions(
  database: DatabaseSync,
  pinned: ReadonlySet<string>,
  without: ReadonlySet<string>,
): Set<string> {
  const live = new Set(pinned);
  for (const row of database.prepare('SELECT id, file_version AS version FROM checkpoint').all())
    if (!without.has(String(row['id']))) live.add(String(row['version']));
  // Documents of unfinished work and of sessions are opaque: whatever looks like a version id is spared.
  for (const table of ['intent', 'session']) {
    for (const row of database.prepare(`SELECT document FROM ${table}`).all()) {
      for (const match of String(row['document']).matchAll(/\b[0-9a-f]{64}\b/g)) live.add(match[0]);
    }
  }
  return live;
}

async function mark(
  { database, chunks, versions }: CollectionParts,
  liveIds: ReadonlySet<string>,
  also: readonly ChunkHash[],
): Promise<Set<ChunkHash>> {
  const live = new Set<ChunkHash>();
  // Apart from what is live: a program may write a file that reads like a list or a directory.
  const lists = new Set<ChunkHash>();
  const directories = new Set<ChunkHash>();
  const content = (hash: ChunkHash, size: number): void => {
    live.add(hash);
    if (size <= blockBytes || lists.has(hash)) return;
    lists.add(hash);
    for (const block of decodeBlockList(chunks.get(hash)).blocks) if (block) live.add(block);
  };
  const entry = (item: TreeEntry): void => {
    if (isDirectory(item)) waiting.push(item.content);
    else if (isFile(item)) content(item.content, item.size);
    const base = baseOf(item);
    // The size of a manifest is not kept: it is one chunk.
    if (base?.kept)
      content(Buffer.from(base.hash, 'hex').toString('latin1'), base.kind === 'file' ? base.size : 0);
  };
  const waiting: ChunkHash[] = [];
  for (const id of liveIds) if (versions.has(id)) for (const root of versions.roots(id).values()) entry(root);
  for (let count = 0; waiting.length; count++) {
    const hash = waiting.pop();
    if (hash === undefined || directories.has(hash)) continue;
    directories.add(hash);
    live.add(hash);
    for (const child of versions.directory(hash).values()) entry(child);
    if (count % yieldEvery === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const row of database.prepare('SELECT document FROM apply').all()) {
    const parsed = backupsSchema.parse(JSON.parse(String(row['document'])));
    for (const { hash, size } of parsed.contents) content(Buffer.from(hash, 'hex').toString('latin1'), size);
  }
  for (const hash of also) live.add(hash);
  return live;
}
