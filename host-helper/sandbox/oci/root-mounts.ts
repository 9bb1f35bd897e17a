/**
 * The overlays of one sandbox on the host: their upper and work directories by generation, mounting, unmounting, renewing.
 * It knows nothing of containers.
 */
import { chmod, chown, lstat, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crashPoint } from '../../crash-point.ts';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import type { TrackedRoot } from '../sandbox.ts';
import { runCommand } from './command.ts';
import type { SandboxLayout } from './layout.ts';
import { readMounts, unmount } from './mount-table.ts';
import { isHeld, mountOverlay } from './overlay.ts';
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
    await Promise.all(
      this.#options.overlays
        .filter((root) => !mounted.has(this.#options.layout.merged(root.name)))
        .map(async (root) => this.#mountRoot(root)),
    );
  }

  async unmount(): Promise<void> {
    const mounted = new Set((await readMounts()).map((entry) => entry.target));
    await Promise.all(
      this.#options.overlays
        .map((root) => this.#options.layout.merged(root.name))
        .filter((target) => mounted.has(target))
        .map(async (target) => {
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

  async #mountRoot(root: OverlayRoot): Promise<void> {
    const deadline = Date.now() + busyRetryMs;
    for (;;) {
      try {
        await this.#mountOnce(root);
        return;
      } catch (error) {
        if (!(error instanceof TurntableError && isHeld(error.message))) throw error;
        // Stale does not pass by waiting: the layers below are other ones than before.
        if (Date.now() > deadline || /stale/i.test(error.message)) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    // Somebody on the host sits in the old mount, or the work directory belongs to other layers: begin with a new one.
    await this.#renewRoot(root);
    await this.#options.save({ ...this.#generations });
    await this.#mountOnce(root);
  }

  async #mountOnce(root: OverlayRoot): Promise<void> {
    const { layout, logger } = this.#options;
    const work = layout.overlayWork(root.name, this.#generations[root.name] ?? 0);
    const fresh = !(await exists(work));
    const upper = this.#upper(root);
    // A fresh work directory knows nothing of what the upper was tied to before.
    if (fresh) await runCommand(this.#options.supervisorPath, ['upper', upper, upper]);
    const target = layout.merged(root.name);
    await mountOverlay({ lowers: root.lowers, upper, work, target }, logger);
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
