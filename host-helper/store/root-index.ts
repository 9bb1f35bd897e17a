/**
 * What one upper was seen to hold, kept in memory so that the next look reads only what has changed since: each entry with
 * the signature (ino, ctime, size, ...) it had. Owns scanning and the hash tree of a root; knows no lowers and no versions.
 *
 * Same tick: an entry whose ctime is as old as the clock's tick when it was looked at could be written again without its
 * ctime moving (facts of multigrain timestamps aside), so it is looked at again next time.
 */

import type { ChunkBatch } from './chunks.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { hashOf } from './chunk-reader.ts';
import { storeLarge, storeSmall, type ContentSink } from './contents.ts';
import { encodeDirectory, entryFrom, isDevice, isFile, isMetacopy, type TreeEntry } from './file-tree.ts';
import type { TreeWorker } from './treefs.ts';
import { blockBytes, displayName, type Detail, type ScanRecord } from './treefs-wire.ts';

const sameTickMs = 12;
/** An entry that must be read again whatever a scan says. */
const unsure = '';

export interface IndexNode {
  readonly name: string;
  readonly parent: IndexNode | undefined;
  /** The `statx` record when `entry` was read; `unsure` when it may have changed without a trace. */
  signature: string;
  /** Undefined until first read. For a directory, `content` is stale: see `tree`. */
  entry: TreeEntry | undefined;
  /** Of a directory. */
  children: Map<string, IndexNode> | undefined;
  /** Its inode had more than one name, here or in the overlay's index. */
  linked: boolean;
  /** Hash of a directory's object; undefined when something below has changed. */
  tree: ChunkHash | undefined;
}

export interface RefreshResult {
  readonly entries: number;
  readonly warnings: readonly string[];
  /** Entries that were read anew, parents before children. */
  readonly changed: readonly IndexNode[];
}

export class RootIndex {
  readonly root: IndexNode = newNode('', undefined);
  #grouped: ReadonlySet<IndexNode> = new Set();

  /**
   * Looks at the whole upper and reads what has changed. Contents go to `sink`, or are only hashed without one.
   * `known` offers entries for nodes that this index has not seen (after a restore): taken when the disk agrees.
   */
  async refresh(
    worker: TreeWorker,
    upper: string,
    sink: ContentSink,
    options: { readonly known?: (path: string) => TreeEntry | undefined; readonly signal?: AbortSignal } = {},
  ): Promise<RefreshResult> {
    const clockMs = Date.now();
    const stale: IndexNode[] = [];
    const linked: IndexNode[] = [];
    const stack: { node: IndexNode; old: Map<string, IndexNode>; seen: number; added: boolean }[] = [];
    const close = (depth: number): void => {
      while (stack.length > depth) {
        const level = stack.pop();
        if (level && (level.added || level.seen !== level.old.size)) markChanged(level.node);
      }
    };
    const take = (record: ScanRecord): void => {
      close(record.depth);
      const level = stack[record.depth - 1];
      let node: IndexNode;
      if (!level) node = this.root;
      else {
        const old = level.old.get(record.name);
        node = old ?? newNode(record.name, level.node);
        if (old) level.seen++;
        else level.added = true;
        level.node.children?.set(record.name, node);
      }
      if (node.signature !== record.signature) {
        // Kept for the reading below; it becomes the node's when that has been done.
        node.signature = unsure;
        stale.push(node);
      }
      const directory = (record.signature.charCodeAt(41) & 0xf0) === 0x40;
      if (directory) {
        stack.push({ node, old: node.children ?? new Map<string, IndexNode>(), seen: 0, added: false });
        node.children = new Map();
      } else {
        node.children = undefined;
        node.tree = undefined;
        node.linked = record.signature.charCodeAt(52) > 1 || record.signature.charCodeAt(53) > 0;
        if (node.linked) linked.push(node);
        inodes.set(node, record.signature.slice(0, 8));
      }
    };
    const inodes = new Map<IndexNode, string>();
    const scan = await worker.scan(upper, '', true, take);
    close(0);
    options.signal?.throwIfAborted();
    const warnings = [...scan.warnings];
    const changed = await this.#read(worker, upper, stale, sink, clockMs, warnings, options.known);
    options.signal?.throwIfAborted();
    this.#link(linked, inodes);
    return { entries: scan.entries, warnings, changed };
  }

  /** Hashes what has changed, up to the root; new directory objects go to `batch`. Returns the root's entry. */
  seal(batch: ChunkBatch | undefined): TreeEntry {
    const visit = (node: IndexNode): TreeEntry => {
      const entry = node.entry;
      if (!entry) throw new Error(`An entry was never read: ${pathOf(node)}`);
      if (!node.children) return entry;
      if (node.tree === undefined) {
        const children = [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
        const object = encodeDirectory(children.map(visit));
        node.tree = batch ? batch.put(object) : hashOf(object);
      }
      return entry.content === node.tree ? entry : (node.entry = { ...entry, content: node.tree });
    };
    return visit(this.root);
  }

  async #read(
    worker: TreeWorker,
    upper: string,
    stale: readonly IndexNode[],
    sink: ContentSink,
    clockMs: number,
    warnings: string[],
    known: ((path: string) => TreeEntry | undefined) | undefined,
  ): Promise<IndexNode[]> {
    const changed: IndexNode[] = [];
    const large: { node: IndexNode; detail: Detail }[] = [];
    const settle = (node: IndexNode, detail: Detail, content: ChunkHash, unstable: boolean): void => {
      const old = node.entry;
      const entry = entryFrom(node.name, detail.stat, detail.xattrs, {
        content,
        target: detail.target,
        link: old?.link ?? '',
        base: old?.base ?? '',
      });
      node.entry = entry;
      if (unstable)
        warnings.push(
          `${displayName(pathOf(node))}: kept changing while it was read; this version may mix two states of it`,
        );
      if (isDevice(entry))
        warnings.push(
          `${displayName(pathOf(node))}: a device node; recorded, but a restore does not make it`,
        );
      if (isMetacopy(entry))
        warnings.push(
          `${displayName(pathOf(node))}: only its attributes were copied up; its content stays with the lower folder`,
        );
      const ctimeMs = detail.stat.ctimeSec * 1000 + detail.stat.ctimeNsec / 1e6;
      node.signature = unstable || ctimeMs >= clockMs - sameTickMs ? unsure : detail.stat.signature;
      markChanged(node);
      changed.push(node);
    };
    // Where a restore has just written, only what `known` cannot vouch for needs its content read.
    const paths = stale.map(pathOf);
    const inline = known ? 0 : blockBytes;
    const again: number[] = [];
    const vanished = new Set<IndexNode>();
    const take = (node: IndexNode, path: string, position: number, detail: Detail): void => {
      if (detail.error !== 0) {
        warnings.push(
          `${displayName(path)}: ${detail.error === 2 ? 'vanished while it was read' : `cannot be read (errno ${detail.error})`}`,
        );
        vanished.add(node);
        return;
      }
      if (!isFile(detail.stat)) return settle(node, detail, '', false);
      const offered = known?.(path);
      if (offered && agrees(offered, detail)) {
        settle(node, detail, offered.content, false);
        if (node.entry) node.entry = { ...node.entry, base: offered.base };
        return;
      }
      if (detail.content) return settle(node, detail, storeSmall(sink, detail.content), detail.unstable);
      if (inline === 0 && detail.stat.size <= blockBytes) again.push(position);
      else large.push({ node, detail });
    };
    await worker.detail(upper, paths, inline, (detail) => {
      const node = stale[detail.index];
      const path = paths[detail.index];
      if (node && path !== undefined) take(node, path, detail.index, detail);
    });
    if (again.length) {
      const nodes = again.map((position) => stale[position]);
      await worker.detail(
        upper,
        again.map((position) => paths[position] ?? ''),
        blockBytes,
        (detail) => {
          const node = nodes[detail.index];
          if (!node) return;
          if (detail.content) settle(node, detail, storeSmall(sink, detail.content), detail.unstable);
          else large.push({ node, detail });
        },
      );
    }
    for (const { node, detail } of large) {
      const read = await storeLarge(worker, upper, pathOf(node), sink);
      settle(node, { ...detail, stat: read.stat }, read.content, read.unstable);
    }
    for (const node of vanished) {
      node.parent?.children?.delete(node.name);
      if (node.parent) markChanged(node.parent);
    }
    // Bases of what is no file come from `known` too.
    if (known) {
      for (const node of changed) {
        const base = known(pathOf(node))?.base;
        if (node.entry && base !== undefined && node.entry.base !== base)
          node.entry = { ...node.entry, base };
      }
    }
    return changed;
  }

  /** Names of one inode are a group, known by its first path. */
  #link(linked: readonly IndexNode[], inodes: ReadonlyMap<IndexNode, string>): void {
    const groups = new Map<string, IndexNode[]>();
    for (const node of linked) {
      if (!node.entry) continue;
      const key = inodes.get(node) ?? '';
      const group = groups.get(key);
      if (group) group.push(node);
      else groups.set(key, [node]);
    }
    const inGroup = new Set<IndexNode>();
    for (const group of groups.values()) {
      const first = group[0];
      const key = group.length > 1 && first ? pathOf(first) : '';
      for (const node of group) {
        inGroup.add(node);
        setLink(node, key);
      }
    }
    for (const node of this.#grouped) if (!inGroup.has(node)) setLink(node, '');
    this.#grouped = inGroup;
  }
}

/** Path below the root of the index; empty for the root itself. */
export function pathOf(node: IndexNode): string {
  if (!node.parent) return '';
  const parent = pathOf(node.parent);
  return parent ? `${parent}/${node.name}` : node.name;
}

export function setBase(node: IndexNode, base: string): void {
  if (!node.entry || node.entry.base === base) return;
  node.entry = { ...node.entry, base };
  markChanged(node);
}

function setLink(node: IndexNode, link: string): void {
  if (!node.entry || node.entry.link === link) return;
  node.entry = { ...node.entry, link };
  markChanged(node);
}

function newNode(name: string, parent: IndexNode | undefined): IndexNode {
  return {
    name,
    parent,
    signature: unsure,
    entry: undefined,
    linked: false,
    children: undefined,
    tree: undefined,
  };
}

function markChanged(node: IndexNode): void {
  for (let at: IndexNode | undefined = node; at; at = at.parent) at.tree = undefined;
}

function agrees(entry: TreeEntry, detail: Detail): boolean {
  const { stat } = detail;
  return (
    entry.mode === stat.mode &&
    entry.uid === stat.uid &&
    entry.gid === stat.gid &&
    entry.size === stat.size &&
    entry.mtimeSec === stat.mtimeSec &&
    entry.mtimeNsec === stat.mtimeNsec
  );
}
