import { type DumpGatePlaces } from './dump-gate.ts';
/** Where the supervisor and its socket are inside the sandbox. */
export declare const supervisorDirectory = '/run/turntable';
export declare const supervisorProgram = '/run/turntable/supervisor';
export declare const supervisorSocket = '/run/turntable/supervisor.sock';
/** Short, stable name of a state directory. */
export declare function ownerOf(stateDirectory: string): string;
export interface SandboxLayout {
  readonly directory: string;
  readonly record: string;
  readonly bundle: string;
  readonly config: string;
  readonly criuConfig: string;
  readonly runcLog: string;
  readonly pidFile: string;
  readonly work: string;
  readonly empty: {
    readonly file: string;
    readonly directory: string;
  };
  readonly dumpGate: DumpGatePlaces;
  readonly netnsName: string;
  readonly netns: string;
  /** As runc takes it: below every controller's mount point. */
  readonly cgroupsPath: string;
  /** The directory that holds all uppers; closed to everybody but root, because uppers may hold set-user-id programs. */
  readonly layers: string;
  upper(root: string, generation: number): string;
  overlayWork(root: string, generation: number): string;
  merged(root: string): string;
}
export declare function sandboxLayout(stateDirectory: string, id: string, directory: string): SandboxLayout;
export declare function netnsPrefix(owner: string): string;
export declare function cgroupParent(owner: string): string;
/** Whether `path` is `ancestor` or below it. Both absolute and normal. */
export declare function isWithin(path: string, ancestor: string): boolean;
