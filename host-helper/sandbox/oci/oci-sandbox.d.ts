import type { Logger } from '../../log.ts';
import type {
  DumpResult,
  Sandbox,
  SandboxCgroup,
  SandboxChild,
  SandboxSpec,
  SpawnRequest,
  TrackedRoot,
} from '../sandbox.ts';
import { type SandboxLayout } from './layout.ts';
import type { OverlayRoot } from './roots.ts';
import type { Runc } from './runc.ts';
export interface OciSandboxContext {
  readonly spec: SandboxSpec;
  readonly layout: SandboxLayout;
  readonly overlays: readonly OverlayRoot[];
  readonly runc: Runc;
  readonly supervisorPath: string;
  readonly canDump: boolean;
  readonly logger: Logger;
}
export declare class OciSandbox implements Sandbox {
  #private;
  readonly id: string;
  private constructor();
  /** Prepares directories, or takes those that are there. Starts nothing. */
  static open(context: OciSandboxContext): Promise<OciSandbox>;
  get roots(): readonly TrackedRoot[];
  get state(): 'created' | 'running' | 'stopped';
  get cgroup(): SandboxCgroup;
  get supervisorPid(): number;
  get children(): readonly SandboxChild[];
  onDied(listener: (detail: string) => void): () => void;
  reserveCgroup(): Promise<SandboxCgroup>;
  start(): Promise<void>;
  restore(imageDirectory: string): Promise<void>;
  spawn(request: SpawnRequest): Promise<SandboxChild>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  dump(imageDirectory: string, whileFrozen: () => Promise<void>): Promise<DumpResult>;
  stop(): Promise<void>;
  prepareUppers(): Promise<void>;
  mount(): Promise<void>;
  destroy(): Promise<void>;
  /** Takes over what an earlier helper left: attaches when it runs, tidies up when it does not. */
  takeOver(): Promise<void>;
}
