/**
 * The overlays of one sandbox on the host: their upper and work directories by generation, mounting, unmounting, renewing.
 * It knows nothing of containers.
 */
import { chmod, chown, lstat, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crashPoint } from '../../crash-point.ts';
import type { Logger } from '../../log.ts';
import type { TurntableError } from '../../protocol/errors.ts';
import type { TrackedRoot } from '../sandbox.ts';
import { runCommand } from './command.ts';
import type { SandboxLayout } from './layout.ts';
import { readMounts, unmount, unmountTogether } from './mount-table.ts';
import { isHeld, mountOverlays } from './overlay.ts';
import type { OverlayRoot } from './roots.ts';

/** How long a mount waits for the last holder of its upper to go away by itself. */
const busyRetryMs = 1_000;

export interface RootMountsOptions {
  readonly layout: SandboxLayout;
  readonly overlays: readonly OverlayRoot[];
  readonly supervisorPath: string;
  readonly logger: Logger;
  readonly generations: Readonly<Record<string, number>>;
  /** Makes the generations durable before they are used. */
  readonly save: (generations: Record<string, number>) => Promise<void>;
}

export class RootMounts {
  readonly #options: RootMountsOptions;
  #generations: Record<string, number>;

  constructor(options: RootMountsOptions) {
    this.#options = options;
    this.#generations = { ...options.generations };
  }

  /** Parents before children. */
  get roots(): readonly TrackedRoot[] {
    return this.#options.overlays.map((root) => ({
      name: root.name,
      path: root.path,
      kind: 'overlay',
      lower: root.lower,
      upper: this.#upper(root),
      merged: this.#options.layout.merged(root.name),
    }));
  }

  /** Makes first uppers, which look like their lower, and finishes a renewal that was interrupted. */
  async prepare(): Promise<void> {
    for (const root of this.#options.overlays) {
      const current = this.#generations[root.name];
      const next = this.#options.layout.upper(root.name, (current ?? 0) + 1);
      if (current === undefined) {
        this.#generations[root.name] = 0;
        await makeLike(root.lower, this.#upper(root));
      } else if (await exists(next)) {
        await this.#renewRoot(root);
      }
      await mkdir(this.#options.layout.merged(root.name), { recursive: true });
    }
    await this.#options.save({ ...this.#generations });
  }

  /** Mounts what is not mounted yet. */
  async mount(): Promise<void> {
    const mounted = new Set((await readMounts()).map((entry) => entry.target));
    const missing = this.#options.overlays.filter(
      (root) => !mounted.has(this.#options.layout.merged(root.name)),
    );
    const held = await this.#mountTogether(missing);
    await Promise.all(held.map(async (root) => this.#mountHeld(root)));
  }

  async unmount(): Promise<void> {
    const mounted = async (): Promise<string[]> => {
      const table = new Set((await readMounts()).map((entry) => entry.target));
      return this.#options.overlays
        .map((root) => this.#options.layout.merged(root.name))
        .filter((target) => table.has(target));
    };
    const targets = await mounted();
    if (targets.length === 0 || (await unmountTogether(targets))) return;
    await Promise.all(
      (await mounted()).map(async (target) => {
        if (await unmount(target)) return;
        this.#options.logger.info('a process on the host still holds this folder; it was detached', {
          target,
        });
      }),
    );
  }

  /** Fresh upper paths and work directories with the same contents, for all roots. Unmounts first. */
  async renew(): Promise<void> {
    await this.unmount();
    await Promise.all(this.#options.overlays.map(async (root) => this.#renewRoot(root)));
    await this.#options.save({ ...this.#generations });
  }

  /** Tries again while somebody lets go, then begins with a new upper. */
  async #mountHeld(root: OverlayRoot): Promise<void> {
    const deadline = Date.now() + busyRetryMs;
    while (Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const [error] = await this.#mountOverlays([root]);
      if (!error) return;
      if (!isHeld(error.message)) throw error;
      // Stale does not pass by waiting: the layers below are other ones than before.
      if (/stale/i.test(error.message)) break;
    }
    // Somebody on the host sits in the old mount, or the work directory belongs to other layers: begin with a new one.
    await this.#renewRoot(root);
    await this.#options.save({ ...this.#generations });
    const [error] = await this.#mountOverlays([root]);
    if (error) throw error;
  }

  /** Returns those whose upper or work directory somebody else still has. */
  async #mountTogether(roots: readonly OverlayRoot[]): Promise<OverlayRoot[]> {
    const errors = await this.#mountOverlays(roots);
    return roots.filter((_root, index) => {
      const error = errors[index];
      if (error && !isHeld(error.message)) throw error;
      return error !== undefined;
    });
  }

  async #mountOverlays(roots: readonly OverlayRoot[]): Promise<(TurntableError | undefined)[]> {
    const { layout, logger, supervisorPath } = this.#options;
    const mounts = roots.map(async (root) => {
      const work = layout.overlayWork(root.name, this.#generations[root.name] ?? 0);
      return {
        lowers: root.lowers,
        upper: this.#upper(root),
        work,
        target: layout.merged(root.name),
        fresh: !(await exists(work)),
      };
    });
    return mountOverlays(supervisorPath, await Promise.all(mounts), logger);
  }

  async #renewRoot(root: OverlayRoot): Promise<void> {
    const { layout } = this.#options;
    const next = (this.#generations[root.name] ?? 0) + 1;
    const old = this.#upper(root);
    // An old one that is gone had been moved completely, by a helper that died before it could write that down.
    if (await exists(old))
      await runCommand(this.#options.supervisorPath, ['upper', old, layout.upper(root.name, next)]);
    crashPoint('renew:moved');
    this.#generations[root.name] = next;
    const keep = new Set([basename(this.#upper(root))]);
    for (const name of await readdir(dirname(old))) {
      if (!keep.has(name)) await rm(join(dirname(old), name), { recursive: true, force: true });
    }
    crashPoint('renew:cleared');
  }

  #upper(root: OverlayRoot): string {
    return this.#options.layout.upper(root.name, this.#generations[root.name] ?? 0);
  }
}

/** The root of an overlay has the owner and mode of its upper, so the upper takes those of the lower. */
async function makeLike(model: string, path: string): Promise<void> {
  const status = await stat(model);
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chown(path, status.uid, status.gid);
  await chmod(path, status.mode & 0o7777);
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
