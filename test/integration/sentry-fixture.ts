/** Real cgroups, overlays and processes for the sentry's test, each under a unique name and undone at the end. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startSentry } from '../../host-helper/inspector/sentry-process.ts';
import type { Sentry } from '../../host-helper/inspector/sentry.ts';
import { createLogger, silentLogger } from '../../host-helper/log.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
export const sentryBinary = join(repository, 'dist/bin/sentry');

/** Why the test cannot run here, or undefined. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!cgroup2Mount()) return 'needs a cgroup2 mount';
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'needs a kernel with BTF';
  return undefined;
}

function cgroup2Mount(): string | undefined {
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find(
    (path) => existsSync(join(path, 'cgroup.procs')) && existsSync(join(path, 'cgroup.controllers')),
  );
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

export interface Overlay {
  readonly upper: string;
  readonly merged: string;
}

/** Everything of one test; `dispose` undoes it in reverse order. */
export class Bench implements AsyncDisposable {
  readonly directory = mkdtempSync(join(process.env['TURNTABLE_TEST_TMP'] ?? tmpdir(), 'sentry-test-'));
  readonly actor = join(this.directory, 'actor');
  readonly #undo: (() => void | Promise<void>)[] = [];
  #count = 0;

  constructor() {
    run('make', ['-s', '-C', join(repository, 'bpf'), `OUT=${join(repository, 'dist/bin')}`]);
    const source = join(repository, 'test/integration/sentry/actor.c');
    run('clang', ['-O1', '-D_GNU_SOURCE', '-o', this.actor, source, '-lpthread']);
  }

  async sentry(options: { readonly eventRingBytes?: number } = {}): Promise<Sentry> {
    const log = process.env['SENTRY_TEST_LOG'] ? createLogger(console.error) : silentLogger;
    const sentry = await startSentry({
      binaryPath: sentryBinary,
      stateDir: this.directory,
      log,
      ...options,
    });
    this.#undo.push(() => sentry.close());
    return sentry;
  }

  overlay(): Overlay {
    const base = join(this.directory, `overlay-${this.#count++}`);
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(base, name));
    if (!lower || !upper || !work || !merged) throw new Error('unreachable');
    for (const path of [lower, upper, work, merged]) mkdirSync(path, { recursive: true });
    mkdirSync(join(lower, 'lower-directory'));
    writeFileSync(join(lower, 'lower-directory/inner'), 'inner');
    writeFileSync(join(lower, 'lower-file'), 'lower');
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},index=on,nfs_export=on,redirect_dir=on`;
    run('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
    this.#undo.push(() => run('umount', ['-l', merged]));
    writeFileSync(join(merged, 'file'), 'file');
    writeFileSync(join(merged, 'second'), 'second');
    return { upper, merged };
  }

  plain(): string {
    const path = join(this.directory, `plain-${this.#count++}`);
    mkdirSync(path);
    return path;
  }

  sandbox(): Sandbox {
    const sandbox = new Sandbox(join(cgroup2Mount() ?? '', `sentry-test-${process.pid}-${this.#count++}`));
    this.#undo.push(() => sandbox.end());
    return sandbox;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A cgroup2 directory and the processes put into it. */
export class Sandbox {
  readonly cgroupPath: string;
  readonly cgroupId: bigint;
  readonly #children: ChildProcess[] = [];

  constructor(cgroupPath: string) {
    this.cgroupPath = cgroupPath;
    mkdirSync(cgroupPath);
    this.cgroupId = statSync(cgroupPath, { bigint: true }).ino;
  }

  /** Starts a program inside; `below` puts it into a cgroup below this one. */
  start(argv: readonly string[], below?: string): Running {
    const cgroup = below ? join(this.cgroupPath, below) : this.cgroupPath;
    if (below) mkdirSync(cgroup, { recursive: true });
    const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    const child = spawn('/bin/sh', ['-c', script, cgroup, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return new Running(child);
  }

  /** Runs a program inside to its end; its exit code. */
  async run(...argv: string[]): Promise<number | null> {
    return this.start(argv).ended;
  }

  async freeze(frozen: boolean): Promise<void> {
    const events = join(this.cgroupPath, 'cgroup.events');
    writeFileSync(join(this.cgroupPath, 'cgroup.freeze'), frozen ? '1' : '0');
    while (readFileSync(events, 'utf8').includes('frozen 1') !== frozen) await sleep(5);
  }

  async end(): Promise<void> {
    writeFileSync(join(this.cgroupPath, 'cgroup.kill'), '1');
    for (const child of this.#children)
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    while (/populated 1/.test(readFileSync(join(this.cgroupPath, 'cgroup.events'), 'utf8'))) await sleep(5);
    spawnSync('find', [
      this.cgroupPath,
      '-mindepth',
      '1',
      '-depth',
      '-type',
      'd',
      '-exec',
      'rmdir',
      '{}',
      ';',
    ]);
    rmdirSync(this.cgroupPath);
  }
}

export class Running {
  readonly pid: number;
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcess) {
    if (!child.stdout || child.pid === undefined) throw new Error('not started');
    this.#child = child;
    this.pid = child.pid;
    this.ended = once(child, 'exit').then(([code]: (number | null)[]) => code ?? null);
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? '<end>' : value;
  }

  /** Writes a line and waits for the one that answers it. */
  async say(line: string): Promise<string> {
    this.write(`${line}\n`);
    return this.line();
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  finish(): void {
    this.#child.stdin?.end();
  }
}
