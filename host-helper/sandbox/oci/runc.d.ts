export interface RuncState {
  readonly pid: number;
  readonly status: 'running' | 'paused' | 'stopped' | 'created';
}
export interface RuncOptions {
  readonly runc: string;
  /** Where runc keeps its own state; one a state directory. */
  readonly root: string;
  readonly criu: string | undefined;
}
export declare class Runc {
  #private;
  constructor(options: RuncOptions);
  /** Starts a container in the background. Throws `sandboxFailed` with runc's own reason. */
  run(id: string, bundle: string, pidFile: string, log: string): Promise<void>;
  /** Throws `sandboxFailed` with runc's own reason; CRIU's is in `work`/restore.log. */
  restore(request: {
    readonly id: string;
    readonly bundle: string;
    readonly pidFile: string;
    readonly images: string;
    readonly work: string;
    readonly log: string;
  }): Promise<void>;
  /** Dumps a paused container and leaves it paused. */
  checkpoint(id: string, images: string, work: string): Promise<void>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  limitProcesses(id: string, maxProcesses: number): Promise<void>;
  /** Kills everything and forgets the container. No error when it is not known. */
  remove(id: string): Promise<void>;
  /** Undefined when runc does not know the container. */
  state(id: string): Promise<RuncState | undefined>;
  /** Ids of all containers of this root. */
  list(): Promise<string[]>;
}
