/**
 * What a sandbox holds, found out from outside and without the product's own accounts: the trees as the sandbox sees them, its
 * processes, its listening ports, and what they answer. Two runs of a task that are equal by it are equal for all that the task
 * can tell. Left out: the agent's own book-keeping, times, process numbers, and git's cache of them (its list of files is compared).
 */

import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { exitCodeOf } from '../demo/exit-code.ts';
import { sandboxLayout } from '../sandbox/oci/layout.ts';

const exec = promisify(execFile);
const probeTimeoutMs = 20_000;
/** Roots that are looked at whole; in the others only what the session changed can differ from the host's. */
const wholeRoots = new Set(['workspace', 'home', 'rootfs']);
const doors = new Set([4141, 4142]);

/** Book-keeping of the agent and of the sandbox, relative to the root it lies in. */
const ignored: Readonly<Record<string, RegExp>> = {
  home: /^(\.pi|\.gitconfig)(\/|$)/,
  rootfs: /^(run\/turntable|tmp\/pi-[^/]*|tmp\/node-compile-cache|dev|proc|sys)(\/|$)/,
  workspace: /^\.git\/index$/,
};

/** Lines that say what is there, sorted; equal states have equal lines. */
export interface SandboxState {
  readonly files: readonly string[];
  readonly processes: readonly string[];
  readonly ports: readonly string[];
  readonly probes: readonly string[];
}

export interface OracleTarget {
  readonly stateDirectory: string;
  readonly sessionId: string;
  readonly workspace: string;
  readonly probes: readonly string[];
}

/** The agent has to stand still (it waits for the model, or is not there). */
export async function observe(target: OracleTarget): Promise<SandboxState> {
  const pid = await supervisorPid(target);
  const files = await filesOf(target);
  const processes = await processesOf(pid);
  return {
    files,
    processes: processes.map((process) => process.line).sort(),
    ports: await portsOf(pid),
    probes: await probesOf(target, pid),
  };
}

/** What differs, for a person; empty when nothing does. */
export function differences(expected: SandboxState, found: SandboxState): string[] {
  return (['files', 'processes', 'ports', 'probes'] as const).flatMap((part) => {
    const [want, have] = [new Set(expected[part]), new Set(found[part])];
    // A line may occur more than once: two equal processes.
    const counted =
      expected[part].length === found[part].length
        ? []
        : [`${part}: ${expected[part].length} → ${found[part].length}`];
    return [
      ...counted,
      ...[...want].filter((line) => !have.has(line)).map((line) => `- ${part}: ${line}`),
      ...[...have].filter((line) => !want.has(line)).map((line) => `+ ${part}: ${line}`),
    ];
  });
}

/** The pid on the host of the sandbox's first process. */
export async function supervisorPid(
  target: Pick<OracleTarget, 'stateDirectory' | 'sessionId'>,
): Promise<number> {
  return Number(await readFile(layoutOf(target).pidFile, 'utf8'));
}

function layoutOf({ stateDirectory, sessionId }: Pick<OracleTarget, 'stateDirectory' | 'sessionId'>) {
  return sandboxLayout(stateDirectory, sessionId, join(stateDirectory, 'sessions', sessionId, 'sandbox'));
}

async function filesOf(target: OracleTarget): Promise<string[]> {
  const layout = layoutOf(target);
  const lines: string[] = [];
  for (const root of (await readdir(layout.layers)).sort()) {
    const merged = await treeOf(target, root);
    if (merged === undefined) continue;
    if (wholeRoots.has(root)) await addTree(lines, root, merged, '');
    else {
      const upper = await newestUpper(join(layout.layers, root));
      if (upper !== undefined) await addChanged(lines, root, { merged, upper, lower: `/${root}` }, '');
    }
  }
  lines.push(...(await gitIndex(target)));
  return lines.sort();
}

/** As the sandbox sees it; the plain root has no mount of its own. */
async function treeOf(target: OracleTarget, root: string): Promise<string | undefined> {
  const layout = layoutOf(target);
  for (const path of [layout.merged(root), await newestUpper(join(layout.layers, root))]) {
    if (path !== undefined && (await statusOf(path)) !== undefined) return path;
  }
  return undefined;
}

async function newestUpper(directory: string): Promise<string | undefined> {
  const generations = (await readdir(directory))
    .flatMap((name) => /^upper-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
  return generations[0] === undefined ? undefined : join(directory, `upper-${generations[0]}`);
}

async function addTree(lines: string[], root: string, directory: string, path: string): Promise<void> {
  for (const name of await namesIn(join(directory, path))) {
    const inner = join(path, name);
    if (ignored[root]?.test(inner) === true) continue;
    const line = await describe(directory, inner);
    if (line === undefined) continue;
    lines.push(`${root}/${inner} ${line}`);
    if (line.startsWith('directory')) await addTree(lines, root, directory, inner);
  }
}

/** Every path whose description differs from the lower's. Descends where the upper has a directory, or the lower none. */
async function addChanged(
  lines: string[],
  root: string,
  trees: { readonly merged: string; readonly upper: string; readonly lower: string },
  path: string,
): Promise<void> {
  const [now, before, touched] = await Promise.all(
    [trees.merged, trees.lower, trees.upper].map(async (tree) => new Set(await namesIn(join(tree, path)))),
  );
  if (!now || !before || !touched) return;
  for (const name of new Set([...now, ...touched])) {
    const inner = join(path, name);
    if (ignored[root]?.test(inner) === true) continue;
    if (!touched.has(name) && before.has(name)) continue;
    const line = await describe(trees.merged, inner);
    if (line === undefined) {
      if (before.has(name)) lines.push(`${root}/${inner} removed`);
      continue;
    }
    if (line !== (await describe(trees.lower, inner))) lines.push(`${root}/${inner} ${line}`);
    if (!line.startsWith('directory')) continue;
    if (before.has(name)) await addChanged(lines, root, trees, inner);
    else await addTree(lines, root, trees.merged, inner);
  }
}

async function describe(tree: string, path: string): Promise<string | undefined> {
  const full = join(tree, path);
  const status = await statusOf(full);
  if (!status) return undefined;
  const owner = `${(status.mode & 0o7777).toString(8)} ${status.uid}:${status.gid}`;
  if (status.isDirectory()) return `directory ${owner}`;
  const links = status.nlink > 1 ? ` ${status.nlink} links` : '';
  if (status.isSymbolicLink()) return `link ${await readlink(full)}`;
  if (!status.isFile())
    return `${status.isFIFO() ? 'fifo' : status.isSocket() ? 'socket' : 'device'} ${owner}`;
  const hash = createHash('sha256')
    .update(await readFile(full))
    .digest('hex')
    .slice(0, 16);
  return `file ${owner} ${status.size} ${hash}${links}`;
}

/** Git's index holds times and inode numbers; what it lists is the state. */
async function gitIndex(target: OracleTarget): Promise<string[]> {
  const workspace = await treeOf(target, 'workspace');
  if (workspace === undefined || !(await statusOf(join(workspace, '.git', 'index')))) return [];
  const { stdout } = await exec('git', ['-c', 'safe.directory=*', '-C', workspace, 'ls-files', '--stage'], {
    env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
  });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `index ${line}`);
}

interface FoundProcess {
  readonly pid: number;
  readonly line: string;
}

/** All in the sandbox's pid namespace but the supervisor, the agent, and whoever entered from outside. */
async function processesOf(supervisor: number): Promise<FoundProcess[]> {
  const namespace = await readlink(`/proc/${supervisor}/ns/pid`);
  const found: FoundProcess[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === supervisor) continue;
    try {
      if ((await readlink(`/proc/${name}/ns/pid`)) !== namespace) continue;
      const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8')).split('\0').join(' ').trim();
      const stat = await readFile(`/proc/${name}/stat`, 'utf8');
      const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
      if (state === 'Z' || argv.includes('pi-coding-agent') || argv === 'pi') continue;
      const cwd = await readlink(`/proc/${name}/cwd`);
      found.push({ pid, line: `${argv} in ${cwd}` });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

async function portsOf(supervisor: number): Promise<string[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((table) => readFile(`/proc/${supervisor}/net/${table}`, 'utf8').catch(() => '')),
  );
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === '0A')
    .map((columns) => parseInt((columns[1] ?? '').split(':')[1] ?? '0', 16))
    .filter((port) => !doors.has(port))
    .map((port) => `port ${port}`)
    .sort();
}

async function probesOf(target: OracleTarget, supervisor: number): Promise<string[]> {
  const said: string[] = [];
  for (const [at, probe] of target.probes.entries()) {
    // Into the sandbox's namespaces, but not into its control group: nobody who watches it sees the probe itself.
    const child = spawn(
      'nsenter',
      [
        ...['--target', String(supervisor), '--mount', '--net', '--pid', '--ipc', '--uts', '--'],
        ...['sh', '-c', `cd "$1" && { ${probe}\n}`, 'probe', target.workspace],
      ],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: probeTimeoutMs,
        env: { PATH: probePath(), HOME: '/root' },
      },
    );
    const [output, code] = await Promise.all([text(child.stdout), exitCodeOf(child)]);
    said.push(`${at}: ${output.trim()} (${code})`);
  }
  return said;
}

function probePath(): string {
  return `/usr/local/bin:/usr/bin:/bin:${join(process.execPath, '..')}`;
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}

async function statusOf(path: string) {
  return lstat(path).catch(() => undefined);
}

/** Everything in the sandbox ends at once, as with a kill of its control group. */
export async function killSandbox(target: Pick<OracleTarget, 'stateDirectory' | 'sessionId'>): Promise<void> {
  process.kill(await supervisorPid(target), 'SIGKILL');
}
