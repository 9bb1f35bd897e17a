/** The entries of one upper as they were last seen, as a tree in memory; also found by inode. Knows nothing of how they are looked at. */

import type { ChunkHash } from './chunk-reader.ts';
import type { TreeEntry } from './file-tree.ts';
import { inodeOf } from './treefs-wire.ts';

/** The signature of an entry that must be read again whatever a scan says. */
export const unsure = '';

export interface IndexNode {
  readonly name: string;
  readonly parent: IndexNode | undefined;
  /** The `statx` record when `entry` was read; `unsure` when it may have changed without a trace. */
  signature: string;
  /** Empty when it was not seen yet, or is gone. */
  inode: string;
  /** Undefined until first read. For a directory, `content` is stale: see `tree`. */
  entry: TreeEntry | undefined;
  /** Of a directory. */
  children: Map<string, IndexNode> | undefined;
  /** Its inode had more than one name, here or in the overlay's index. */
  linked: boolean;
  /** Hash of a directory's object; undefined when something below has changed. */
  tree: ChunkHash | undefined;
}

/** Where nodes are found other than by path. */
export class NodeTable {
  readonly #byInode = new Map<string, Set<IndexNode>>();
  readonly #linked = new Set<IndexNode>();
  readonly #unsure = new Set<IndexNode>();

  /** Those whose inode has more names than one. */
  get linked(): ReadonlySet<IndexNode> {
    return this.#linked;
  }

  /** Those that may have changed without a trace since they were read. */
  get unsure(): ReadonlySet<IndexNode> {
    return this.#unsure;
  }

  /** All names of an inode here. */
  named(inode: string): ReadonlySet<IndexNode> {
    return this.#byInode.get(inode) ?? noNodes;
  }

  /** `node` is what a `statx` says. */
  place(node: IndexNode, signature: string): void {
    const inode = inodeOf(signature);
    if (node.inode !== inode) {
      this.#leave(node);
      node.inode = inode;
      const names = this.#byInode.get(inode);
      if (names) names.add(node);
      else this.#byInode.set(inode, new Set([node]));
    }
    node.linked = hasMoreNames(signature);
    if (node.linked) this.#linked.add(node);
    else this.#linked.delete(node);
  }

  /** `node` was read; `signature` is `unsure` when that may not hold. */
  read(node: IndexNode, signature: string): void {
    node.signature = signature;
    if (signature === unsure) this.#unsure.add(node);
    else this.#unsure.delete(node);
  }

  /** `node` is not there any more, with all below it. */
  forget(node: IndexNode): void {
    this.forgetBelow(node);
    this.#leave(node);
    this.#linked.delete(node);
    this.#unsure.delete(node);
  }

  forgetBelow(node: IndexNode): void {
    for (const child of node.children?.values() ?? []) this.forget(child);
    node.children = undefined;
  }

  #leave(node: IndexNode): void {
    const names = this.#byInode.get(node.inode);
    names?.delete(node);
    if (names?.size === 0) this.#byInode.delete(node.inode);
    node.inode = '';
  }
}

const noDevice = '\0'.repeat(8);
const noNodes: ReadonlySet<IndexNode> = new Set();

/** By the record of a `statx` (treefs.h). */
export function isDirectory(signature: string): boolean {
  return (signature.charCodeAt(41) & 0xf0) === 0x40;
}

/** A regular file, or another thing that is one with what its other names show: no directory, no whiteout (they share one inode). */
function hasMoreNames(signature: string): boolean {
  const type = signature.charCodeAt(41) & 0xf0;
  if (type === 0x40 || (type === 0x20 && signature.slice(56, 64) === noDevice)) return false;
  return signature.charCodeAt(52) > 1 || signature.charCodeAt(53) > 0;
}

export function newNode(name: string, parent: IndexNode | undefined): IndexNode {
  return {
    name,
    parent,
    signature: unsure,
    inode: '',
    entry: undefined,
    linked: false,
    children: undefined,
    tree: undefined,
  };
}

/** Path below the root of the index; empty for the root itself. */
export function pathOf(node: IndexNode): string {
  if (!node.parent) return '';
  const parent = pathOf(node.parent);
  return parent ? `${parent}/${node.name}` : node.name;
}

export function depthOf(node: IndexNode): number {
  let depth = 0;
  for (let at = node.parent; at; at = at.parent) depth++;
  return depth;
}

/** The objects of the directories above have to be made anew. */
export function markChanged(node: IndexNode): void {
  for (let at: IndexNode | undefined = node; at; at = at.parent) at.tree = undefined;
}

export function setBase(node: IndexNode, base: string): void {
  if (!node.entry || node.entry.base === base) return;
  node.entry = { ...node.entry, base };
  markChanged(node);
}

export function setLink(node: IndexNode, link: string): void {
  if (!node.entry || node.entry.link === link) return;
  node.entry = { ...node.entry, link };
  markChanged(node);
}
