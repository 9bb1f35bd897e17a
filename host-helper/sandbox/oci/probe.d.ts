import type { Sandbox, SandboxSpec } from '../sandbox.ts';
export interface ProbeResult {
  /** Why no sandbox can run here; undefined when it can. */
  readonly run: string | undefined;
  /** Why processes cannot be saved here; undefined when they can. */
  readonly dump: string | undefined;
}
/** `create` makes a sandbox; everything else is done through the sandbox itself. */
export declare function probeHost(
  stateDirectory: string,
  create: (spec: SandboxSpec) => Promise<Sandbox>,
  listenCommand: (port: number) => readonly string[],
): Promise<ProbeResult>;
