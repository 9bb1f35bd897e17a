import type { SandboxSpec } from '../sandbox.ts';
/** An overlay root before it has an upper. */
export interface OverlayRoot {
  readonly name: string;
  readonly path: string;
  /** The directory that the root stands for. */
  readonly lower: string;
  /** All lowers, topmost first; the last one is `lower`. */
  readonly lowers: readonly string[];
}
export interface RootsRequest {
  readonly spec: SandboxSpec;
  readonly stateDirectory: string;
  readonly supervisorPath: string;
}
/** Parents before children. Makes the hidden layers and the empty home. Throws `workspaceInvalid`. */
export declare function overlayRoots(request: RootsRequest): Promise<OverlayRoot[]>;
/** Only when no sandbox of this state directory is mounted any more. */
export declare function removeHiddenLayers(stateDirectory: string): Promise<void>;
