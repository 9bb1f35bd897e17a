/**
 * The steps that turn what an upper holds into what a version says: only the difference, hard links as links, large files
 * block by block. Parents before children; a directory's own times last, after its entries have been changed.
 */

import type { ChunkStore } from './chunks.ts';
import { patchContent, writeContent } from './contents.ts';
import { isDevice, isDirectory, isFile, isSymlink, metaOf, sameEntry, type TreeEntry } from './file-tree.ts';
import { join } from './overlay-view.ts';
import type { IndexNode } from './root-nodes.ts';
import type { TreeWriter } from './tree-writer.ts';
import { blockBytes, displayName } from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

export interface RestoreCount {
  writtenBytes: number;
  changedEntries: number;
  readonly warnings: string[];
}

/** Sends the steps for one root to `writer`. `current` is what a refresh has just seen. */
export async function writeDifference(
  writer: TreeWriter,
  chunks: ChunkStore,
  versions: Pick<VersionStore, 'directory'>,
  current: IndexNode,
  target: TreeEntry,
  count: RestoreCount,
): Promise<void> {
  const restoreDirectory = async (
    path: string,
    node: IndexNode | undefined,
    entry: TreeEntry,
  ): Promise<void> => {
    const before = count.changedEntries;
    if (node?.tree !== entry.content) {
      const wanted = versions.directory(entry.content);
      for (const name of node?.children?.keys() ?? []) {
        if (wanted.has(name)) continue;
        await writer.remove(join(path, name));
        count.changedEntries++;
      }
      for (const [name, child] of wanted)
        await restoreEntry(join(path, name), node?.children?.get(name), child);
    }
    const touched = count.changedEntries !== before;
    const sameMeta = node?.entry && sameEntry({ ...node.entry, content: '' }, { ...entry, content: '' });
    if (touched || !sameMeta) {
      await writer.meta(path, metaOf(entry));
      if (!touched) count.changedEntries++;
    }
  };

  const restoreEntry = async (path: string, node: IndexNode | undefined, entry: TreeEntry): Promise<void> => {
    const present = node?.entry;
    if (isDirectory(entry)) {
      if (present && isDirectory(present)) return await restoreDirectory(path, node, entry);
      if (present) await writer.remove(path);
      await writer.directory(path, metaOf(entry));
      count.changedEntries++;
      return await restoreDirectory(path, undefined, entry);
    }
    if (present && sameEntry(present, entry)) return;
    if (present && (isDirectory(present) || isDevice(entry))) await writer.remove(path);
    count.changedEntries++;
    await create(path, present, entry);
  };

  const create = async (path: string, present: TreeEntry | undefined, entry: TreeEntry): Promise<void> => {
    if (isDevice(entry)) {
      count.warnings.push(`${displayName(path)}: a device node; it was not made again`);
    } else if (entry.link !== '' && entry.link !== path) {
      await writer.link(path, entry.link);
    } else if (isSymlink(entry)) {
      await writer.symlink(path, entry.target, metaOf(entry));
    } else if (!isFile(entry)) {
      await writer.node(path, metaOf(entry));
    } else if (present && canPatch(present, entry)) {
      await writer.fileBegin(path, { inPlace: true });
      count.writtenBytes += await patchContent(chunks, writer, present, entry);
      await writer.fileEnd(entry.size, metaOf(entry));
    } else {
      await writer.fileBegin(path);
      count.writtenBytes += await writeContent(chunks, writer, entry.content, entry.size);
      await writer.fileEnd(entry.size, metaOf(entry));
    }
  };

  const canPatch = (present: TreeEntry, entry: TreeEntry): boolean =>
    isFile(present) &&
    present.link === '' &&
    entry.link === '' &&
    present.size > blockBytes &&
    entry.size > blockBytes &&
    chunks.has(present.content);

  await restoreDirectory('', current, target);
}

/** Takes from `target` what a disk does not tell (bases), where the entries are otherwise the same. Returns a path that is not, if any. */
export function adoptBases(
  versions: VersionStore,
  node: IndexNode,
  target: TreeEntry,
  path = '',
): string | undefined {
  if (!node.entry) return path;
  const directory = isDirectory(target);
  if (
    !sameEntry(
      { ...node.entry, content: directory ? '' : node.entry.content },
      { ...target, content: directory ? '' : target.content },
    )
  )
    return path;
  if (node.entry.base !== target.base) node.entry = { ...node.entry, base: target.base };
  if (!directory || node.tree === target.content) return undefined;
  const wanted = versions.directory(target.content);
  for (const [name, child] of wanted) {
    const childNode = node.children?.get(name);
    if (!childNode) {
      if (isDevice(child)) continue;
      return join(path, name);
    }
    const wrong = adoptBases(versions, childNode, child, join(path, name));
    if (wrong !== undefined) return wrong;
  }
  for (const name of node.children?.keys() ?? []) if (!wanted.has(name)) return join(path, name);
  node.tree = undefined;
  return undefined;
}
