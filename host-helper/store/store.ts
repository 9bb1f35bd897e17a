/**
 * What the rest of the helper knows of the store: file versions, process images, metadata. Paths of this machine's state
 * directory stay inside; callers speak of version ids and of tracked roots.
 */

import type { TrackedRoot } from '../sandbox/sandbox.ts';
import type { CollectOptions, Survey } from './collection.ts';
import type { StoreUsage } from './quota.ts';
import type { DamagedCheckpoint, Verification } from './verify.ts';

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
  /**
   * By root name: every inode of its upper that may have changed since the last capture or restore of it. Only these are looked
   * at; a root without them is looked at as a whole.
   */
  readonly inodes?: ReadonlyMap<string, readonly bigint[]> | undefined;
  /** Looks at everything all the same, to see whether `inodes` is true. */
  readonly audit?: boolean;
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
  /** Roots in which an audit found changed what no inode had told of. */
  readonly missedIn: readonly string[];
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
  /** Durable when it resolves. Throws `diskFull` or `quotaExceeded` and keeps nothing of the failed capture. */
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
  /** Makes the staged dump durable and gives it an id. `bytesStored` is what it adds to what is there. Throws `diskFull`, `quotaExceeded`. */
  keep(stagedDirectory: string): Promise<{ readonly image: string; readonly bytesStored: number }>;
  /** A directory that a restore may read (and write logs to); call `release` after. */
  open(image: string): Promise<{ readonly directory: string; release(): Promise<void> }>;
  /** No collection takes the image until this is disposed, however long its checkpoint is in the making. */
  hold(image: string): Disposable;
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
  /** The checkpoint row, the turn's document and, where given, the session's (whose head moves) in one transaction. */
  publish(checkpoint: CheckpointRecord, turnDocument: string, sessionDocument?: string): void;
  /** Many turns at once, with their checkpoints where they have one: all or none. */
  adopt(
    sessionId: string,
    turns: readonly {
      readonly turn: number;
      readonly document: string;
      readonly checkpoint: CheckpointRecord | undefined;
    }[],
  ): void;
  checkpoint(id: string): CheckpointRecord | undefined;
  checkpointOf(sessionId: string, turn: number): CheckpointRecord | undefined;
  /** In rising order. */
  turnsWithCheckpoint(sessionId: string): readonly number[];
  /** Removes all checkpoints of these turns and replaces the turns' documents, in one transaction. */
  expire(
    turns: readonly { readonly sessionId: string; readonly turn: number; readonly document: string }[],
  ): void;
  /** `relaxed`: survives the helper's death at once, a power cut only from the next durable write on. */
  putSession(sessionId: string, document: string, how?: 'durable' | 'relaxed'): void;
  /** Relaxed: what makes a turn count is `publish`, which carries everything written before it to the disk. */
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
  /** Each file atomically; what is replaced or deleted is kept for `undoApply`. Unfinished until `confirmApply`: a later helper takes it back. */
  applyChanges(request: ApplyRequest): Promise<ApplyResult>;
  /** The client is told of it now. */
  confirmApply(undoId: string): void;
  /** Puts back what an apply changed. Throws `conflict` (data.paths) and changes nothing when the developer has since changed any of it. */
  undoApply(sessionId: string, undoId: string): Promise<{ readonly restored: readonly string[] }>;
}

/** An object by its hash: a directory, a content, a block or a page. 32 bytes of latin1 text name it. */
export interface StoreObject {
  readonly hash: string;
  readonly data: Buffer;
}

/** The top of a tree: root name and the encoded entry of its directory (base64). */
export interface TreeTop {
  readonly name: string;
  readonly entry: string;
}

/** The files of a process image, each as a list of pages (hex of the list's object). */
export type ImageFiles = readonly { readonly path: string; readonly size: number; readonly list: string }[];

/** Takes objects that leave the store; each is asked for once. Waits until there is room. */
export interface ObjectTaker {
  has(hash: string): boolean;
  take(object: StoreObject): Promise<void>;
}

/** Objects that come from outside: proven one by one, unseen by anybody until a version names them. Dispose to let go of them. */
export interface IncomingObjects extends Disposable {
  /** Throws `archiveInvalid` when the data is not what the hash says, or it gets too much. */
  put(object: StoreObject): Promise<void>;
  /** After the last one: durable, and readable by the calls below. */
  seal(): Promise<void>;
  /** Proves that a version is whole and harmless to restore; `bytes` is what that would write. Throws `archiveInvalid`. */
  version(tops: readonly TreeTop[]): Promise<{ readonly id: FileVersionId; readonly bytes: number }>;
  /** Makes all versions count that were proven. */
  publish(): void;
  /** The same for a folder. `contents` false: only its directories are here. */
  folder(top: TreeTop, contents: boolean): Promise<IncomingFolder>;
  /** Writes the files of an image into an empty directory. */
  writeImage(files: ImageFiles, directory: string): Promise<void>;
  /** Whether a version has something else than a directory at a path below a root, or on the way there. */
  isBlocked(tops: readonly TreeTop[], root: string, path: string): boolean;
}

export interface IncomingFolder {
  /** What filling a folder would write. */
  readonly bytes: number;
  /** Paths in which an existing folder differs (kind, permissions, contents); at most `most`. Masked ones are not compared. */
  differences(folder: string, masked: readonly string[], most: number): Promise<string[]>;
  /** Fills an empty directory; with an owner everything becomes theirs and loses set-user-id bits. */
  fill(folder: string, owner: { readonly uid: number; readonly gid: number } | undefined): Promise<void>;
}

/** How versions, folders and images leave for another store, and come in from one that nobody vouches for. */
export interface StoreTransfer {
  /** Names the form of objects; only a store of the same form can take them. */
  readonly form: string;
  tops(version: FileVersionId): readonly TreeTop[];
  /** Everything a version needs. */
  sendVersion(version: FileVersionId, taker: ObjectTaker): Promise<void>;
  /** A plain folder of the host as it is now. `masked` files (relative) are sent empty. Without a taker it is only looked at. */
  sendFolder(
    folder: string,
    masked: readonly string[],
    taker: ObjectTaker | undefined,
    contents: boolean,
  ): Promise<{ readonly top: TreeTop; readonly warnings: readonly string[] }>;
  /** The files of an opened process image. */
  sendImage(directory: string, taker: ObjectTaker): Promise<ImageFiles>;
  /** What a version's upper has at a path below a root. */
  kindAt(version: FileVersionId, root: string, path: string): FileStatus['kind'] | 'whiteout' | undefined;
  incoming(): IncomingObjects;
}

export interface Store {
  readonly files: FileStore;
  readonly transfer: StoreTransfer;
  readonly images: ProcessImageStore;
  readonly metadata: MetadataStore;
  readonly apply: WorkspaceApply;
  /** Checkpoints that were found to have lost something, at the start or by `verify`. */
  readonly damagedCheckpoints: readonly DamagedCheckpoint[];
  /** Removes contents and images that no row needs. Returns freed bytes. Throws `storeDamaged` and removes nothing where it cannot tell. */
  collect(options?: CollectOptions): Promise<number>;
  /** What `collect` would remove if the checkpoints of `without` (ids) were gone. */
  survey(without: ReadonlySet<string>, options?: CollectOptions): Promise<Survey>;
  /** Reads everything. Changes nothing. */
  verify(onProgress?: (fraction: number) => void): Promise<Verification>;
  /** Contents (hashes, hex) that `verify` found bad count as absent from now on, so that they are stored again when they are seen again. */
  forgetContents(hashes: readonly string[]): void;
  usage(): StoreUsage;
  /** Gives up the copies that make restores quick. */
  dropCaches(): Promise<void>;
  close(): Promise<void>;
}
