/**
 * What one upper was seen to hold, kept in memory so that the next look reads only what has changed since: each entry with
 * the signature (ino, ctime, size, ...) it had. Owns looking and the hash tree of a root; knows no lowers and no versions.
 *
 * Where somebody knows which inodes have changed, only those are looked at: making, removing or moving a name changes the
 * inode of its directory, so what is not known here is found where it was made.
 *
 * Same tick: an entry whose ctime is as old as the clock's tick when it was looked at could be written again without its
 * ctime moving (facts of multigrain timestamps aside), so it is looked at again next time.
 */

import type { ChunkBatch } from './chunks.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { hashOf } from './chunk-reader.ts';
import { storeLarge, storeSmall, type ContentSink } from './contents.ts';
import {
  encodeDirectory,
  entryFrom,
  isDevice,
  isFile,
  isMetacopy,
  isWhiteout,
  type TreeEntry,
} from './file-tree.ts';
import {
  depthOf,
  isDirectory,
  markChanged,
  newNode,
  NodeTable,
  pathOf,
  setLink,
  unsure,
  type IndexNode,
} from './root-nodes.ts';
import type { TreeWorker } from './treefs.ts';
import {
  blockBytes,
  displayName,
  inodeFrom,
  inodeOf,
  scanShallow,
  scanStayOnDevice,
  type Detail,
  type ScanRecord,
} from './treefs-wire.ts';

const sameTickMs = 12;

export interface RefreshOptions {
  /** Offers entries for nodes that this index has not seen (after a restore): taken when the disk agrees. */
  readonly known?: ((path: string) => TreeEntry | undefined) | undefined;
  /** Every inode here that may have changed since the last look. Taken as a promise, unless `audit`. */
  readonly inodes?: readonly bigint[] | undefined;
  /** Looks at everything all the same, and tells what `inodes` did not. */
  readonly audit?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RefreshResult {
  readonly entries: number;
  readonly warnings: readonly string[];
  /** Entries that were read anew, parents before children. */
  readonly changed: readonly IndexNode[];
  /** Paths that had changed although no inode said so. */
  readonly missed: readonly string[];
}

/** What one look has come upon. */
interface Look {
  entries: number;
  readonly warnings: string[];
  /** To be read. */
  readonly stale: Set<IndexNode>;
  /** Directories in which names have come or gone. */
  readonly renamed: Set<IndexNode>;
}

export class RootIndex {
  readonly root: IndexNode = newNode('', undefined);
  readonly #table = new NodeTable();
  #grouped: ReadonlySet<IndexNode> = new Set();
  /** Everything was looked at once, so that knowing what has changed is enough. */
  #whole = false;

  /** Looks at the upper and reads what has changed. Contents go to `sink`, or are only hashed without one. */
  async refresh(
    worker: TreeWorker,
    upper: string,
    sink: ContentSink,
    options: RefreshOptions = {},
  ): Promise<RefreshResult> {
    const clockMs = Date.now();
    const look: Look = { entries: 0, warnings: [], stale: new Set(), renamed: new Set() };
    const named = this.#whole && options.inodes ? new Set(options.inodes.map(inodeFrom)) : undefined;
    const unsureBefore = options.audit ? new Set(this.#table.unsure) : new Set<IndexNode>();
    this.#whole = false;
    if (named && !options.audit) await this.#lookAt(worker, upper, named, look);
    else await this.#scan(worker, upper, this.root, scanStayOnDevice, look);
    options.signal?.throwIfAborted();
    const changed = await this.#read(
      worker,
      upper,
      [...look.stale],
      sink,
      clockMs,
      look.warnings,
      options.known,
    );
    options.signal?.throwIfAborted();
    this.#link();
    // What was warned of may be there next time, and nobody will say so.
    this.#whole = look.warnings.length === 0;
    const unnamed = (node: IndexNode): boolean => named !== undefined && !isNamed(node, named);
    const missed = options.audit
      ? [...changed.filter((node) => !unsureBefore.has(node) && !isShared(node)), ...look.renamed]
          .filter(unnamed)
          .map(pathOf)
      : [];
    return { entries: look.entries, warnings: look.warnings, changed, missed };
  }

  /** Looks only where inodes have changed, and again at what it was not sure of. */
  async #lookAt(worker: TreeWorker, upper: string, inodes: ReadonlySet<string>, look: Look): Promise<void> {
    const nodes = new Set(this.#table.unsure);
    for (const inode of inodes) for (const node of this.#table.named(inode)) nodes.add(node);
    const directories = [...nodes].filter((node) => node.children).sort((a, b) => depthOf(a) - depthOf(b));
    for (const node of directories) {
      // It went with one above it, or is a file by now.
      if (node.inode !== '' && node.children)
        await this.#scan(worker, upper, node, scanStayOnDevice | scanShallow, look);
    }
    for (const node of nodes) {
      if (node.inode === '' || node.children) continue;
      node.signature = unsure;
      look.stale.add(node);
    }
  }

  async #scan(worker: TreeWorker, upper: string, start: IndexNode, flags: number, look: Look): Promise<void> {
    const shallow = (flags & scanShallow) !== 0;
    const unlisted: IndexNode[] = [];
    const stack: { node: IndexNode; old: Map<string, IndexNode>; seen: number; added: boolean }[] = [];
    const close = (depth: number): void => {
      while (stack.length > depth) {
        const level = stack.pop();
        if (!level || (!level.added && level.seen === level.old.size)) continue;
        for (const child of level.old.values())
          if (level.node.children?.get(child.name) !== child) this.#table.forget(child);
        markChanged(level.node);
        look.renamed.add(level.node);
      }
    };
    const take = (record: ScanRecord): void => {
      close(record.depth);
      const level = stack[record.depth - 1];
      let node: IndexNode;
      if (!level) node = start;
      else {
        const old = level.old.get(record.name);
        node = old ?? newNode(record.name, level.node);
        if (old) level.seen++;
        else level.added = true;
        level.node.children?.set(record.name, node);
      }
      const same = node.inode === inodeOf(record.signature);
      this.#table.place(node, record.signature);
      if (node.signature !== record.signature) {
        // Kept for the reading below; it becomes the node's when that has been done.
        node.signature = unsure;
        look.stale.add(node);
      }
      if (!isDirectory(record.signature)) {
        this.#table.forgetBelow(node);
        node.tree = undefined;
      } else if (!shallow || record.depth === 0) {
        stack.push({ node, old: node.children ?? new Map<string, IndexNode>(), seen: 0, added: false });
        node.children = new Map();
      } else if (!same || !node.children) unlisted.push(node);
    };
    const { entries, warnings } = await worker.scan(upper, pathOf(start), flags, take);
    close(0);
    look.entries += entries;
    look.warnings.push(...warnings);
    for (const node of unlisted) await this.#scan(worker, upper, node, scanStayOnDevice, look);
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
      this.#table.place(node, detail.stat.signature);
      this.#table.read(node, unstable || ctimeMs >= clockMs - sameTickMs ? unsure : detail.stat.signature);
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
      this.#table.forget(node);
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
  #link(): void {
    const groups = Map.groupBy(
      [...this.#table.linked].filter((node) => node.entry),
      (node) => node.inode,
    );
    const inGroup = new Set<IndexNode>();
    for (const group of groups.values()) {
      const [first] = inOrder(group);
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

/** As a scan comes upon them: names in byte order, directory by directory. */
function inOrder(nodes: readonly IndexNode[]): IndexNode[] {
  if (nodes.length < 2) return [...nodes];
  const keys = new Map(nodes.map((node) => [node, pathOf(node).replaceAll('/', '\0')]));
  return nodes.toSorted((a, b) => ((keys.get(a) ?? '') < (keys.get(b) ?? '') ? -1 : 1));
}

/** Whiteouts are names of one inode: each that comes or goes changes what a `statx` says of the others, and nothing else. */
function isShared({ entry }: IndexNode): boolean {
  return entry !== undefined && isWhiteout(entry);
}

/** Its own inode, or one of a directory above it, is among `inodes`. */
function isNamed(node: IndexNode, inodes: ReadonlySet<string>): boolean {
  for (let at: IndexNode | undefined = node; at; at = at.parent) if (inodes.has(at.inode)) return true;
  return false;
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
