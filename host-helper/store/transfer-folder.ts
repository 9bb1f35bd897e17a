/**
 * A plain folder of the host as a tree of objects: read, compared with one, or filled from one. Holds a list of its entries
 * in memory, never its contents. Reads and writes through the tree worker, which cannot be led out of the folder.
 */

import type { ChunkStore } from './chunks.ts';
import type { ChunkHash } from './chunk-reader.ts';
import { hashOf } from './chunk-reader.ts';
import { storeLarge, type ObjectSink } from './contents.ts';
import {
  decodeDirectory,
  encodeDirectory,
  entryFrom,
  isDevice,
  isDirectory,
  isFile,
  isSymlink,
  kindOf,
  type TreeEntry,
} from './file-tree.ts';
import { join } from './overlay-view.ts';
import { writeDifference, type RestoreCount } from './restore-plan.ts';
import { RootIndex } from './root-index.ts';
import type { ObjectTaker, StoreObject } from './store.ts';
import { archiveInvalid } from './transfer-errors.ts';
import type { TreeWorker } from './treefs.ts';
import {
  blockBytes,
  byteName,
  decodeStat,
  displayName,
  scanStayOnDevice,
  type EntryStat,
} from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

/** So much of small files is in memory at once. */
const sliceBytes = 8 << 20;
const sliceEntries = 1_000;

interface Node {
  readonly name: string;
  readonly path: string;
  readonly stat: EntryStat;
  readonly children: Node[];
  entry: TreeEntry | undefined;
}

export interface FolderRead {
  readonly entry: TreeEntry;
  readonly warnings: readonly string[];
}

/** Reads everything below `folder`. Masked files are taken as empty and never opened. */
export async function readFolder(
  worker: TreeWorker,
  folder: string,
  options: {
    readonly masked: readonly string[];
    readonly taker: ObjectTaker | undefined;
    /** False: contents are hashed, and only directories are handed over. */
    readonly contents: boolean;
  },
): Promise<FolderRead> {
  const { taker } = options;
  const masked = new Set(options.masked.map(byteName));
  const { top, nodes, warnings } = await listFolder(worker, folder, masked);
  const sink = new TakerSink(options.contents ? taker : undefined);

  const first = new Map<string, string>();
  const settle = (
    node: Node,
    stat: EntryStat,
    parts: Parameters<typeof entryFrom>[3],
    xattrs: Parameters<typeof entryFrom>[2],
  ): void => {
    let link = '';
    if (!isDirectory(stat) && stat.nlink > 1) {
      const key = stat.signature.slice(0, 8);
      link = first.get(key) ?? node.path;
      first.set(key, link);
    }
    node.entry = entryFrom(node.name, stat, xattrs, { ...parts, link });
  };
  const details = async (slice: readonly Node[]): Promise<void> => {
    const large: Node[] = [];
    await worker.detail(
      folder,
      slice.map(({ path }) => path),
      blockBytes,
      (detail) => {
        const node = slice[detail.index];
        if (!node) return;
        if (detail.error !== 0) warnings.push(`${displayName(node.path)}: vanished while it was read`);
        else if (detail.unstable) large.push(node);
        else if (isDevice(entryFrom(node.name, detail.stat, [], {})))
          warnings.push(`${displayName(node.path)}: a device node; left out`);
        else if (!isFile(detail.stat)) settle(node, detail.stat, { target: detail.target }, detail.xattrs);
        else if (detail.content)
          settle(node, detail.stat, { content: sink.put(detail.content) }, detail.xattrs);
        else large.push(node);
      },
    );
    await sink.settled();
    for (const node of large) {
      const { content, stat, unstable } = await storeLarge(worker, folder, node.path, sink);
      if (unstable) warnings.push(`${displayName(node.path)}: kept changing while it was read`);
      const detail = await worker.detailOne(folder, node.path, 0);
      settle(node, stat, { content }, detail?.xattrs ?? []);
      await sink.settled();
    }
  };

  let slice: Node[] = [];
  let bytes = 0;
  for (const node of nodes) {
    if (masked.has(node.path) && !isDirectory(node.stat)) {
      const stat = { ...node.stat, size: 0 };
      settle(node, stat, { content: isFile(stat) ? sink.put(Buffer.alloc(0)) : '' }, []);
      continue;
    }
    slice.push(node);
    bytes += Math.min(isFile(node.stat) ? node.stat.size : 0, blockBytes);
    if (slice.length < sliceEntries && bytes < sliceBytes) continue;
    await details(slice);
    slice = [];
    bytes = 0;
  }
  await details(slice);

  const directories = new TakerSink(taker);
  const seal = async (node: Node): Promise<TreeEntry | undefined> => {
    if (!node.entry || !isDirectory(node.entry)) return node.entry;
    const children: TreeEntry[] = [];
    for (const child of node.children) {
      const entry = await seal(child);
      if (entry) children.push(entry);
    }
    children.sort((a, b) => (a.name < b.name ? -1 : 1));
    const content = directories.put(encodeDirectory(children));
    await directories.settled();
    return { ...node.entry, content };
  };
  const entry = await seal(top);
  if (!entry) throw archiveInvalid(`the folder ${folder} vanished`);
  return { entry: { ...entry, name: '' }, warnings };
}

/** Paths (relative, for people) whose kind, permissions or contents are not what `expected` says. */
export async function compareFolder(
  worker: TreeWorker,
  versions: Pick<VersionStore, 'directory'>,
  folder: string,
  masked: readonly string[],
  expected: TreeEntry,
  most: number,
): Promise<string[]> {
  const skipped = new Set(masked.map(byteName));
  const objects = new Map<ChunkHash, readonly TreeEntry[]>();
  const taker: ObjectTaker = {
    has: (hash) => objects.has(hash),
    take: ({ hash, data }) => Promise.resolve(void objects.set(hash, decodeDirectory(data))),
  };
  const { entry } = await readFolder(worker, folder, { masked, taker, contents: false });
  const differing: string[] = [];
  const compare = (path: string, a: TreeEntry | undefined, b: TreeEntry | undefined): void => {
    if (differing.length >= most || skipped.has(path)) return;
    if (!a || !b || kindOf(a) !== kindOf(b) || (!isSymlink(a) && ((a.mode ^ b.mode) & 0o777) !== 0)) {
      differing.push(displayName(path) || '.');
      return;
    }
    if (!isDirectory(a)) {
      if (a.content !== b.content || a.target !== b.target || a.size !== b.size)
        differing.push(displayName(path));
      return;
    }
    if (a.content === b.content) return;
    const inA = versions.directory(a.content);
    const inB = new Map((objects.get(b.content) ?? []).map((each) => [each.name, each]));
    for (const name of [...new Set([...inA.keys(), ...inB.keys()])].sort())
      compare(join(path, name), inA.get(name), inB.get(name));
  };
  // The top's own permissions are the folder owner's affair.
  compare('', expected, { ...entry, mode: expected.mode });
  return differing;
}

/** Writes a tree into an empty directory. Throws `archiveInvalid` when it is not empty. */
export async function fillFolder(
  worker: TreeWorker,
  chunks: ChunkStore,
  versions: Pick<VersionStore, 'directory'>,
  folder: string,
  tree: TreeEntry,
  owner: { readonly uid: number; readonly gid: number } | undefined,
): Promise<void> {
  const index = new RootIndex();
  const { entries } = await index.refresh(worker, folder, undefined);
  index.seal(undefined);
  if (entries > 1) throw archiveInvalid(`${folder} is not empty`);
  const theirs = (entry: TreeEntry): TreeEntry =>
    owner ? { ...entry, ...owner, xattrs: '', mode: entry.mode & ~0o6000 } : entry;
  const view = {
    directory: (hash: ChunkHash) =>
      owner
        ? new Map([...versions.directory(hash)].map(([name, entry]) => [name, theirs(entry)] as const))
        : versions.directory(hash),
  };
  const count: RestoreCount = { writtenBytes: 0, changedEntries: 0, warnings: [] };
  await worker.apply(folder, true, (writer) =>
    writeDifference(writer, chunks, view, index.root, theirs(tree), count),
  );
}

/** Every entry below `folder`, parents first; nothing below a masked directory. */
async function listFolder(
  worker: TreeWorker,
  folder: string,
  masked: ReadonlySet<string>,
): Promise<{ readonly top: Node; readonly nodes: readonly Node[]; readonly warnings: string[] }> {
  const nodes: Node[] = [];
  const stack: Node[] = [];
  const { warnings } = await worker.scan(folder, '', scanStayOnDevice, ({ depth, name, signature }) => {
    stack.length = Math.min(stack.length, depth);
    const parent = stack[depth - 1];
    // Below something masked nothing is on the stack.
    if (depth > 0 && !parent) return;
    const path = parent && parent.path !== '' ? join(parent.path, name) : depth === 0 ? '' : name;
    const node: Node = { name, path, stat: decodeStat(signature), children: [], entry: undefined };
    parent?.children.push(node);
    nodes.push(node);
    if (isDirectory(node.stat) && !masked.has(path)) stack[depth] = node;
  });
  const [top] = nodes;
  if (!top) throw archiveInvalid(`the folder ${folder} cannot be read`);
  return { top, nodes, warnings };
}

/** Contents on their way to a taker, which may have to be waited for; without one they are only named. */
class TakerSink implements ObjectSink {
  readonly #taker: ObjectTaker | undefined;
  #waiting: StoreObject[] = [];

  constructor(taker: ObjectTaker | undefined) {
    this.#taker = taker;
  }

  put(data: Buffer): ChunkHash {
    const hash = hashOf(data);
    if (this.#taker && !this.#taker.has(hash)) this.#waiting.push({ hash, data });
    return hash;
  }

  async putBlock(data: Buffer): Promise<ChunkHash> {
    const hash = this.put(data);
    await this.settled();
    return hash;
  }

  /** Resolves when everything has been taken. */
  async settled(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const object of waiting) await this.#taker?.take(object);
  }
}
