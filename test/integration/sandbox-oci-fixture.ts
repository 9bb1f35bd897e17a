/**
 * What the tests of the OCI backend share: a backend on a state directory of its own, folders, commands inside, and a look at what is left.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createLogger, silentLogger, type Logger } from '../../host-helper/log.ts';
import { createOciBackend } from '../../host-helper/sandbox/oci/backend.ts';
import type { Sandbox, SandboxBackend, SandboxSpec } from '../../host-helper/sandbox/sandbox.ts';

const root = resolve(import.meta.dirname, '../..');
export const supervisorPath = process.env['TURNTABLE_SUPERVISOR'] ?? join(root, 'dist/bin/supervisor');

/** Why these tests cannot run here; undefined when they can. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root: run with sudo';
  if (!existsSync(supervisorPath)) return 'dist/bin/supervisor is not built: npm run build';
  if (spawnSync('runc', ['--version']).status !== 0) return 'runc is not installed';
  return undefined;
}

/** A CRIU that works here, if any. */
export function findCriu(): string | undefined {
  const candidates = [process.env['TURNTABLE_CRIU'], join(root, '.cache/criu/criu'), 'criu'];
  return candidates.find((path) => path !== undefined && spawnSync(path, ['check']).status === 0);
}

export interface Stage {
  readonly backend: SandboxBackend;
  readonly stateDirectory: string;
  readonly workspace: string;
  /** Another backend object on the same state, like a helper that was started again. */
  restartedBackend(): SandboxBackend;
  spec(change?: Partial<SandboxSpec>): SandboxSpec;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A state directory and a workspace with a few files. Disposing sweeps everything. */
export async function setStage(): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'turntable-oci-'));
  const stateDirectory = join(directory, 'state');
  const workspace = join(directory, 'work space, with:signs');
  await mkdir(join(workspace, 'src'), { recursive: true });
  await writeFile(join(workspace, 'readme.txt'), 'as it was\n');
  await writeFile(join(workspace, 'src/a.txt'), 'a\n');
  await writeFile(join(workspace, '.env'), 'SECRET=1\n');
  const criu = findCriu();
  const logger: Logger =
    process.env['TURNTABLE_TEST_LOG'] === undefined
      ? silentLogger
      : createLogger((line) => console.log(line), 'debug');
  const make = (): SandboxBackend =>
    createOciBackend({ stateDirectory, runc: 'runc', criu, supervisorPath, logger });
  const backend = make();
  return {
    backend,
    stateDirectory,
    workspace,
    restartedBackend: make,
    spec(change = {}) {
      const id = change.id ?? `t-${randomBytes(5).toString('hex')}`;
      return {
        id,
        directory: join(stateDirectory, 'sandboxes', id),
        workspace,
        home: '/home/agent',
        readOnlyMounts: [],
        doors: [],
        seccompListenerPath: undefined,
        memoryBytes: 1 << 30,
        maxProcesses: 256,
        maskedPaths: ['.env'],
        ...change,
      };
    },
    async [Symbol.asyncDispose]() {
      await make().sweep(new Set());
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** Runs a shell script inside to its end; stdout and stderr together. */
export async function sh(sandbox: Sandbox, script: string, cwd = '/'): Promise<Outcome> {
  const child = await sandbox.spawn({
    argv: ['/bin/sh', '-c', script],
    cwd,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/home/agent' },
    terminal: undefined,
    stdin: new Uint8Array(0),
  });
  let output = '';
  child.onOutput((_stream, data) => (output += Buffer.from(data).toString()));
  return { code: await child.exited, output };
}

/** Waits until a growing text holds something; the test's own time limit ends it otherwise. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((done) => setTimeout(done, 20));
}

/** Everything on the host that names this state directory or its owner mark. */
export async function leftovers(stateDirectory: string, owner: string): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(stateDirectory));
  const names = (await readdir('/run/netns').catch(() => [])).filter((name) => name.includes(owner));
  const groups: string[] = [];
  for (const entry of await readdir('/sys/fs/cgroup', { withFileTypes: true })) {
    const path = entry.isDirectory() ? join('/sys/fs/cgroup', entry.name) : '/sys/fs/cgroup';
    const inside = await readdir(path).catch(() => []);
    groups.push(...inside.filter((name) => name.includes(owner)).map((name) => join(path, name)));
  }
  const processes: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (argv.includes(owner) || argv.includes('turntable/supervisor\0init')) {
      if (argv.includes(owner)) processes.push(`${pid} ${argv.replaceAll('\0', ' ')}`);
    }
  }
  return [...mounts, ...names, ...groups, ...processes];
}
