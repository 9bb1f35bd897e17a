/**
 * Which tracked roots a sandbox has: the workspace, its home, the host's system directories, and the small plain root file system.
 * Decides and describes; mounting is overlay.ts.
 */
import { lstat, mkdir, realpath, rm, rmdir } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join, normalize, relative } from 'node:path';
import { TurntableError } from '../../protocol/errors.ts';
import type { SandboxSpec } from '../sandbox.ts';
import { ensureHiddenLayer } from './hidden.ts';
import { isWithin, ownerOf } from './layout.ts';

/** Host directories that a sandbox sees, each as a root of its own. */
const systemRoots = [
  { name: 'usr', path: '/usr' },
  { name: 'etc', path: '/etc' },
  { name: 'var', path: '/var' },
  { name: 'opt', path: '/opt' },
] as const;

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
export async function overlayRoots(request: RootsRequest): Promise<OverlayRoot[]> {
  const { spec, stateDirectory } = request;
  await checkWorkspace(spec);
  const workspaceLower = spec.workspaceLower ?? spec.workspace;
  const roots: OverlayRoot[] = [];
  for (const { name, path } of systemRoots) {
    if (!(await isDirectory(path))) continue;
    const layer = await ensureHiddenLayer({
      name,
      lower: path,
      alsoGone: [stateDirectory],
      layer: join(hiddenLayers(stateDirectory, path), name),
      supervisorPath: request.supervisorPath,
    });
    roots.push({ name, path, lower: path, lowers: layer ? [layer, path] : [path] });
  }
  const home = await emptyHome(request);
  roots.push({ name: 'home', path: spec.home, lower: home, lowers: [home] });
  roots.push({
    name: 'workspace',
    path: spec.workspace,
    lower: workspaceLower,
    lowers: [workspaceLower],
  });
  return roots.sort((a, b) => depth(a.path) - depth(b.path));
}

/**
 * Where the layer that hides secrets of a host directory lies. In the state directory, where it keeps its identity over a reboot, unless
 * that is inside the hidden directory itself (usually /var): overlayfs refuses a lower directory inside another one (ELOOP).
 */
function hiddenLayers(stateDirectory: string, hidden: string): string {
  return isWithin(stateDirectory, hidden) ? transientLayers(stateDirectory) : join(stateDirectory, 'hidden');
}

function transientLayers(stateDirectory: string): string {
  return join('/run/turntable-layers', ownerOf(stateDirectory));
}

/** Only when no sandbox of this state directory is mounted any more. */
export async function removeHiddenLayers(stateDirectory: string): Promise<void> {
  await rm(transientLayers(stateDirectory), { recursive: true, force: true });
  await rmdir('/run/turntable-layers').catch(() => {}); // another helper's are still in it
}

/** The empty directory below a home; a workspace inside the home finds its mount point in it, so that it is no change of the session. */
async function emptyHome(request: RootsRequest): Promise<string> {
  const { home, workspace } = request.spec;
  const inner = isWithin(workspace, home) ? relative(home, workspace) : '';
  const name = inner ? createHash('sha256').update(inner).digest('hex').slice(0, 12) : 'plain';
  const path = join(request.stateDirectory, 'hidden', `home-${name}`);
  await mkdir(join(path, inner), { recursive: true });
  return path;
}

async function checkWorkspace(spec: SandboxSpec): Promise<void> {
  const { workspace } = spec;
  const reject = (why: string): never => {
    throw new TurntableError('workspaceInvalid', `${workspace} cannot be a workspace: ${why}.`);
  };
  if (!workspace.startsWith('/') || normalize(workspace) !== workspace) {
    reject('its path must be absolute and normal');
  }
  const lower = spec.workspaceLower ?? workspace;
  if (!(await isDirectory(lower))) reject(`${lower} is not a directory. Open an existing folder`);
  if ((await realpath(lower)) !== lower) {
    reject('its path leads through a symbolic link. Open the folder by its real path');
  }
  const forbidden = ['/usr', '/etc', '/var', '/opt', '/proc', '/sys', '/dev', '/run', '/tmp'];
  if (forbidden.some((path) => isWithin(path, workspace)) || workspace === spec.home) {
    reject('it holds the system itself. Open a folder of your own');
  }
  if (['/proc', '/sys', '/dev', '/run/turntable'].some((path) => isWithin(workspace, path))) {
    reject('it is not on a disk. Copy it to a folder of your own');
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const status = await lstat(path).catch(() => undefined);
  return status?.isDirectory() ?? false;
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}
