/**
 * File versions of sandboxes: capture, restore, compare, read. Owns the in-memory index of each sandbox and which versions
 * must not be collected although no checkpoint names them yet. Knows nothing of sessions, turns or processes.
 */

import { crashPoint } from '../crash-point.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { recordBases, workspaceRootName } from './base-record.ts';
import { explainWriteError, type ChunkBatch, type ChunkStore } from './chunks.ts';
import { explainDatabaseError } from './database.ts';
import { isFile, isSymlink, kindOf, sameEntry, type TreeEntry } from './file-tree.ts';
import { OverlayView } from './overlay-view.ts';
import { adoptBases, writeDifference, type RestoreCount } from './restore-plan.ts';
import { RootIndex, type RefreshResult } from './root-index.ts';
import { pathOf, type IndexNode } from './root-nodes.ts';
import { findInSandbox, notFound } from './sandbox-path.ts';
import type {
  CaptureRequest,
  CaptureResult,
  FileChange,
  FileStatus,
  FileStore,
  FileVersionId,
  RestoreRequest,
  RestoreResult,
} from './store.ts';
import { TreeError, type TreeWorker } from './treefs.ts';
import { displayName } from './treefs-wire.ts';
import { changesOfRoot, maxListed, toFileChange } from './version-changes.ts';
import { VersionStore, type VersionRoots } from './versions.ts';

/** Unpublished versions of one sandbox that are kept from collection. */
const maxPinned = 256;

const lostBefore = 'the version before is damaged: everything counts as changed, and this version is whole';

interface SandboxState {
  readonly indexes: Map<string, RootIndex>;
  /** Versions that no checkpoint may name yet; the newest is what the index holds. */
  readonly pinned: FileVersionId[];
  queue: Promise<unknown>;
}

export class VersionedFiles implements FileStore {
  /** Captures, which a reply may be waiting for. */
  readonly #worker: TreeWorker;
  /** Restores, comparisons and reads. */
  readonly #background: TreeWorker;
  readonly #chunks: ChunkStore;
  readonly #versions: VersionStore;
  readonly #log: Logger;
  readonly #sandboxes = new Map<string, SandboxState>();

  constructor(
    { worker, background }: { readonly worker: TreeWorker; readonly background: TreeWorker },
    chunks: ChunkStore,
    versions: VersionStore,
    log: Logger,
  ) {
    this.#worker = worker;
    this.#background = background;
    this.#chunks = chunks;
    this.#versions = versions;
    this.#log = log;
  }

  /** Versions that a collection must spare. */
  pinned(): Set<FileVersionId> {
    return new Set([...this.#sandboxes.values()].flatMap((state) => state.pinned));
  }

  async capture(request: CaptureRequest): Promise<CaptureResult> {
    return await this.#exclusive(request.sandboxId, 'checkpointFailed', (state) =>
      this.#capture(request, state),
    );
  }

  async restore(request: RestoreRequest): Promise<RestoreResult> {
    return await this.#exclusive(request.sandboxId, 'restoreFailed', (state) =>
      this.#restore(request, state),
    );
  }

  async changes(
    from: FileVersionId,
    to: FileVersionId,
    roots: readonly TrackedRoot[],
  ): Promise<readonly FileChange[]> {
    return (
      await this.#changes(this.#versions.roots(from), this.#versions.roots(to), roots, this.#background)
    ).changes;
  }

  async read(version: FileVersionId, roots: readonly TrackedRoot[], path: string): Promise<Uint8Array> {
    const found = await findInSandbox(this.#views(roots), this.#versions.roots(version), path);
    if (!isFile(found.entry.meta) && !isSymlink(found.entry.meta)) {
      throw new TurntableError(
        'fileNotFound',
        `${path} is a ${kindOf(found.entry.meta)} in this version, not a file with contents.`,
      );
    }
    try {
      return await found.view.content(found.entry);
    } catch (error) {
      throw error instanceof TreeError ? notFound(path) : error;
    }
  }

  async stat(version: FileVersionId, roots: readonly TrackedRoot[], path: string): Promise<FileStatus> {
    const { entry } = await findInSandbox(this.#views(roots), this.#versions.roots(version), path);
    const { meta } = entry;
    const sizeBytes = isSymlink(meta) ? meta.target.length : meta.size;
    return {
      kind: kindOf(meta),
      sizeBytes,
      mode: meta.mode,
      mtimeMs: meta.mtimeSec * 1000 + meta.mtimeNsec / 1e6,
    };
  }

  /** These were published once and are given up: nothing but the newest of a sandbox, which its next capture starts from, holds them. */
  expired(versions: readonly FileVersionId[]): void {
    const gone = new Set(versions);
    for (const { pinned } of this.#sandboxes.values()) {
      const kept = pinned.filter((id, index) => !gone.has(id) || index === pinned.length - 1);
      pinned.splice(0, pinned.length, ...kept);
    }
  }

  /** What the indexes say is stored may be gone: the next capture reads everything. */
  lookAgain(): void {
    for (const state of this.#sandboxes.values()) state.indexes.clear();
  }

  forget(sandboxId: string): void {
    this.#sandboxes.delete(sandboxId);
  }

  async #capture(request: CaptureRequest, state: SandboxState): Promise<CaptureResult> {
    const tops = new Map<string, TreeEntry>();
    const warnings: string[] = [];
    const previous = this.#rootsBefore(request.previous, warnings);
    if (previous && request.previous !== undefined) pin(state, request.previous);
    const missedIn: string[] = [];
    let scannedEntries = 0;
    using batch = this.#chunks.begin();
    for (const root of request.roots) {
      request.signal?.throwIfAborted();
      const before = previous?.get(root.name);
      if (before && !request.dirtyRoots.has(root.name)) {
        tops.set(root.name, before);
        continue;
      }
      if (request.syncFirst) await this.#worker.sync(root.upper);
      const { index, seen } = await this.#look(request, state, root, batch);
      if (seen.missed.length > 0) missedIn.push(root.name);
      scannedEntries += seen.entries;
      warnings.push(...seen.warnings.map((warning) => `${root.name}: ${warning}`));
      if (root.name === workspaceRootName && root.lower !== undefined) {
        const earlier = (path: string): string | undefined =>
          before ? this.#baseBefore(before, path) : undefined;
        await recordBases(this.#worker, root.lower, seen.changed, batch, earlier);
      }
      warnings.push(...(await this.#lowerLinks(root, seen.changed)));
      tops.set(root.name, index.seal(batch));
    }
    request.signal?.throwIfAborted();
    const { id, row } = VersionStore.describe(tops);
    crashPoint('capture:stored');
    await batch.flush();
    crashPoint('capture:flushed');
    // The same as a version that is there: nothing to write, nothing to wait for.
    if (!batch.isEmpty || !this.#versions.has(id)) {
      batch.commit(() => {
        this.#versions.insert(id, row);
      });
    }
    crashPoint('capture:committed');
    pin(state, id);
    const found = await this.#changes(previous, tops, request.roots, this.#worker).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      warnings.push(lostBefore);
      return this.#changes(undefined, tops, request.roots, this.#worker);
    });
    if (found.truncated)
      warnings.push(`more than ${maxListed} changes; the list of changes is cut short, the version is whole`);
    const { changes } = found;
    return { version: id, changes, bytesStored: batch.bytesStored, scannedEntries, missedIn, warnings };
  }

  async #look(
    request: CaptureRequest,
    state: SandboxState,
    root: TrackedRoot,
    batch: ChunkBatch,
  ): Promise<{ readonly index: RootIndex; readonly seen: RefreshResult }> {
    const { signal, audit } = request;
    const inodes = request.inodes?.get(root.name);
    if (inodes) {
      const index = indexFor(state, root);
      try {
        return {
          index,
          seen: await index.refresh(this.#worker, root.upper, batch, { inodes, audit, signal }),
        };
      } catch (error) {
        // A directory may have gone between the hint and the look; without an index everything is looked at.
        if (!(error instanceof TreeError)) throw error;
        state.indexes.delete(root.name);
      }
    }
    const index = indexFor(state, root);
    return { index, seen: await index.refresh(this.#worker, root.upper, batch, { signal }) };
  }

  /** What the roots held before; undefined, and said, when that is lost: a new checkpoint must not fail because of an old one. */
  #rootsBefore(version: FileVersionId | undefined, warnings: string[]): VersionRoots | undefined {
    if (version === undefined) return undefined;
    try {
      return this.#versions.roots(version);
    } catch (error) {
      if (!isDamage(error)) throw error;
      warnings.push(lostBefore);
      return undefined;
    }
  }

  #baseBefore(root: TreeEntry, path: string): string | undefined {
    try {
      return this.#versions.find(root, path)?.base;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return undefined;
    }
  }

  /**
   * A file that has other names in the lower shows its change under all of them while its overlay's index lives; a restore
   * starts with a fresh index and can only bring back the name that was written to.
   */
  async #lowerLinks(root: TrackedRoot, changed: readonly IndexNode[]): Promise<string[]> {
    if (root.lower === undefined) return [];
    const paths = changed.filter(({ linked }) => linked).map(pathOf);
    const warnings: string[] = [];
    if (paths.length === 0) return warnings;
    await this.#worker.detail(root.lower, paths, 0, ({ error, stat, index }) => {
      if (error !== 0 || !isFile(stat) || stat.nlink < 2) return;
      warnings.push(
        `${root.name}: ${displayName(paths[index] ?? '')}: has other names in the folder below; after a restore only this one shows the change`,
      );
    });
    return warnings;
  }

  async #restore(request: RestoreRequest, state: SandboxState): Promise<RestoreResult> {
    const tops = this.#versions.roots(request.version);
    pin(state, request.version);
    const count: RestoreCount = { writtenBytes: 0, changedEntries: 0, warnings: [] };
    for (const root of request.roots) {
      const target = tops.get(root.name);
      if (!target) {
        throw new TurntableError(
          'notRestorable',
          `The file version does not hold the tracked root "${root.name}". Choose another turn.`,
        );
      }
      const index = indexFor(state, root);
      await index.refresh(this.#background, root.upper, undefined);
      const current = index.seal(undefined);
      if (current.content !== target.content || !sameEntry(current, target)) {
        await this.#background.apply(root.upper, true, (writer) =>
          writeDifference(writer, this.#chunks, this.#versions, index.root, target, count),
        );
      }
      if (root.kind === 'overlay') await this.#background.stripTies(root.upper);
      await index.refresh(this.#background, root.upper, undefined, {
        known: (path) => this.#versions.find(target, path),
      });
      index.seal(undefined);
      const wrong = adoptBases(this.#versions, index.root, target);
      if (wrong !== undefined) {
        throw new TurntableError(
          'restoreFailed',
          `After the restore, ${root.name}/${displayName(wrong)} is not as the version says. Was the root still mounted or written to? Restore again.`,
        );
      }
      index.seal(undefined);
    }
    if (count.warnings.length)
      this.#log.warn('Restored with exceptions', { warnings: count.warnings.slice(0, 20) });
    return count;
  }

  async #changes(
    from: VersionRoots | undefined,
    to: VersionRoots,
    roots: readonly TrackedRoot[],
    worker: TreeWorker,
  ): Promise<{ readonly changes: FileChange[]; readonly truncated: boolean }> {
    const changes: FileChange[] = [];
    let truncated = false;
    for (const view of this.#views(roots, worker)) {
      // What a plain root holds at first is where it starts, not a change.
      if (view.root.kind === 'plain' && !from?.has(view.root.name)) continue;
      const found = await changesOfRoot(view, from?.get(view.root.name), to.get(view.root.name));
      for (const change of found.changes) changes.push(toFileChange(view.root, change));
      truncated ||= found.truncated;
    }
    return { changes, truncated };
  }

  #views(roots: readonly TrackedRoot[], worker = this.#background): OverlayView[] {
    return roots.map((root) => new OverlayView(root, worker, this.#versions, this.#chunks));
  }

  /** One capture or restore of a sandbox at a time. After a failure its index is not to be trusted. */
  async #exclusive<T>(
    sandboxId: string,
    code: 'checkpointFailed' | 'restoreFailed',
    work: (state: SandboxState) => Promise<T>,
  ): Promise<T> {
    let state = this.#sandboxes.get(sandboxId);
    if (!state)
      this.#sandboxes.set(sandboxId, (state = { indexes: new Map(), pinned: [], queue: Promise.resolve() }));
    const held = state;
    const run = held.queue.then(() => work(held));
    held.queue = run.catch(() => {});
    try {
      return await run;
    } catch (error) {
      held.indexes.clear();
      throw explainFailure(error, code);
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof TurntableError && ['storeDamaged', 'notRestorable'].includes(error.code);
}

function indexFor(state: SandboxState, root: TrackedRoot): RootIndex {
  // An upper that moved is known by its inodes; one that was copied has new ones, and is read again.
  const found = state.indexes.get(root.name);
  if (found) return found;
  const index = new RootIndex();
  state.indexes.set(root.name, index);
  return index;
}

function pin(state: SandboxState, version: FileVersionId): void {
  const at = state.pinned.indexOf(version);
  if (at >= 0) state.pinned.splice(at, 1);
  state.pinned.push(version);
  if (state.pinned.length > maxPinned) state.pinned.shift();
}

function explainFailure(error: unknown, code: 'checkpointFailed' | 'restoreFailed'): unknown {
  if (error instanceof TurntableError) return error;
  if (error instanceof Error && error.name === 'AbortError')
    return new TurntableError('cancelled', 'The capture was cancelled; nothing of it was kept.', {
      cause: error,
    });
  const explained = explainWriteError(explainDatabaseError(error, 'state database'));
  if (explained instanceof TurntableError) return explained;
  const text = error instanceof Error ? error.message : String(error);
  const next =
    code === 'checkpointFailed'
      ? 'Nothing was kept; try the checkpoint again'
      : 'The roots may be half way: restore again before they are mounted';
  return new TurntableError(
    code,
    `The files could not be ${code === 'checkpointFailed' ? 'captured' : 'restored'} (${text}). ${next}.`,
    { cause: error },
  );
}
