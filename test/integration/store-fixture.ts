/** Real overlays and a real store in a temporary directory, for tests of the store. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../host-helper/log.ts';
import type { TrackedRoot } from '../../host-helper/sandbox/sandbox.ts';
import { openStore } from '../../host-helper/store/open-store.ts';
import type { CaptureResult, Store } from '../../host-helper/store/store.ts';

const project = join(import.meta.dirname, '../..');

/** The tree worker, built when it is missing; undefined when it cannot be. */
export function treefsPath(): string | undefined {
  const path = join(project, 'dist/bin/treefs');
  if (existsSync(path)) return path;
  try {
    execFileSync(
      'make',
      ['-C', join(project, 'host-helper/store/treefs'), `OUT=${join(project, 'dist/bin')}`],
      { stdio: 'ignore' },
    );
  } catch {
    return undefined;
  }
  return path;
}

/** Why the tests cannot run here; undefined when they can. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root to mount overlays';
  if (!treefsPath()) return 'the tree worker cannot be built (make and gcc are needed)';
  return undefined;
}

export function sh(command: string, cwd = '/'): string {
  return execFileSync('bash', ['-ec', command], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** One overlay over `lower`; several may share a lower. */
export class Overlay implements Disposable {
  readonly root: TrackedRoot;
  readonly #work: string;
  #mounted = false;

  constructor(directory: string, lower: string, path = '/project', name = 'workspace') {
    for (const part of ['upper', 'work', 'merged']) mkdirSync(join(directory, part), { recursive: true });
    this.#work = join(directory, 'work');
    this.root = {
      name,
      path,
      kind: 'overlay',
      lower,
      upper: join(directory, 'upper'),
      merged: join(directory, 'merged'),
    };
  }

  /** With a fresh work directory and the options that sandboxes use. */
  mount(): this {
    rmSync(this.#work, { recursive: true, force: true });
    mkdirSync(this.#work);
    const { lower, upper, merged } = this.root;
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${this.#work},index=on,nfs_export=on,redirect_dir=on`;
    // A sandbox that is started meanwhile copies the mounts: the upper is then in use for a moment longer.
    sh(
      `for i in $(seq 100); do mount -t overlay overlay -o ${options} ${merged} && exit 0; sleep 0.1; done; exit 1`,
    );
    this.#mounted = true;
    return this;
  }

  unmount(): void {
    if (this.#mounted) sh(`umount ${this.root.merged}`);
    this.#mounted = false;
  }

  /** Runs in the folder as the sandbox sees it. */
  inside(command: string): string {
    return sh(command, this.root.merged);
  }

  /** Everything a program in the sandbox can see of the tree, contents included, but neither inode numbers nor link counts. */
  picture(): string {
    return this.inside(
      `find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%T@|%l|' \\( -type f -exec sh -c 'stat -c %s "$0" | tr "\\n" "|"; sha256sum < "$0"' {} \\; -o -printf '\\n' \\) | sort`,
    );
  }

  [Symbol.dispose](): void {
    this.unmount();
  }
}

/** A temporary directory with a store in it. */
export class Bench implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'turntable-store-'));
  readonly #overlays: Overlay[] = [];
  #store: Store | undefined;
  #count = 0;

  constructor() {
    mkdirSync(join(this.directory, 'lower'));
  }

  get lower(): string {
    return join(this.directory, 'lower');
  }

  get state(): string {
    return join(this.directory, 'state');
  }

  async store(): Promise<Store> {
    return (this.#store ??= await openStore({
      directory: this.state,
      treefsPath: treefsPath() ?? '',
      logger: silentLogger,
    }));
  }

  async reopen(): Promise<Store> {
    await this.#store?.close();
    this.#store = undefined;
    return await this.store();
  }

  overlay(): Overlay {
    const overlay = new Overlay(join(this.directory, `sandbox-${this.#count++}`), this.lower);
    this.#overlays.push(overlay);
    return overlay;
  }

  async capture(
    overlay: Overlay,
    previous: string | undefined,
    sandboxId = overlay.root.upper,
  ): Promise<CaptureResult> {
    const store = await this.store();
    return await store.files.capture({
      sandboxId,
      roots: [overlay.root],
      previous,
      dirtyRoots: new Set([overlay.root.name]),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const overlay of this.#overlays) overlay.unmount();
    await this.#store?.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** `kind path` of each change, sorted. */
export function listed(changes: readonly { readonly change: string; readonly path: string }[]): string[] {
  return changes.map(({ change, path }) => `${change} ${path}`).sort();
}
