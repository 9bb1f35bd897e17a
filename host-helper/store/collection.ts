/**
 * Which contents something still needs: marked from checkpoints, from versions pinned in memory, from unfinished work, and
 * from what an apply could undo. What is not marked is swept.
 */

import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { crashPoint } from '../crash-point.ts';
import type { ChunkHash, ChunkStore } from './chunks.ts';
import { inTransaction } from './database.ts';
import { baseOf, decodeBlockList, isDirectory, isFile, type TreeEntry } from './file-tree.ts';
import { blockBytes } from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

const yieldEvery = 200;
const backupsSchema = z.object({ contents: z.array(z.object({ hash: z.string(), size: z.number() })) });

/** Removes versions and contents that nothing needs. Returns freed bytes. */
export async function collectContents(
  database: DatabaseSync,
  chunks: ChunkStore,
  versions: VersionStore,
  pinned: () => ReadonlySet<string>,
  packedImages: () => readonly ChunkHash[],
): Promise<number> {
  return await chunks.sweep(async () => {
    // In one synchronous step: no version can be pinned or published in between.
    const roots = inTransaction(database, () => {
      const live = liveVersions(database, pinned());
      for (const id of versions.ids()) if (!live.has(id)) versions.remove(id);
      return [...live].filter((id) => versions.has(id)).flatMap((id) => [...versions.roots(id).values()]);
    });
    crashPoint('gc:versionsForgotten');
    const live = await mark(database, chunks, versions, roots);
    for (const hash of packedImages()) live.add(hash);
    return live;
  });
}

function liveVersions(database: DatabaseSync, pinned: ReadonlySet<string>): Set<string> {
  const live = new Set(pinned);
  for (const row of database.prepare('SELECT DISTINCT file_version AS id FROM checkpoint').all())
    live.add(String(row['id']));
  // Documents of unfinished work and of sessions are opaque: whatever looks like a version id is spared.
  for (const table of ['intent', 'session']) {
    for (const row of database.prepare(`SELECT document FROM ${table}`).all()) {
      for (const match of String(row['document']).matchAll(/\b[0-9a-f]{64}\b/g)) live.add(match[0]);
    }
  }
  return live;
}

async function mark(
  database: DatabaseSync,
  chunks: ChunkStore,
  versions: VersionStore,
  roots: readonly TreeEntry[],
): Promise<Set<ChunkHash>> {
  const live = new Set<ChunkHash>();
  const content = (hash: ChunkHash, size: number): void => {
    if (live.has(hash)) return;
    live.add(hash);
    if (size <= blockBytes || !chunks.has(hash)) return;
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
  for (const root of roots) entry(root);
  for (let count = 0; waiting.length; count++) {
    const hash = waiting.pop();
    if (hash === undefined || live.has(hash)) continue;
    live.add(hash);
    for (const child of versions.directory(hash).values()) entry(child);
    if (count % yieldEvery === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const row of database.prepare('SELECT document FROM apply').all()) {
    const parsed = backupsSchema.parse(JSON.parse(String(row['document'])));
    for (const { hash, size } of parsed.contents) content(Buffer.from(hash, 'hex').toString('latin1'), size);
  }
  return live;
}
