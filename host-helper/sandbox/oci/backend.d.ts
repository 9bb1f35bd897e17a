import type { Logger } from '../../log.ts';
import type { SandboxBackend } from '../sandbox.ts';
export interface OciBackendOptions {
  /** Owned by the helper; must be on a file system that overlays can write to. */
  readonly stateDirectory: string;
  /** Program, by name or path. */
  readonly runc: string;
  /** Program that passed, by path; undefined: nothing can be dumped. */
  readonly criu: string | undefined;
  /** The static program of supervisor/. */
  readonly supervisorPath: string;
  readonly logger: Logger;
}
export declare function createOciBackend(options: OciBackendOptions): SandboxBackend;
