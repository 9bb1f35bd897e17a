/**
 * Carries a session's changes into the developer's folder, and takes them back. Every write is one atomic rename in the
 * directory it belongs to, never through a symbolic link, and only if what is replaced is still what was looked at. What is
 * replaced or deleted is in the store, durably, before the first write.
 */

import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { crashPoint } from '../crash-point.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { ApplyPlanner, type PlannedItem, type WorkspaceView } from './apply-plan.ts';
import { ApplyRecords, type AppliedItem, type EntryState } from './apply-record.ts';
import { explainWriteError, type ChunkBatch, type ChunkStore } from './chunks.ts';
import { storeLarge, storeSmall, writeContent } from './contents.ts';
import { encodeBlockList, isDirectory, isFile, kindOf } from './file-tree.ts';
import type { ViewEntry } from './overlay-view.ts';
import type {
  ApplyItem,
  ApplyRequest,
  ApplyResult,
  ConflictChoice,
  FileVersionId,
  WorkspaceApply,
} from './store.ts';
import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { TreeError, type TreeWorker } from './treefs.ts';
import { blockBytes, displayName, type Detail, type Expectation } from './treefs-wire.ts';
import type { VersionStore } from './versions.ts';

/** What one write does. */
interface Action {
  readonly planned: PlannedItem;
  /** Byte string below the workspace; beside the planned path for `keep-both`. */
  readonly path: string;
  readonly before: EntryState | undefined;
  readonly after: EntryState | undefined;
  readonly expected: Expectation | undefined;
}

export class FolderApply implements WorkspaceApply {
  readonly #worker: TreeWorker;
  readonly #chunks: ChunkStore;
  readonly #planner: ApplyPlanner;
  readonly #records: ApplyRecords;
  readonly #log: Logger;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    worker: TreeWorker,
    chunks: ChunkStore,
    versions: VersionStore,
    database: DatabaseSync,
    log: Logger,
  ) {
    this.#worker = worker;
    this.#chunks = chunks;
    this.#planner = new ApplyPlanner(worker, chunks, versions);
    this.#records = new ApplyRecords(database);
    this.#log = log;
  }

  async previewApply(request: {
    readonly version: FileVersionId;
    readonly roots: readonly TrackedRoot[];
  }): Promise<readonly ApplyItem[]> {
    const workspace = this.#planner.workspace(request.version, request.roots);
    return (await this.#planner.plan(workspace)).map(({ item }) => item);
  }

  async applyChanges(request: ApplyRequest): Promise<ApplyResult> {
    return await this.#exclusive(() => this.#apply(request));
  }

  confirmApply(undoId: string): void {
    this.#records.settle(undoId);
  }

  async undoApply(sessionId: string, undoId: string): Promise<{ readonly restored: readonly string[] }> {
    return await this.#exclusive(() => this.#undo(sessionId, undoId));
  }

  async #apply(request: ApplyRequest): Promise<ApplyResult> {
    const workspace = this.#planner.workspace(request.version, request.roots);
    const planned = chosen(await this.#planner.plan(workspace), request.paths);
    const skipped: { path: string; reason: string }[] = [];
    const actions: Action[] = [];
    const undoId = randomBytes(12).toString('hex');
    using batch = this.#chunks.begin();
    for (const item of planned) {
      const action = await this.#prepare(workspace, item, request.conflicts ?? 'keep-mine', batch);
      if (typeof action === 'string') skipped.push({ path: item.item.path, reason: action });
      else actions.push(action);
    }
    for (const [action, reason] of await this.#stillRead(workspace, planned, actions)) {
      actions.splice(actions.indexOf(action), 1);
      skipped.push({ path: action.planned.item.path, reason });
    }
    if (actions.length === 0) return { applied: [], skipped, undoId: '' };
    await batch.flush();
    crashPoint('apply:planned');
    batch.commit(() => {
      this.#records.insert(undoId, request.sessionId, workspace.lower, recordOf(actions));
    });
    crashPoint('apply:recorded');
    const applied: string[] = [];
    // Deepest removals first, so that a directory is empty when its turn comes; then what is new, parents first.
    const ordered = [
      ...actions.filter(({ after }) => !after).reverse(),
      ...actions.filter(({ after }) => after),
    ];
    const done = new Set<Action>();
    try {
      for (const action of ordered) {
        const shown =
          action.path === action.planned.path
            ? action.planned.item.path
            : absolute(workspace.root, action.path);
        const problem = await this.#write(
          workspace.lower,
          action.path,
          action.after,
          action.before,
          action.expected,
        );
        crashPoint('apply:written');
        if (problem) skipped.push({ path: shown, reason: problem });
        else {
          applied.push(shown);
          done.add(action);
        }
      }
    } catch (error) {
      this.#records.settle(undoId);
      const failure = explainWriteError(error);
      const name = failure instanceof TurntableError ? failure.code : 'conflict';
      throw new TurntableError(
        name,
        `Only a part of the changes was applied (${failure instanceof Error ? failure.message : String(failure)}). Undo it, or apply again.`,
        {
          data: { undoId, applied: applied.slice(0, 100) },
          cause: error,
        },
      );
    }
    if (done.size === 0) {
      this.#records.remove(undoId);
      return { applied, skipped, undoId: '' };
    }
    this.#records.replace(undoId, recordOf(actions.filter((action) => done.has(action))));
    crashPoint('apply:done');
    this.#log.info('Applied changes', {
      sessionId: request.sessionId,
      applied: applied.length,
      skipped: skipped.length,
      undoId,
    });
    return { applied, skipped, undoId };
  }

  async #undo(sessionId: string, undoId: string): Promise<{ readonly restored: readonly string[] }> {
    const record = this.#records.find(sessionId, undoId);
    if (!record)
      throw new TurntableError(
        'conflict',
        'There is no such apply to undo (it may have been undone already).',
      );
    const steps: {
      readonly item: AppliedItem;
      readonly expected: Expectation | undefined;
      readonly now: EntryState | undefined;
    }[] = [];
    const changed: string[] = [];
    for (const item of record.items) {
      const detail = await this.#worker.detailOne(record.folder, item.path, 0);
      const now = detail && (await this.#state(record.folder, item.path, detail, undefined));
      if (sameState(now, item.before)) continue;
      // A directory that was made is taken away only when it is empty: what the developer put there since stays.
      if (!sameState(now, item.after)) changed.push(item.path);
      else steps.push({ item, expected: detail && expectationOf(detail), now });
    }
    if (changed.length) {
      throw new TurntableError(
        'conflict',
        `${changed.length} of the applied files have been changed since. Nothing was undone; move your changes aside and try again.`,
        {
          data: { paths: changed.slice(0, 100).map((path) => `${record.folder}/${displayName(path)}`) },
        },
      );
    }
    this.#records.begin('undo', sessionId, undoId);
    const restored: string[] = [];
    const ordered = [
      ...steps.filter(({ item }) => !item.before).reverse(),
      ...steps.filter(({ item }) => item.before),
    ];
    for (const { item, expected, now } of ordered) {
      const problem = await this.#write(record.folder, item.path, item.before, now, expected);
      crashPoint('undo:written');
      const shown = `${record.folder}/${displayName(item.path)}`;
      if (problem) {
        this.#records.settle(undoId);
        throw new TurntableError('conflict', `${shown} could not be put back: ${problem}. Try again.`, {
          data: { paths: [shown] },
        });
      }
      restored.push(shown);
    }
    this.#records.remove(undoId);
    crashPoint('undo:done');
    return { restored };
  }

  /**
   * A directory that the session renamed still reads its files from the old place in the folder: before they are removed
   * there, the mounted overlay copies them up. What could not be copied up stays.
   */
  async #stillRead(
    workspace: WorkspaceView,
    planned: readonly PlannedItem[],
    actions: readonly Action[],
  ): Promise<[Action, string][]> {
    const readers = new Map<string, string>();
    for (const { path, theirs } of planned) {
      if (theirs && theirs.lower !== undefined && theirs.lower !== path && !isDirectory(theirs.meta))
        readers.set(theirs.lower, path);
    }
    const removals = actions.filter(({ path, after }) => !after && readers.has(path));
    const renamed = removals.map(({ path }) => readers.get(path) ?? path);
    if (removals.length === 0) return [];
    await this.#worker.copyUp(workspace.root.merged, renamed).catch((error: unknown) => {
      this.#log.warn('Renamed files could not be copied up', { error });
    });
    const kept: [Action, string][] = [];
    await this.#worker.detail(workspace.root.upper, renamed, 0, (detail) => {
      const action = removals[detail.index];
      if (action && detail.error !== 0)
        kept.push([
          action,
          'the session still reads its renamed directory from here; apply again while the session runs',
        ]);
    });
    return kept;
  }

  /** The write that carries one item out, or why it is skipped. */
  async #prepare(
    workspace: WorkspaceView,
    planned: PlannedItem,
    choice: ConflictChoice,
    batch: ChunkBatch,
  ): Promise<Action | string> {
    const { item, mine, theirs } = planned;
    if (item.outcome === 'unsupported') return item.reason;
    let path = planned.path;
    let content = item.outcome === 'merged' ? planned.merge : undefined;
    if (item.outcome === 'conflict') {
      if (choice === 'keep-mine') return item.reason;
      if (choice === 'merge') {
        if (!planned.merge) return `${item.reason}, and it cannot be merged line by line`;
        content = planned.merge;
      }
      if (choice === 'keep-both') {
        if (!theirs) return item.reason;
        path = await this.#freeName(workspace, planned.path);
      }
    }
    const detail =
      path === planned.path && mine ? await this.#worker.detailOne(workspace.lower, path, 0) : undefined;
    if (path === planned.path && mine && !detail)
      return 'it went away while the changes were being looked at';
    const before = detail && (await this.#state(workspace.lower, path, detail, batch));
    const after = theirs && (await this.#wanted(workspace, planned, theirs, content, before, path, batch));
    return { planned, path, before, after, expected: detail && expectationOf(detail) };
  }

  /** The session's entry in the developer's terms: their owner, their attributes, no set-id bits. */
  async #wanted(
    workspace: WorkspaceView,
    planned: PlannedItem,
    theirs: ViewEntry,
    content: Buffer | undefined,
    before: EntryState | undefined,
    path: string,
    batch: ChunkBatch,
  ): Promise<EntryState> {
    const owner = before ?? (await this.#ownerFor(workspace.lower, path));
    const { meta } = theirs;
    // A mode that the session left alone stays as the developer has it now.
    const sessionLeftMode =
      before?.kind === 'file' &&
      planned.baseMode !== undefined &&
      (planned.baseMode & 0o777) === (meta.mode & 0o777);
    const mode = (meta.mode & 0o170000) | (sessionLeftMode ? before.mode & 0o777 : meta.mode & 0o777);
    const state = {
      kind: kindOf(meta),
      mode,
      uid: owner.uid,
      gid: owner.gid,
      mtimeSec: undefined,
      mtimeNsec: 0,
      xattrs: before && before.kind === kindOf(meta) ? before.xattrs : '',
      target: meta.target,
    };
    if (!isFile(meta)) return { ...state, content: '', size: 0 };
    const stored = content
      ? await storeBuffer(batch, content)
      : theirs.upper && theirs.lower === undefined
        ? { content: meta.content, size: meta.size }
        : await this.#storeLower(workspace.lower, theirs.lower ?? path, batch);
    return { ...state, ...stored };
  }

  async #storeLower(
    root: string,
    path: string,
    batch: ChunkBatch | undefined,
  ): Promise<{ readonly content: string; readonly size: number }> {
    const read = await storeLarge(this.#worker, root, path, batch);
    return { content: read.content, size: read.stat.size };
  }

  /** What is at a path now; with a batch its content is kept too. */
  async #state(
    root: string,
    path: string,
    detail: Detail,
    batch: ChunkBatch | undefined,
  ): Promise<EntryState> {
    const { mode, uid, gid, mtimeSec, mtimeNsec } = detail.stat;
    const visible = detail.xattrs.filter(({ name }) => !name.startsWith('trusted.overlay.'));
    const xattrs = visible.map(({ name, value }) => `${name}=${value.toString('base64')}`).join('\n');
    const stored = isFile(detail.stat) ? await this.#storeLower(root, path, batch) : { content: '', size: 0 };
    return {
      kind: kindOf(detail.stat),
      mode,
      uid,
      gid,
      mtimeSec,
      mtimeNsec,
      xattrs,
      target: detail.target,
      ...stored,
    };
  }

  /** One atomic change. Returns why it was not made when the place is no longer as it was. */
  async #write(
    root: string,
    path: string,
    state: EntryState | undefined,
    before: EntryState | undefined,
    expected: Expectation | undefined,
  ): Promise<string | undefined> {
    try {
      await this.#worker.apply(root, false, async (writer) => {
        const makesRoom =
          state && before && state.kind !== before.kind && [state.kind, before.kind].includes('directory');
        if (!state || makesRoom) {
          if (before?.kind === 'directory') await writer.remove(path, { onlyEmpty: true, fsync: true });
          else if (expected) await writer.remove(path, { expected, fsync: true });
        }
        if (!state) return;
        const place = makesRoom || !expected ? 'nothing' : expected;
        const meta = { ...state, xattrs: decodeAttributes(state.xattrs) };
        if (state.kind === 'directory')
          return await writer.directory(path, {
            ...meta,
            xattrs: before && !makesRoom ? undefined : meta.xattrs,
          });
        if (state.kind === 'symlink')
          return await writer.symlink(path, state.target, meta, { expected: place, fsync: true });
        await writer.fileBegin(path, { expected: place, fsync: true });
        await writeContent(this.#chunks, writer, state.content, state.size);
        await writer.fileEnd(state.size, meta);
      });
      return undefined;
    } catch (error) {
      if (!(error instanceof TreeError)) throw error;
      const inTheWay: Record<string, string> = {
        ESTALE: 'you changed it while the changes were being applied',
        EEXIST: 'something of yours is there now',
        EISDIR: 'a directory of yours that is not empty is in the way',
        ENOTEMPTY: 'a directory of yours that is not empty is in the way',
        ENOTDIR: 'a file of yours is where a directory would have to be',
        ENOENT: 'its directory is not there any more',
        ELOOP: 'a symbolic link is in the way; nothing is written through links',
      };
      const reason = inTheWay[error.code];
      if (reason === undefined) throw error;
      return reason;
    }
  }

  async #ownerFor(root: string, path: string): Promise<{ readonly uid: number; readonly gid: number }> {
    const parts = path.split('/');
    for (let length = parts.length - 1; length >= 0; length--) {
      const detail = await this.#worker.detailOne(root, parts.slice(0, length).join('/'), 0);
      if (detail) return detail.stat;
    }
    throw new TurntableError('workspaceInvalid', `The folder ${root} is not there any more.`);
  }

  async #freeName(workspace: WorkspaceView, path: string): Promise<string> {
    for (let count = 1; ; count++) {
      const candidate = `${path}.session${count === 1 ? '' : `-${count}`}`;
      if (!(await this.#worker.detailOne(workspace.lower, candidate, 0))) return candidate;
    }
  }

  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(work);
    this.#queue = run.catch(() => {});
    return await run;
  }
}

/** A change of kind is two actions on one path: together they are one item. */
function recordOf(actions: readonly Action[]): AppliedItem[] {
  const items = new Map<string, AppliedItem>();
  for (const { path, before, after } of actions) {
    const other = items.get(path);
    items.set(path, { path, before: before ?? other?.before, after: after ?? other?.after });
  }
  return [...items.values()];
}

/** The items below the given paths, and the new directories they need. */
function chosen(
  planned: readonly PlannedItem[],
  paths: readonly string[] | undefined,
): readonly PlannedItem[] {
  if (!paths) return planned;
  const wanted = planned.filter(({ item }) =>
    paths.some((path) => item.path === path || item.path.startsWith(path.replace(/\/*$/, '/'))),
  );
  const needed = new Set(wanted);
  for (const item of planned) {
    if (
      item.theirs &&
      isDirectory(item.theirs.meta) &&
      item.item.change === 'added' &&
      wanted.some(({ path, theirs }) => theirs && path.startsWith(`${item.path}/`))
    )
      needed.add(item);
  }
  return planned.filter((item) => needed.has(item));
}

async function storeBuffer(
  batch: ChunkBatch,
  data: Buffer,
): Promise<{ readonly content: string; readonly size: number }> {
  if (data.length <= blockBytes) return { content: storeSmall(batch, data), size: data.length };
  const blocks: string[] = [];
  for (let at = 0; at < data.length; at += blockBytes)
    blocks.push(await batch.putBlock(data.subarray(at, at + blockBytes)));
  return { content: batch.put(encodeBlockList({ size: data.length, blocks })), size: data.length };
}

function expectationOf(detail: Detail): Expectation {
  const { ino, ctimeSec, ctimeNsec } = detail.stat;
  return { ino, ctimeSec, ctimeNsec };
}

/** The same to a developer: kind, content, permissions. Directories are the same while they are there. */
function sameState(a: EntryState | undefined, b: EntryState | undefined): boolean {
  if (!a || !b) return a === b;
  if (a.kind !== b.kind || a.target !== b.target || a.content !== b.content || a.size !== b.size)
    return false;
  return a.kind === 'symlink' || (a.mode & 0o777) === (b.mode & 0o777);
}

function decodeAttributes(text: string): { name: string; value: Buffer }[] {
  if (text === '') return [];
  return text.split('\n').map((line) => {
    const at = line.indexOf('=');
    return { name: line.slice(0, at), value: Buffer.from(line.slice(at + 1), 'base64') };
  });
}

function absolute(root: TrackedRoot, path: string): string {
  return `${root.path}/${displayName(path)}`;
}
