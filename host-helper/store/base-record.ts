/**
 * Remembers, when a session first changes a path of the workspace, what the developer had there: the base of a later
 * three-way merge. Costs follow what the session changes, never the size of the repository. Does not know how to merge.
 */

import type { ChunkBatch } from './chunks.ts';
import { hashOf, hexOf } from './chunk-reader.ts';
import { storeLarge } from './contents.ts';
import {
  isDirectory,
  isFile,
  isOpaque,
  isSymlink,
  isWhiteout,
  redirectOf,
  type EntryBase,
  type TreeEntry,
} from './file-tree.ts';
import { pathOf, setBase, type IndexNode } from './root-nodes.ts';
import type { TreeWorker } from './treefs.ts';
import { blockBytes, decodeStat, type Detail } from './treefs-wire.ts';

/** The root whose lower is the developer's own folder. */
export const workspaceRootName = 'workspace';
/** Contents up to this size are kept for merging; of larger ones only the hash. */
export const keptBaseBytes = 1 << 20;

const absent: EntryBase = { kind: 'none', mode: 0, size: 0, hash: '', kept: false };

/** Gives every entry that hides or replaces the developer's its base. `earlier` finds the base that an older version had for a path. */
export async function recordBases(
  worker: TreeWorker,
  lower: string,
  changed: readonly IndexNode[],
  batch: ChunkBatch,
  earlier: (path: string) => string | undefined,
): Promise<void> {
  const asked: { readonly node: IndexNode; readonly path: string }[] = [];
  for (const node of changed) {
    const entry = node.entry;
    if (!entry || !node.parent || entry.base !== '' || !hidesLower(entry)) continue;
    const path = pathOf(node);
    const known = earlier(path);
    if (known) setBase(node, known);
    else asked.push({ node, path });
  }
  if (asked.length === 0) return;
  const later: { readonly node: IndexNode; readonly path: string; readonly detail: Detail }[] = [];
  await worker.detail(
    lower,
    asked.map(({ path }) => path),
    blockBytes,
    (detail) => {
      const item = asked[detail.index];
      if (!item) return;
      if (detail.error !== 0) return setBase(item.node, encodeBase(absent));
      const { mode } = detail.stat;
      if (detail.content) {
        const hash = hexOf(batch.put(detail.content));
        setBase(item.node, encodeBase({ kind: 'file', mode, size: detail.content.length, hash, kept: true }));
      } else if (isSymlink(detail.stat)) {
        const hash = hexOf(batch.put(Buffer.from(detail.target, 'latin1')));
        setBase(
          item.node,
          encodeBase({ kind: 'symlink', mode, size: detail.target.length, hash, kept: true }),
        );
      } else {
        later.push({ ...item, detail });
      }
    },
  );
  for (const { node, path, detail } of later) {
    const { mode, size } = detail.stat;
    if (isDirectory(detail.stat)) {
      const manifest = await describeDirectory(worker, lower, path);
      setBase(
        node,
        encodeBase({ kind: 'directory', mode, size: 0, hash: hexOf(batch.put(manifest)), kept: true }),
      );
    } else if (isFile(detail.stat)) {
      const kept = size <= keptBaseBytes;
      const read = await storeLarge(worker, lower, path, kept ? batch : undefined);
      setBase(
        node,
        encodeBase({ kind: 'file', mode, size: read.stat.size, hash: hexOf(read.content), kept }),
      );
    } else {
      setBase(node, encodeBase({ ...absent, kind: 'other', mode }));
    }
  }
}

/** What a directory held when it went out of sight: for each entry its path below it, and what tells whether it is still the same. */
export async function describeDirectory(worker: TreeWorker, root: string, path: string): Promise<Buffer> {
  const fields: string[] = [];
  const names: string[] = [];
  await worker.scan(root, path, 0, (record) => {
    if (record.depth === 0) return;
    names.length = record.depth - 1;
    names.push(record.name);
    fields.push(names.join('/'), manifestLine(decodeStat(record.signature)));
  });
  return Buffer.from(fields.join('\0'), 'latin1');
}

/** Path below the directory → `manifestLine`. */
export function readManifest(data: Buffer): Map<string, string> {
  const fields = data.length ? data.toString('latin1').split('\0') : [];
  const lines = new Map<string, string>();
  for (let at = 0; at + 1 < fields.length; at += 2) lines.set(fields[at] ?? '', fields[at + 1] ?? '');
  return lines;
}

/** Equal while nobody has written to the entry. Directories are compared by what they hold, so their times do not count. */
export function manifestLine(stat: {
  readonly mode: number;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}): string {
  return isDirectory(stat)
    ? `${stat.mode.toString(8)}`
    : `${stat.mode.toString(8)} ${stat.size} ${stat.mtimeSec}.${stat.mtimeNsec}`;
}

/** For an empty content too: hex of its hash. */
export function contentHex(data: Uint8Array): string {
  return hexOf(hashOf(data));
}

function encodeBase({ kind, mode, size, hash, kept }: EntryBase): string {
  return JSON.stringify({ kind, mode, size, hash, kept });
}

function hidesLower(entry: TreeEntry): boolean {
  return !isDirectory(entry) || isWhiteout(entry) || isOpaque(entry) || redirectOf(entry) !== undefined;
}
