import type { Logger } from '../../log.ts';
import type { TrackedRoot } from '../sandbox.ts';
import type { SandboxLayout } from './layout.ts';
import type { OverlayRoot } from './roots.ts';
export interface RootMountsOptions {
  readonly layout: SandboxLayout;
  readonly overlays: readonly OverlayRoot[];
  readonly supervisorPath: string;
  readonly logger: Logger;
  readonly generations: Readonly<Record<string, number>>;
  /** Makes the generations durable before they are used. */
  readonly save: (generations: Record<string, number>) => Promise<void>;
}
export declare class RootMounts {
  #private;
  constructor(options: RootMountsOptions);
  /** Parents before children. */
  get roots(): readonly TrackedRoot[];
  /** Makes first uppers, which look like their lower, and finishes a renewal that was interrupted. */
  prepare(): Promise<void>;
  /** Mounts what is not mounted yet. */
  mount(): Promise<void>;
  unmount(): Promise<void>;
  /** Fresh upper paths and work directories with the same contents, for all roots. Unmounts first. */
  renew(): Promise<void>;
}
