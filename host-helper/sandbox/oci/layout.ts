/**
 * Names and places of one sandbox, derived from its spec and state directory: the one table of paths, and nothing is touched here.
 * Everything outside the sandbox's directory carries `owner`, a hash of the state directory, so that two helpers never take each other's.
 */
import { createHash } from 'node:crypto';
import { join, relative, sep } from 'node:path';
import { dumpGatePlaces, type DumpGatePlaces } from './dump-gate.ts';

/** Where the supervisor and its socket are inside the sandbox. */
export const supervisorDirectory = '/run/turntable';
export const supervisorProgram = `${supervisorDirectory}/supervisor`;
export const supervisorSocket = `${supervisorDirectory}/supervisor.sock`;

/** Short, stable name of a state directory. */
export function ownerOf(stateDirectory: string): string {
  return createHash('sha256').update(stateDirectory).digest('hex').slice(0, 8);
}

export interface SandboxLayout {
  readonly directory: string;
  readonly record: string;
  readonly bundle: string;
  readonly config: string;
  readonly criuConfig: string;
  readonly runcLog: string;
  readonly pidFile: string;
  readonly work: string;
  readonly empty: { readonly file: string; readonly directory: string };
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

export function sandboxLayout(stateDirectory: string, id: string, directory: string): SandboxLayout {
  const owner = ownerOf(stateDirectory);
  const netnsName = `${netnsPrefix(owner)}${id}`;
  const layers = join(directory, 'layers');
  return {
    directory,
    record: join(directory, 'sandbox.json'),
    bundle: join(directory, 'bundle'),
    config: join(directory, 'bundle', 'config.json'),
    criuConfig: join(directory, 'bundle', 'criu.conf'),
    runcLog: join(directory, 'bundle', 'runc.log'),
    pidFile: join(directory, 'bundle', 'pid'),
    work: join(directory, 'criu'),
    empty: {
      file: join(directory, 'bundle', 'empty-file'),
      directory: join(directory, 'bundle', 'empty-directory'),
    },
    dumpGate: dumpGatePlaces(join(directory, 'bundle')),
    netnsName,
    netns: `/run/netns/${netnsName}`,
    cgroupsPath: `${cgroupParent(owner)}/${id}`,
    layers,
    upper: (root, generation) => join(layers, root, `upper-${generation}`),
    overlayWork: (root, generation) => join(layers, root, `work-${generation}`),
    merged: (root) => join(directory, 'roots', root, 'merged'),
  };
}

export function netnsPrefix(owner: string): string {
  return `turntable-${owner}-`;
}

export function cgroupParent(owner: string): string {
  return `/turntable-${owner}`;
}

/** Whether `path` is `ancestor` or below it. Both absolute and normal. */
export function isWithin(path: string, ancestor: string): boolean {
  const rest = relative(ancestor, path);
  return rest === '' || (rest !== '..' && !rest.startsWith(`..${sep}`) && !rest.startsWith('/'));
}
