/**
 * What the rest of the helper knows of the store: file versions, process images, metadata. Paths of this machine's state
 * directory stay inside; callers speak of version ids and of tracked roots.
 */

import type { TrackedRoot } from '../sandbox/sandbox.ts';

/** Opaque; equal ids mean equal contents of all roots. */
export type FileVersionId = string;

export interface FileChange {
  /** Path inside the sandbox (root path + relative path). */
  readonly path: string;
  readonly root: string;
  readonly change: 'added' | 'changed' | 'removed';
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  readonly sizeBytes: number;
  /** Only its modification time is another. Programs like make see that; a person has not changed anything. */
  readonly timeOnly?: boolean;
}

export interface CaptureRequest {
  /** Names the in-memory index that makes the next capture cheap; one per sandbox. */
  readonly sandboxId: string;
  readonly roots: readonly TrackedRoot[];
  /** The version these roots held at the last capture or restore; undefined for the first. */
  readonly previous: FileVersionId | undefined;
  /** Names of roots that may have changed; the others are taken from `previous` unseen. */
  readonly dirtyRoots: ReadonlySet<string>;
  /** Something is mapped shared and writable: everything stands still, and what is dirty is written out before the scan. */
  readonly syncFirst?: boolean;
  readonly signal?: AbortSignal;
}

export interface CaptureResult {
  readonly version: FileVersionId;
  /** Net changes against `previous`, as the sandbox sees them (a whiteout of a lower file is `removed`). */
  readonly changes: readonly FileChange[];
  /** New bytes on disk. */
  readonly bytesStored: number;
  readonly scannedEntries: number;
  /** What this version cannot vouch for, in words (`root: path: why`): unsupported entries, files that kept changing, a list cut short. */
  readonly warnings: readonly string[];
}

export interface RestoreRequest {
  readonly sandboxId: string;
  readonly roots: readonly TrackedRoot[];
  readonly version: FileVersionId;
}

export interface RestoreResult {
  readonly writtenBytes: number;
  readonly changedEntries: number;
  readonly warnings: readonly string[];
}

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly mtimeMs: number;
}

export interface FileStore {
  /** Durable when it resolves. Throws `diskFull` and keeps nothing of the failed capture. */
  capture(request: CaptureRequest): Promise<CaptureResult>;
  /** Makes the (unmounted) uppers of `roots` hold `version`. Applies only the difference when the index knows what they hold; first checks what is there. */
  restore(request: RestoreRequest): Promise<RestoreResult>;
  /** Net changes from one version to another. `lowers` tells what a whiteout hides. */
  changes(
    from: FileVersionId,
    to: FileVersionId,
    roots: readonly TrackedRoot[],
  ): Promise<readonly FileChange[]>;
  /** The contents of a path inside the sandbox in a version, falling back to the root's lower. Throws `fileNotFound`. */
  read(version: FileVersionId, roots: readonly TrackedRoot[], path: string): Promise<Uint8Array>;
  stat(version: FileVersionId, roots: readonly TrackedRoot[], path: string): Promise<FileStatus>;
  /** Forgets the in-memory index of a sandbox (it was destroyed). */
  forget(sandboxId: string): void;
}

/** A dump that is kept. */
export interface ProcessImageStore {
  /** An empty directory on the state directory's file system for a dump to write into. */
  stage(): Promise<string>;
  /** Makes the staged dump durable and gives it an id. */
  keep(stagedDirectory: string): Promise<{ readonly image: string; readonly bytesStored: number }>;
  /** A directory that a restore may read (and write logs to); call `release` after. */
  open(image: string): Promise<{ readonly directory: string; release(): Promise<void> }>;
  discard(stagedDirectory: string): Promise<void>;
}

/** What makes a checkpoint: published in one transaction or not at all. */
export interface CheckpointRecord {
  readonly id: string;
  readonly sessionId: string;
  readonly turn: number;
  readonly fileVersion: FileVersionId;
  readonly processImage: string | undefined;
  /** JSON of the caller: the conversation's and the authority's position. */
  readonly position: string;
  readonly createdAt: number;
}

/** Rows the session layer owns; the store keeps them as JSON documents, keyed, in the same database. */
export interface MetadataStore {
  /** The checkpoint row and the turn document in one transaction. */
  publish(checkpoint: CheckpointRecord, turnDocument: string): void;
  checkpoint(id: string): CheckpointRecord | undefined;
  checkpointOf(sessionId: string, turn: number): CheckpointRecord | undefined;
  putSession(sessionId: string, document: string): void;
  putTurn(sessionId: string, turn: number, document: string): void;
  sessions(): readonly { readonly id: string; readonly document: string }[];
  turns(sessionId: string): readonly { readonly turn: number; readonly document: string }[];
  /** Removes a session's rows; contents nothing else needs go with the next `collect`. */
  removeSession(sessionId: string): void;
  /** Write-ahead notes of multi-step work (rewind, branch, apply): present after a crash means unfinished. */
  beginIntent(kind: string, sessionId: string, document: string): number;
  endIntent(id: number): void;
  intents(): readonly {
    readonly id: number;
    readonly kind: string;
    readonly sessionId: string;
    readonly document: string;
  }[];
  close(): void;
}

/** What to do with a path that both the developer and the session changed. `keep-both` writes the session's beside, under a new name. */
export type ConflictChoice = 'keep-mine' | 'take-theirs' | 'merge' | 'keep-both';

export interface ApplyItem extends FileChange {
  /** `clean`: the developer's is still what the session started from. `merged`: both changed, without overlap. `unsupported`: cannot be applied (a device, FIFO or socket, or a symbolic link in the way). */
  readonly outcome: 'clean' | 'merged' | 'conflict' | 'unsupported';
  readonly reason: string;
}

export interface ApplyRequest {
  readonly sessionId: string;
  readonly version: FileVersionId;
  readonly roots: readonly TrackedRoot[];
  /** Absolute paths inside the workspace; a directory stands for all below it. Absent: everything. */
  readonly paths?: readonly string[];
  /** For conflicts; `keep-mine` when absent: conflicting paths are skipped. */
  readonly conflicts?: ConflictChoice;
}

export interface ApplyResult {
  readonly applied: readonly string[];
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** Empty when nothing was applied. */
  readonly undoId: string;
}

/** Carries a session's changes of the workspace into the developer's own folder: the only thing that ever writes there. */
export interface WorkspaceApply {
  previewApply(request: {
    readonly version: FileVersionId;
    readonly roots: readonly TrackedRoot[];
  }): Promise<readonly ApplyItem[]>;
  /** Each file atomically; what is replaced or deleted is kept for `undoApply`. */
  applyChanges(request: ApplyRequest): Promise<ApplyResult>;
  /** Puts back what an apply changed. Throws `conflict` (data.paths) and changes nothing when the developer has since changed any of it. */
  undoApply(sessionId: string, undoId: string): Promise<{ readonly restored: readonly string[] }>;
}

export interface Store {
  readonly files: FileStore;
  readonly images: ProcessImageStore;
  readonly metadata: MetadataStore;
  readonly apply: WorkspaceApply;
  /** Removes contents and images that no row needs. Returns freed bytes. */
  collect(): Promise<number>;
  close(): Promise<void>;
}
