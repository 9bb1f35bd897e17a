import type { Logger } from '../../log.ts';
import type { Runc } from './runc.ts';
export interface SweepRequest {
  readonly stateDirectory: string;
  readonly runc: Runc;
  readonly logger: Logger;
  /** Ids of sandboxes that stay. */
  readonly keep: ReadonlySet<string>;
}
export declare function sweepHost(request: SweepRequest): Promise<void>;
