import type { SandboxSpec } from '../sandbox.ts';
import { type ProcessIdentity } from './process-identity.ts';
export interface DoorsRequest {
  readonly supervisorPath: string;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly doors: SandboxSpec['doors'];
}
/** Starts listening; resolves once every port accepts. Undefined when there are no doors. Throws `sandboxFailed`. */
export declare function openDoors(request: DoorsRequest): Promise<ProcessIdentity | undefined>;
export declare function closeDoors(identity: ProcessIdentity | undefined): Promise<void>;
/** Door processes whose network namespace path starts with a prefix, whoever started them. */
export declare function findDoors(netnsPrefix: string): Promise<
  {
    readonly netns: string;
    readonly identity: ProcessIdentity;
  }[]
>;
