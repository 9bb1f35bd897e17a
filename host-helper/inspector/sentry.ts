/**
 * What the rest of the helper knows of the sentry, the static C child that holds BPF, seccomp notifications and the
 * verification at exec. Mechanism only: every decision is made by the caller. Implemented by sentry-process.ts.
 */

export interface SentryFeatures {
  /** Process lifecycle events (fork, exec, exit) by cgroup. */
  readonly lifecycle: boolean;
  /** Change hints: proven complete by the start-up self-test, or why not. */
  readonly hints: 'complete' | 'unavailable';
  readonly hintsDetail: string;
  /** Kill at exec on a mismatch with what was approved. */
  readonly execVerify: boolean;
  readonly execVerifyDetail: string;
}

export interface WatchRequest {
  /** Small number of the caller's choosing, unique among live watches. */
  readonly sandbox: number;
  readonly cgroupId: bigint;
  readonly cgroupPath: string;
  /**
   * Directories whose inodes' changes are hinted (uppers and plain roots), at most 32, on a file system that is mounted
   * now. `root` numbers are the caller's. A change below nested roots is told for the innermost one alone.
   */
  readonly roots: readonly { readonly root: number; readonly path: string }[];
}

/** A process of the sandbox that is alive now. Pids are the host's. */
export interface LiveProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly sandboxPid: number;
  /** Clock ticks since boot (field 22 of /proc/PID/stat): with the pid, a unique name. */
  readonly startTicks: bigint;
  readonly program: string;
  readonly argv: readonly string[];
  /** Grows whenever it is scheduled, all threads together; flat means that it did not run. */
  readonly runCount: bigint;
  /** It has a writable shared mapping of a file. */
  readonly sharedWritableMapping: boolean;
}

/** What others can change of a process that does not run; alike at two times means that nothing of it was. */
export interface ProcessState {
  readonly pid: number;
  readonly startTicks: bigint;
  /** Pending signals, limits, priority, offsets and queues of its descriptors, memory that it shares by name, files that have none any more. */
  readonly own: bigint;
  /** Names and sizes of the files that it holds: an image of it can be restored only where they are the same. */
  readonly files: bigint;
  /** Others may change it in a way that `own` does not show. */
  readonly uncertain: boolean;
}

export interface ExecEvent {
  readonly pid: number;
  readonly sandboxPid: number;
  readonly program: string;
  /** The kernel's own copy, at most 4 KiB. */
  readonly argv: readonly string[];
  readonly argvTruncated: boolean;
  readonly atMs: number;
}

export interface ExitEvent {
  readonly pid: number;
  readonly exitCode: number;
}

/** Everything since the fence before. */
export interface Observation {
  readonly roots: readonly {
    readonly root: number;
    /** At least one inode below it changed (or may have). */
    readonly dirty: boolean;
    /**
     * Distinct inode numbers hinted, at most 1024; `overflow` when there were more. A file that was made may
     * show only by its directory's number.
     */
    readonly inodes: readonly bigint[];
    readonly overflow: boolean;
  }[];
  /** Changes on the device that could not be assigned to a root (no dentry): treat every root as dirty. */
  readonly unassigned: number;
  readonly executed: readonly ExecEvent[];
  readonly executedCount: number;
  readonly exits: readonly ExitEvent[];
  readonly forkCount: number;
  readonly live: readonly LiveProcess[];
  /** Events lost since the fence before: never zero silently. */
  readonly dropped: number;
  /** Writes into the memory of a process through /proc, which schedule nobody. */
  readonly reached: number;
}

/** A process stands in execve and waits for an answer. */
export interface ExecAsk {
  readonly ask: bigint;
  readonly sandbox: number;
  /** Calling thread, host pid. */
  readonly tid: number;
  readonly pid: number;
  /** The object behind the path, as the caller's mount namespace resolves it. */
  readonly program: string;
  /** For a script: the interpreter line's program and argument; the kernel will execute that. */
  readonly interpreter: { readonly program: string; readonly argument: string | undefined } | undefined;
  readonly argv: readonly string[];
  readonly argvTruncated: boolean;
  readonly cwd: string;
}

export interface ExecAnswer {
  readonly ask: bigint;
  readonly verdict: 'allow' | 'deny';
  /** With `allow`: let every later exec of this very file (inode and ctime) in this sandbox pass without asking, whatever its argv. Dropped by `forget`. */
  readonly remember: boolean;
}

export interface Sentry {
  readonly features: SentryFeatures;
  watch(request: WatchRequest): Promise<void>;
  unwatch(sandbox: number): Promise<void>;
  /**
   * Nothing in flight is missed: what happened before the call is in the answer. It waits until the clock that stamps files has
   * moved on; `now` does not, and a root that has just been written to is told as dirty by the next fence as well.
   */
  fence(sandbox: number, now?: 'now'): Promise<Observation>;
  /** States of processes (host pids) of a watched sandbox; those that are gone are left out. */
  states(sandbox: number, pids: readonly number[]): Promise<readonly ProcessState[]>;
  /** Listens on `listenerPath` for runc's hand-over of this sandbox's notification descriptor. Must be called before the sandbox starts. */
  guard(sandbox: number, listenerPath: string): Promise<void>;
  /** After a restore, or after a sentry died: gives every process in the watched cgroup a fresh notification filter. Returns the pids that could not be guarded (their exec fails: closed). */
  reguard(sandbox: number): Promise<readonly number[]>;
  answer(answer: ExecAnswer): void;
  forget(sandbox: number): void;
  onExecAsk(listener: (ask: ExecAsk) => void): () => void;
  /** The caller died or its call was interrupted: the ask is withdrawn and an answer would have no effect. */
  onExecAskGone(listener: (ask: bigint) => void): () => void;
  /** A process ran something else than was approved and was killed. */
  onExecKilled(
    listener: (event: { sandbox: number; pid: number; program: string; reason: string }) => void,
  ): () => void;
  /** The child died. Its BPF programs are gone and guarded execs fail; the owner starts a new one and watches again. */
  onDied(listener: (detail: string) => void): () => void;
  close(): Promise<void>;
}
