/**
 * A version as the sandbox sees it: upper entries over the lower. Follows whiteouts, opaque directories and redirects, for
 * listing, finding and reading. Looks at the lower through the tree worker only where it has to.
 */

import type { TrackedRoot } from '../sandbox/sandbox.ts';
import type { ChunkStore } from './chunks.ts';
import { readContent, storeLarge } from './contents.ts';
import {
  entryFrom,
  isDirectory,
  isFile,
  isMetacopy,
  isOpaque,
  isSymlink,
  isWhiteout,
  redirectOf,
  visibleXattrs,
  xattrsOf,
  type TreeEntry,
} from './file-tree.ts';
import { hashOf } from './chunk-reader.ts';
import type { TreeWorker } from './treefs.ts';
import { blockBytes, type Detail } from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

/** A directory as the sandbox sees it: the upper's part, the lower's part, or both merged. */
export interface ViewDirectory {
  readonly upper: TreeEntry | undefined;
  /** Path below the lower; undefined when the lower does not show through. */
  readonly lower: string | undefined;
}

/** One visible entry. */
export interface ViewEntry extends ViewDirectory {
  readonly meta: TreeEntry;
  /** A file of the lower that has other names there. */
  readonly lowerLinked?: boolean;
}

export class OverlayView {
  readonly root: TrackedRoot;
  readonly #worker: TreeWorker;
  readonly #versions: VersionStore;
  readonly #chunks: ChunkStore;

  constructor(root: TrackedRoot, worker: TreeWorker, versions: VersionStore, chunks: ChunkStore) {
    this.root = root;
    this.#worker = worker;
    this.#versions = versions;
    this.#chunks = chunks;
  }

  /** The top of the root; `upper` undefined: as if nothing had ever been changed. */
  top(upper: TreeEntry | undefined): ViewDirectory {
    const hasLower = this.root.kind === 'overlay' && this.root.lower !== undefined;
    return { upper, lower: hasLower && !(upper && isOpaque(upper)) ? '' : undefined };
  }

  upperChildren(directory: ViewDirectory): ReadonlyMap<string, TreeEntry> {
    return directory.upper && isDirectory(directory.upper)
      ? this.#versions.directory(directory.upper.content)
      : new Map();
  }

  /** What the sandbox sees under `name`; undefined for nothing. */
  async child(directory: ViewDirectory, name: string): Promise<ViewEntry | undefined> {
    return (await this.children(directory, [name])).get(name);
  }

  /** What the sandbox sees under each of `names`; what is not there is left out. Asks the lower once for all. */
  async children(directory: ViewDirectory, names: readonly string[]): Promise<Map<string, ViewEntry>> {
    const uppers = this.upperChildren(directory);
    const asked: { readonly name: string; readonly path: string }[] = [];
    const result = new Map<string, ViewEntry>();
    for (const name of names) {
      const upper = uppers.get(name);
      if (upper && isWhiteout(upper)) continue;
      const lower = lowerPath(directory, name, upper);
      if (upper && !(isDirectory(upper) && !isOpaque(upper) && lower !== undefined)) {
        result.set(name, { upper, lower: isMetacopy(upper) ? lower : undefined, meta: upper });
      } else if (lower !== undefined) {
        asked.push({ name, path: lower });
      }
    }
    const details = await this.lowerDetails(asked.map(({ path }) => path));
    asked.forEach(({ name, path }, index) => {
      const upper = uppers.get(name);
      const detail = details[index];
      if (upper)
        result.set(name, {
          upper,
          lower: detail && isDirectory(detail.stat) ? path : undefined,
          meta: upper,
        });
      else if (detail && !isLowerWhiteout(detail))
        result.set(name, {
          upper: undefined,
          lower: path,
          meta: lowerEntry(name, detail),
          ...(isFile(detail.stat) && detail.stat.nlink > 1 ? { lowerLinked: true } : {}),
        });
    });
    return result;
  }

  /** Attributes of entries of the lower; undefined for those that are not there. */
  async lowerDetails(paths: readonly string[]): Promise<(Detail | undefined)[]> {
    const details: (Detail | undefined)[] = paths.map(() => undefined);
    if (paths.length === 0 || this.root.lower === undefined) return details;
    await this.#worker.detail(this.root.lower, paths, 0, (detail) => {
      if (detail.error === 0) details[detail.index] = detail;
    });
    return details;
  }

  /** Names in a directory, as the sandbox lists them. */
  async names(directory: ViewDirectory): Promise<string[]> {
    const names = new Set<string>(
      directory.lower === undefined ? [] : await this.lowerNames(directory.lower),
    );
    for (const [name, entry] of this.upperChildren(directory)) {
      if (isWhiteout(entry)) names.delete(name);
      else names.add(name);
    }
    return [...names].sort();
  }

  async lowerNames(path: string): Promise<string[]> {
    const names: string[] = [];
    const lower = this.root.lower;
    if (lower === undefined) return names;
    await this.#worker.list(lower, path, (name) => names.push(name));
    return names;
  }

  /** An entry of the lower; undefined when it is not there (or lies behind a symbolic link). */
  async lowerDetail(path: string, inlineLimit: number): Promise<Detail | undefined> {
    if (this.root.lower === undefined) return undefined;
    return await this.#worker.detailOne(this.root.lower, path, inlineLimit);
  }

  /** The whole content of a visible file, or the target of a link. */
  async content(entry: ViewEntry): Promise<Buffer> {
    if (isSymlink(entry.meta)) return Buffer.from(entry.meta.target, 'latin1');
    if (entry.upper && !(isMetacopy(entry.upper) && entry.lower !== undefined)) {
      return readContent(this.#chunks, entry.upper.content, entry.upper.size);
    }
    return await this.lowerContent(entry.lower ?? '');
  }

  async lowerContent(path: string): Promise<Buffer> {
    const parts: { offset: number; data: Buffer }[] = [];
    const { before } = await this.#worker.stream(this.root.lower ?? '', path, (offset, data) => {
      parts.push({ offset, data: Buffer.from(data) });
    });
    const content = Buffer.alloc(before.size);
    for (const part of parts) part.data.copy(content, part.offset);
    return content;
  }

  /** Hash of a visible file's content or a link's target: comparable with that of any other. */
  async contentHash(entry: ViewEntry): Promise<string> {
    if (isSymlink(entry.meta)) return hashOf(Buffer.from(entry.meta.target, 'latin1'));
    if (entry.upper && !(isMetacopy(entry.upper) && entry.lower !== undefined)) return entry.upper.content;
    return await this.lowerHash(entry.lower ?? '');
  }

  async lowerHash(path: string): Promise<string> {
    const detail = await this.lowerDetail(path, blockBytes);
    if (detail?.content) return hashOf(detail.content);
    return (await storeLarge(this.#worker, this.root.lower ?? '', path, undefined)).content;
  }

  /** Whether a program would see the same: type, content, mode, owner, attributes and other names. Not the times. */
  async same(a: ViewEntry, b: ViewEntry): Promise<boolean> {
    const [x, y] = [a.meta, b.meta];
    if (
      x.mode !== y.mode ||
      x.uid !== y.uid ||
      x.gid !== y.gid ||
      x.rdevMajor !== y.rdevMajor ||
      x.rdevMinor !== y.rdevMinor
    )
      return false;
    if (visible(x) !== visible(y)) return false;
    if (isSymlink(x)) return x.target === y.target;
    if (!isFile(x)) return true;
    if (x.size !== y.size || x.link !== y.link) return false;
    // What becomes of its other names when one is copied up, only the overlay knows.
    if ((a.lowerLinked ?? false) !== (b.lowerLinked ?? false)) return false;
    return (await this.contentHash(a)) === (await this.contentHash(b));
  }
}

function lowerPath(directory: ViewDirectory, name: string, upper: TreeEntry | undefined): string | undefined {
  const redirect = upper && redirectOf(upper);
  if (redirect?.startsWith('/')) return redirect.slice(1);
  return directory.lower === undefined ? undefined : join(directory.lower, redirect ?? name);
}

/** A lower that was an upper once may hold whiteouts of its own: the overlay shows nothing there. */
function isLowerWhiteout(detail: Detail): boolean {
  return isWhiteout(lowerEntry('', detail));
}

export function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

export function lowerEntry(name: string, detail: Detail): TreeEntry {
  return entryFrom(name, detail.stat, detail.xattrs, { target: detail.target });
}

function visible(entry: TreeEntry): string {
  return entry.xattrs === '' ? '' : visibleXattrs(xattrsOf(entry));
}
