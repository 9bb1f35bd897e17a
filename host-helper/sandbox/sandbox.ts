/**
 * The one interface of every sandbox backend: what a session needs of the place its agent runs in.
 * Backends (oci/, later docker/ and microvm/) implement it and never import each other. Policy, turns and storage are not known here.
 */

/** A directory tree that the sandbox may change, captured and restored as a unit. */
export interface TrackedRoot {
  /** Stable name, for example "workspace", "home", "usr", "rootfs". Unique in its sandbox. */
  readonly name: string;
  /** Where the sandbox sees it. */
  readonly path: string;
  /** `overlay`: `upper` holds only the changes. `plain`: `upper` is the whole tree (the small rootfs with /tmp and /run). */
  readonly kind: 'overlay' | 'plain';
  /** Read-only lower directory on the host; undefined for a plain root. */
  readonly lower: string | undefined;
  /** The directory on the host that holds the changes. May change its path across `replaceUppers`. */
  readonly upper: string;
  /** The whole tree as the sandbox sees it, on the host. */
  readonly merged: string;
}

export interface SandboxSpec {
  /** Unique on this host; letters, digits and dashes. Names the container, cgroup and network namespace. */
  readonly id: string;
  /** An existing empty directory (or one of an earlier life of the same sandbox) that the sandbox owns, below the state directory and with `id` as a part of its path. */
  readonly directory: string;
  /** The developer's folder, absolute; appears in the sandbox at the same path. */
  readonly workspace: string;
  /** Another folder of the host that stands there instead (the session came from elsewhere). */
  readonly workspaceLower?: string | undefined;
  /** Home inside the sandbox; the host's own home is never visible. */
  readonly home: string;
  /** Read-only trees of the product that the sandbox needs (agents), each at its own path or at `target`. */
  readonly readOnlyMounts: readonly { readonly source: string; readonly target: string }[];
  /** Unix sockets of the helper, reachable in the sandbox as 127.0.0.1:port: the only ways out. */
  readonly doors: readonly { readonly port: number; readonly socketPath: string }[];
  /** Where runc hands over the seccomp notification descriptor (a listening unix socket of the sentry); absent: no exec guard. */
  readonly seccompListenerPath: string | undefined;
  /** Limits: bytes of memory and number of processes. */
  readonly memoryBytes: number;
  readonly maxProcesses: number;
  /** Paths relative to the workspace that must not be readable inside (secrets such as .env). */
  readonly maskedPaths: readonly string[];
}

export interface SpawnRequest {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A pty of this size, or pipes. */
  readonly terminal: { readonly columns: number; readonly rows: number } | undefined;
  /** Written at once; a pipe is then closed. Undefined: stays open until `closeStdin` (a program that reads to the end waits for that). */
  readonly stdin: Uint8Array | undefined;
}

/** A process that the supervisor started. Survives a dump and restore: `Sandbox.children` lists them again by `tag`. */
export interface SandboxChild {
  /** The supervisor's own number for it, kept across dump and restore. */
  readonly tag: number;
  /** Pid inside the sandbox. */
  readonly pid: number;
  readonly terminal: boolean;
  /** Exit code, or 128 + signal. Never rejects; settles with 137 when the sandbox goes away. */
  readonly exited: Promise<number>;
  /** Output; stderr equals stdout for a pty. Returns an unsubscribe function. Output produced while nobody listens is kept (bounded) and replayed to the first listener. */
  onOutput(listener: (stream: 'stdout' | 'stderr', data: Uint8Array) => void): () => void;
  write(data: Uint8Array): void;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  /** Signals the whole process group. */
  kill(signal: NodeJS.Signals): void;
}

export interface SandboxCgroup {
  /** Absolute path of its cgroup2 directory (membership, freeze, BPF id). */
  readonly path: string;
  /** cgroup2 id: the directory's inode. */
  readonly id: bigint;
}

export interface DumpResult {
  /** How long everything stood still. */
  readonly frozenMs: number;
  readonly imageBytes: number;
}

export interface Sandbox {
  readonly id: string;
  readonly roots: readonly TrackedRoot[];
  readonly state: 'created' | 'running' | 'stopped';
  /** Only while running. */
  readonly cgroup: SandboxCgroup;
  /** Host pid of the supervisor; only while running. */
  readonly supervisorPid: number;
  readonly children: readonly SandboxChild[];
  /** Called once when the sandbox ends although nobody asked (supervisor died, killed from outside). */
  onDied(listener: (detail: string) => void): () => void;

  /** Makes the cgroup (and mounts nothing yet), so that it can be watched and guarded before the first program runs. Call before `start` or `restore`. */
  reserveCgroup(): Promise<SandboxCgroup>;
  /** Mounts the roots and starts the supervisor. */
  start(): Promise<void>;
  spawn(request: SpawnRequest): Promise<SandboxChild>;
  /** Everything in the sandbox stands still; nests not. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Dumps all processes to `imageDirectory` (new) and lets them run on; `whileFrozen` captures the files of the same instant. Throws `checkpointFailed` and leaves the sandbox running when it cannot. */
  dump(imageDirectory: string, whileFrozen: () => Promise<void>): Promise<DumpResult>;
  /** Like `start`, but from a dump of this sandbox or of the one it branched from. Roots must hold the files of the same instant. Children are listed again. */
  restore(imageDirectory: string): Promise<void>;
  /** Ends every process and unmounts the overlays, so that uppers may be changed. Roots and directories stay. */
  stop(): Promise<void>;
  /** Only while stopped: gives every root a fresh overlay work directory and, where the old upper may still be held by a lazy unmount, a new upper path with the same contents. Call before changing uppers. */
  prepareUppers(): Promise<void>;
  /** Mounts the merged folders without starting processes (so that a person can look at a stopped session). */
  mount(): Promise<void>;
  /** Stops and removes every trace: mounts, netns, cgroup, container, directory. */
  destroy(): Promise<void>;
}

export interface SandboxBackend {
  readonly name: string;
  /** What this host can do, tried for real (a tiny container is run, dumped and restored); a pass is remembered until something it depends on changes. */
  probe(): Promise<{ readonly run: string | undefined; readonly dump: string | undefined }>;
  /** Paths (as the sandbox had them) of the files that the processes of a dump have open or mapped; empty when that cannot be told. */
  filesOf(imageDirectory: string): Promise<readonly string[]>;
  /** Prepares directories; starts nothing. */
  create(spec: SandboxSpec): Promise<Sandbox>;
  /** Takes over a sandbox that an earlier helper left running (or stopped) in `spec.directory`. */
  adopt(spec: SandboxSpec): Promise<Sandbox>;
  /** Removes what dead helpers left under this state directory: mounts, netns, cgroups, containers whose ids are not in `keep`. */
  sweep(keep: ReadonlySet<string>): Promise<void>;
}
