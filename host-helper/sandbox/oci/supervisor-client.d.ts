import type { Logger } from '../../log.ts';
import type { SandboxChild, SpawnRequest } from '../sandbox.ts';
export declare class SupervisorClient {
  #private;
  constructor(logger: Logger, onLost: () => void);
  get attached(): boolean;
  get children(): readonly SandboxChild[];
  /** Connects and learns the children. Throws `sandboxFailed`, early when `lives` says that nobody can answer any more. */
  attach(path: string, lives: () => Promise<boolean>): Promise<void>;
  /** Ends the connection so that nothing is lost and the sandbox can be dumped. What is asked meanwhile waits for `attach`. */
  detach(): Promise<void>;
  /** The sandbox is gone: every child ended, every request fails. */
  end(): void;
  /** Starts a process. Resolves once exec succeeded; throws `sandboxFailed` with the reason when it did not. */
  spawn(request: SpawnRequest): Promise<SandboxChild>;
}
