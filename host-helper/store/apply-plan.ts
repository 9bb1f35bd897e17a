/**
 * What applying a session's workspace would mean, path by path: compares the session's entry, the developer's entry as it is
 * now, and the base that was remembered when the session first changed the path. Reads only.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { keptBaseBytes, manifestLine, readManifest, workspaceRootName } from './base-record.ts';
import type { ChunkStore } from './chunks.ts';
import { hexOf } from './chunk-reader.ts';
import { readContent } from './contents.ts';
import {
  baseOf,
  isDirectory,
  isFile,
  isSymlink,
  kindOf,
  type EntryBase,
  type TreeEntry,
} from './file-tree.ts';
import { OverlayView, type ViewEntry } from './overlay-view.ts';
import type { ApplyItem, FileVersionId } from './store.ts';
import { mergeText } from './text-merge.ts';
import type { TreeWorker } from './treefs.ts';
import { changesOfRoot, toFileChange, type RootChange } from './version-changes.ts';
import type { VersionStore } from './versions.ts';

export interface PlannedItem {
  readonly item: ApplyItem;
  /** Byte string below the workspace. */
  readonly path: string;
  /** The developer's, now. */
  readonly mine: ViewEntry | undefined;
  readonly theirs: ViewEntry | undefined;
  /** Both changes in one text: without overlap, or with conflict markers. */
  readonly merge: Buffer | undefined;
  /** What the file's mode was when the session began to change it. */
  readonly baseMode: number | undefined;
}

export interface WorkspaceView {
  readonly root: TrackedRoot;
  readonly lower: string;
  readonly view: OverlayView;
  readonly top: TreeEntry | undefined;
}

/** What is known of the state that the session started from. */
type Base = EntryBase | { readonly kind: 'listed'; readonly line: string };

export class ApplyPlanner {
  readonly #worker: TreeWorker;
  readonly #chunks: ChunkStore;
  readonly #versions: VersionStore;

  constructor(worker: TreeWorker, chunks: ChunkStore, versions: VersionStore) {
    this.#worker = worker;
    this.#chunks = chunks;
    this.#versions = versions;
  }

  workspace(version: FileVersionId, roots: readonly TrackedRoot[]): WorkspaceView {
    const root = roots.find(({ name }) => name === workspaceRootName);
    if (!root || root.lower === undefined)
      throw new TurntableError(
        'workspaceInvalid',
        'This session has no workspace of yours to apply changes to.',
      );
    const view = new OverlayView(root, this.#worker, this.#versions, this.#chunks);
    return { root, lower: root.lower, view, top: this.#versions.roots(version).get(root.name) };
  }

  async plan(workspace: WorkspaceView): Promise<PlannedItem[]> {
    const { changes, truncated } = await changesOfRoot(workspace.view, undefined, workspace.top);
    if (truncated)
      throw new TurntableError(
        'workspaceInvalid',
        "The session changed too many files to apply at once. Copy what you need from the session's folder.",
      );
    const items: PlannedItem[] = [];
    // A change of kind comes as a removal and an addition of one path: the removal alone says whose it was.
    const removed = new Set(changes.filter(({ change }) => change === 'removed').map(({ path }) => path));
    for (const change of changes) {
      const item = await this.#judge(
        workspace,
        change,
        change.change === 'added' && removed.has(change.path),
      );
      if (item) items.push(item);
    }
    return items;
  }

  async #judge(
    workspace: WorkspaceView,
    change: RootChange,
    replaces: boolean,
  ): Promise<PlannedItem | undefined> {
    const { view } = workspace;
    const { path, before: mine, after: theirs } = change;
    if (mine && theirs && !(await differs(view, mine, theirs))) return undefined;
    const planned = (
      outcome: ApplyItem['outcome'],
      reason: string,
      merge?: Buffer,
      baseMode?: number,
    ): PlannedItem => ({
      item: { ...toFileChange(workspace.root, change), outcome, reason },
      path,
      mine,
      theirs,
      merge,
      baseMode,
    });
    for (const entry of [mine, theirs]) {
      if (entry && kindOf(entry.meta) === 'other')
        return planned('unsupported', 'not a file, directory or symbolic link');
    }
    // A directory goes when it is empty by then, and comes when it is missing: nothing of the developer's is at stake.
    if ((mine ?? theirs) && [mine, theirs].every((entry) => !entry || isDirectory(entry.meta)))
      return planned('clean', '');
    if (replaces) return planned('clean', '');
    const base = this.#base(workspace, path);
    const baseMode = base && base.kind !== 'listed' ? base.mode : undefined;
    if (await this.#isBase(view, mine, base)) return planned('clean', '', undefined, baseMode);
    if (mine && theirs && isFile(mine.meta) && isFile(theirs.meta)) {
      const merge = await this.#merge(view, mine, theirs, base);
      if (merge && !merge.conflict)
        return planned('merged', 'you and the session changed different lines', merge.content, baseMode);
      return planned(
        'conflict',
        base?.kind === 'none'
          ? 'you and the session both made this file'
          : 'you and the session changed the same lines',
        merge?.content,
        baseMode,
      );
    }
    if (!mine) return planned('conflict', 'you deleted what the session changed', undefined, baseMode);
    if (!theirs) return planned('conflict', 'the session deleted what you changed', undefined, baseMode);
    return planned('conflict', 'you and the session both changed it', undefined, baseMode);
  }

  /** The base of a path: its own, or what the manifest of a directory that went out of sight above it says. */
  #base(workspace: WorkspaceView, path: string): Base | undefined {
    let entry = workspace.top;
    const parts = path.split('/');
    for (const [index, name] of parts.entries()) {
      if (!entry || !isDirectory(entry)) return undefined;
      entry = this.#versions.directory(entry.content).get(name);
      const base = entry ? baseOf(entry) : undefined;
      if (!base) continue;
      if (index === parts.length - 1) return base;
      if (base.kind !== 'directory') return { ...base, kind: 'none', kept: false };
      // A nearer base is better; the manifest serves where the path's own entry has none.
      const rest = parts.slice(index + 1).join('/');
      const own = entry ? this.#versions.find(entry, rest) : undefined;
      const ownBase = own ? baseOf(own) : undefined;
      if (ownBase) return ownBase;
      const line = readManifest(this.#chunks.get(Buffer.from(base.hash, 'hex').toString('latin1'))).get(rest);
      return line === undefined ? { ...base, kind: 'none', kept: false } : { kind: 'listed', line };
    }
    return undefined;
  }

  /** Whether the developer's entry is still what the session started from. */
  async #isBase(view: OverlayView, mine: ViewEntry | undefined, base: Base | undefined): Promise<boolean> {
    if (!base || base.kind === 'none') return mine === undefined;
    if (!mine) return false;
    if (base.kind === 'listed') return manifestLine(mine.meta) === base.line;
    if (base.kind !== kindOf(mine.meta)) return false;
    if (base.kind === 'file' && base.size !== mine.meta.size) return false;
    return base.kind === 'directory' || hexOf(await view.contentHash(mine)) === base.hash;
  }

  async #merge(
    view: OverlayView,
    mine: ViewEntry,
    theirs: ViewEntry,
    base: Base | undefined,
  ): Promise<{ readonly content: Buffer; readonly conflict: boolean } | undefined> {
    if (Math.max(mine.meta.size, theirs.meta.size) > keptBaseBytes) return undefined;
    const mineContent = await view.content(mine);
    const theirContent = await view.content(theirs);
    let baseContent: Buffer = Buffer.alloc(0);
    if (base?.kind === 'file' && base.kept)
      baseContent = readContent(this.#chunks, Buffer.from(base.hash, 'hex').toString('latin1'), base.size);
    else if (base && base.kind !== 'none') return undefined;
    const merged = mergeText(baseContent, mineContent, theirContent);
    return merged && base?.kind !== 'file' ? { ...merged, conflict: true } : merged;
  }
}

/** Differs in what is applied: kind, content, permission bits. Never in owner or times: those are the developer's. */
async function differs(view: OverlayView, mine: ViewEntry, theirs: ViewEntry): Promise<boolean> {
  if (kindOf(mine.meta) !== kindOf(theirs.meta)) return true;
  if (isSymlink(mine.meta)) return mine.meta.target !== theirs.meta.target;
  if ((mine.meta.mode & 0o777) !== (theirs.meta.mode & 0o777)) return true;
  if (!isFile(mine.meta)) return false;
  return (
    mine.meta.size !== theirs.meta.size || (await view.contentHash(mine)) !== (await view.contentHash(theirs))
  );
}
