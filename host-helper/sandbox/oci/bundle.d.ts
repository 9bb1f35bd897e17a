/**
 * The OCI bundle of a sandbox: config.json for runc and the options file for CRIU. Pure description; runc.ts carries it out.
 */
import type { SandboxSpec } from '../sandbox.ts';
import { type SandboxLayout } from './layout.ts';
/** Root without capabilities may still write these; runc binds them read-only, and CRIU restores that. */
export declare const readonlyPaths: string[];
/** What tells of the host or of its kernel's secrets. */
export declare const maskedPaths: string[];
export interface BundleRequest {
  readonly spec: SandboxSpec;
  readonly layout: SandboxLayout;
  readonly rootfs: string;
  /** Parents before children: merged directory on the host, path inside. */
  readonly roots: readonly {
    readonly merged: string;
    readonly path: string;
  }[];
  readonly maxProcesses: number;
  /** Existing files and directories of the workspace that must not be read. */
  readonly masks: readonly Mask[];
}
/** A path hidden by an empty file or directory. */
export interface Mask {
  readonly path: string;
  readonly kind: 'file' | 'directory';
}
/** config.json as an object. */
export declare function ociConfig(request: BundleRequest): Record<string, unknown>;
/** Options that runc's API does not carry. */
export declare function criuOptions(actionScript: string): string;
