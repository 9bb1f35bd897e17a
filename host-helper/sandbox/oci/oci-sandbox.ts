/**
 * One sandbox on runc, overlays and CRIU: its life from created to destroyed. It puts the parts of this directory in order and undoes what it
 * began when a step fails. It knows nothing of turns, checkpoints as rows, or who asks.
 */
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../crash-point.ts';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import type {
  DumpResult,
  Sandbox,
  SandboxCgroup,
  SandboxChild,
  SandboxSpec,
  SpawnRequest,
  TrackedRoot,
} from '../sandbox.ts';
import { criuOptions, ociConfig, type Mask } from './bundle.ts';
import { cgroupOf, limitProcesses, removeCgroup, reserveCgroup, setFrozen } from './cgroup.ts';
import { runCommand, tryCommand } from './command.ts';
import { dumpThroughGate, makeDumpGate, releaseDumpGate } from './dump-gate.ts';
import { closeDoors, findDoors, openDoors } from './doors.ts';
import { dumpsBelow, DumpWatch } from './dump-watch.ts';
import { supervisorSocket, type SandboxLayout } from './layout.ts';
import { unmountBelow } from './mount-table.ts';
import { createNetns, deleteNetns } from './netns.ts';
import { criuReason, imageSizeBytes, readShape, writeShape } from './process-image.ts';
import {
  anyWith,
  identify,
  isAlive,
  isEnding,
  signalProcess,
  waitUntil,
  type ProcessIdentity,
} from './process-identity.ts';
import { readRecord, writeRecord, type SandboxRecord } from './record.ts';
import { ensureMountPoint, ensureRootfs } from './rootfs.ts';
import { RootMounts } from './root-mounts.ts';
import type { OverlayRoot } from './roots.ts';
import type { Runc } from './runc.ts';
import { postponeStops } from './stopped-processes.ts';
import { SupervisorClient } from './supervisor-client.ts';

const restoreHelpers = 64;
const abandonedDumpMs = 20_000;
/** How long servers get to accept what has connected to them, before each further try to dump them. */
const acceptPausesMs = [20, 60, 180];

export interface OciSandboxContext {
  readonly spec: SandboxSpec;
  readonly layout: SandboxLayout;
  readonly overlays: readonly OverlayRoot[];
  readonly runc: Runc;
  readonly supervisorPath: string;
  readonly canDump: boolean;
  readonly logger: Logger;
}

/** What is only there while it runs. */
interface Running {
  readonly supervisor: ProcessIdentity;
  readonly cgroup: SandboxCgroup;
  readonly masks: readonly Mask[];
}

export class OciSandbox implements Sandbox {
  readonly id: string;
  readonly #context: OciSandboxContext;
  readonly #mounts: RootMounts;
  readonly #client: SupervisorClient;
  readonly #diedListeners = new Set<(detail: string) => void>();
  #record: SandboxRecord;
  #running: Running | undefined;
  #everStarted = false;
  #frozen = false;
  /** One operation at a time; the next waits for the last, whether it failed or not. */
  #last: Promise<unknown> = Promise.resolve();
  #busy = false;

  private constructor(context: OciSandboxContext, record: SandboxRecord) {
    this.id = context.spec.id;
    this.#context = context;
    this.#record = record;
    this.#client = new SupervisorClient(context.logger, () => void this.#onLost());
    this.#mounts = new RootMounts({
      layout: context.layout,
      overlays: context.overlays,
      supervisorPath: context.supervisorPath,
      logger: context.logger,
      generations: record.generations,
      save: async (generations) => this.#save({ generations }),
    });
  }

  /** Prepares directories, or takes those that are there. Starts nothing. */
  static async open(context: OciSandboxContext): Promise<OciSandbox> {
    const { layout, spec } = context;
    const existing = await readRecord(layout.record);
    const record = existing ?? { version: 1, id: spec.id, generations: {} };
    // Others may pass through to the merged workspace, but not look around.
    await mkdir(layout.directory, { recursive: true });
    await chmod(layout.directory, 0o711);
    await mkdir(layout.layers, { recursive: true, mode: 0o700 });
    await mkdir(layout.bundle, { recursive: true, mode: 0o700 });
    await mkdir(layout.empty.directory, { recursive: true });
    await writeFile(layout.empty.file, '');
    await writeFile(layout.criuConfig, criuOptions(layout.dumpGate.script));
    await releaseDumpGate(layout.dumpGate);
    await makeDumpGate(layout.dumpGate);
    const sandbox = new OciSandbox(context, record);
    // One that exists may be running, with its hands in there; before `prepare`, which makes it one that exists.
    if (existing === undefined) await ensureRootfs(sandbox.#rootfs, context.supervisorPath);
    await sandbox.#mounts.prepare();
    await writeRecord(layout.record, sandbox.#record);
    sandbox.#everStarted = existing !== undefined;
    return sandbox;
  }

  get roots(): readonly TrackedRoot[] {
    const rootfs = this.#rootfs;
    const plain = { name: 'rootfs', path: '/', kind: 'plain', lower: undefined } as const;
    return [{ ...plain, upper: rootfs, merged: rootfs }, ...this.#mounts.roots];
  }

  get state(): 'created' | 'running' | 'stopped' {
    if (this.#running) return 'running';
    return this.#everStarted ? 'stopped' : 'created';
  }

  get cgroup(): SandboxCgroup {
    return this.#mustRun().cgroup;
  }

  get supervisorPid(): number {
    return this.#mustRun().supervisor.pid;
  }

  get children(): readonly SandboxChild[] {
    return this.#client.children;
  }

  onDied(listener: (detail: string) => void): () => void {
    this.#diedListeners.add(listener);
    return () => this.#diedListeners.delete(listener);
  }

  async reserveCgroup(): Promise<SandboxCgroup> {
    return reserveCgroup(this.#context.layout.cgroupsPath);
  }

  async start(): Promise<void> {
    await this.#exclusive(async () => {
      this.#mustNotRun();
      const { runc, layout } = this.#context;
      await this.#launch(undefined, async () =>
        runc.run(this.id, layout.bundle, layout.pidFile, layout.runcLog),
      );
    });
  }

  async restore(imageDirectory: string): Promise<void> {
    await this.#exclusive(async () => {
      this.#mustNotRun();
      const { runc, layout, spec } = this.#context;
      const begunMs = performance.now();
      try {
        const masks = await readShape(imageDirectory);
        await this.#launch(masks, async () =>
          runc.restore({
            ...{ id: this.id, bundle: layout.bundle, pidFile: layout.pidFile, log: layout.runcLog },
            ...{ images: imageDirectory, work: layout.work },
          }),
        );
      } catch (cause) {
        const reason = await criuReason(join(layout.work, 'restore.log'));
        const words = reason || (cause instanceof Error ? cause.message : String(cause));
        throw new TurntableError(
          'restoreFailed',
          `The processes of sandbox ${spec.id} cannot be restored: ${words}. Its files are in place; start it from its transcript instead.`,
          { cause },
        );
      }
      this.#context.logger.debug('restored', { tookMs: performance.now() - begunMs });
    });
  }

  async spawn(request: SpawnRequest): Promise<SandboxChild> {
    this.#mustRun();
    return this.#client.spawn(request);
  }

  async freeze(): Promise<void> {
    await this.#exclusive(async () => {
      const { cgroup } = this.#mustRun();
      if (this.#frozen) throw this.#busyError('it is frozen already');
      await setFrozen(cgroup, true);
      this.#frozen = true;
    });
  }

  async thaw(): Promise<void> {
    await this.#exclusive(async () => {
      await setFrozen(this.#mustRun().cgroup, false);
      this.#frozen = false;
    });
  }

  async dump(imageDirectory: string, whileFrozen: () => Promise<void>): Promise<DumpResult> {
    return this.#exclusive(async () => {
      const running = this.#mustRun();
      if (this.#frozen) throw this.#busyError('it is frozen');
      if (!this.#context.canDump) {
        throw new TurntableError(
          'checkpointFailed',
          'This host has no working CRIU, so processes cannot be saved. Run "npm run setup".',
        );
      }
      await mkdir(imageDirectory, { recursive: true, mode: 0o700 });
      await this.#client.detach();
      crashPoint('dump:detached');
      try {
        const frozenMs = await this.#dumpAccepted(imageDirectory, whileFrozen);
        await writeShape(imageDirectory, running.masks);
        return { frozenMs, imageBytes: await imageSizeBytes(imageDirectory) };
      } finally {
        // One that was killed meanwhile is told of as lost.
        if (!(await isEnding(running.supervisor))) await this.#attach(running.supervisor);
        crashPoint('dump:attached');
      }
    });
  }

  /** Connections that no server has accepted yet cannot be saved. Let go for a moment, servers accept them: then again. */
  async #dumpAccepted(imageDirectory: string, whileFrozen: () => Promise<void>): Promise<number> {
    for (const pauseMs of acceptPausesMs) {
      try {
        return await this.#dumpDetached(imageDirectory, whileFrozen);
      } catch (error) {
        if (!(error instanceof TurntableError) || !error.message.includes('In-flight connection'))
          throw error;
        await rm(imageDirectory, { recursive: true, force: true });
        await mkdir(imageDirectory, { mode: 0o700 });
        await sleep(pauseMs);
      }
    }
    return this.#dumpDetached(imageDirectory, whileFrozen);
  }

  async stop(): Promise<void> {
    await this.#exclusive(async () => this.#stopNow());
  }

  async prepareUppers(): Promise<void> {
    await this.#exclusive(async () => {
      this.#mustNotRun();
      await this.#mounts.renew();
    });
  }

  async mount(): Promise<void> {
    await this.#exclusive(async () => this.#mounts.mount());
  }

  async destroy(): Promise<void> {
    await this.#exclusive(async () => {
      await this.#stopNow();
      crashPoint('remove:down');
      const { layout } = this.#context;
      await unmountBelow(layout.directory);
      await removeCgroup(layout.cgroupsPath);
      await runCommand('rm', ['-rf', '--one-file-system', layout.directory], { timeoutMs: 300_000 });
    });
  }

  /** Takes over what an earlier helper left: attaches when it runs, tidies up when it does not. */
  async takeOver(): Promise<void> {
    await this.#exclusive(async () => {
      const { runc, layout, logger } = this.#context;
      await this.#closeStrayDoors();
      const state = await runc.state(this.id);
      const supervisor = state && state.pid > 0 ? await identify(state.pid) : undefined;
      if (!state || !supervisor || state.status === 'stopped' || state.status === 'created') {
        await this.#removeProcesses();
        return;
      }
      // The last helper may have died in the middle of a dump (it is let go at its gate, which it may reach only now, and fails) or of a capture.
      const watch = new DumpWatch(layout.work, logger);
      const letGo = async (): Promise<void> => {
        await releaseDumpGate(layout.dumpGate);
        await watch.look();
      };
      const ends = async (): Promise<boolean> =>
        (await dumpsBelow(layout.work)).length === 0 && !(await anyWith(['checkpoint', layout.work]));
      if (!(await waitUntil(ends, abandonedDumpMs, letGo))) {
        logger.warn('a dump of an earlier helper does not end', { id: this.id });
      }
      if (await isEnding(supervisor)) {
        await this.#removeProcesses();
        return;
      }
      if ((await runc.state(this.id))?.status === 'paused') await runc.resume(this.id);
      const cgroup = await cgroupOf(supervisor.pid);
      await setFrozen(cgroup, false);
      if (!this.#record.doors || !(await isAlive(this.#record.doors))) {
        await this.#save({ doors: await this.#openDoors() });
      } else {
        await signalProcess(this.#record.doors, 'SIGCONT');
      }
      const masks = this.#record.masks ?? [];
      this.#running = { supervisor, cgroup, masks };
      await this.#attach(supervisor);
      logger.info('took over a running sandbox', { id: this.id, pid: supervisor.pid });
    });
  }

  get #rootfs(): string {
    return this.#context.layout.upper('rootfs', 0);
  }

  /** Everything a run and a restore have in common. Undone when a step fails. */
  async #launch(masksOfImage: readonly Mask[] | undefined, begin: () => Promise<void>): Promise<void> {
    const { layout, spec, runc, logger, supervisorPath } = this.#context;
    try {
      // A sandbox that was made just now has nothing to be removed.
      if (this.#everStarted) await this.#removeProcesses('keep');
      // A restore finds the tree of its checkpoint, with the supervisor that was dumped.
      if (!masksOfImage) await ensureRootfs(this.#rootfs, supervisorPath);
      await mkdir(layout.work, { recursive: true, mode: 0o700 });
      for (const path of [
        ...this.#mounts.roots.map((root) => root.path),
        ...spec.readOnlyMounts.map((mount) => mount.target),
      ]) {
        await ensureMountPoint(this.#rootfs, path);
      }
      const [, doors] = await Promise.all([
        this.#mounts.mount(),
        createNetns(layout.netnsName).then(async () => this.#openDoors()),
      ]);
      crashPoint('launch:doors');
      const masks = masksOfImage ?? (await this.#findMasks());
      await this.#save({ doors, masks: [...masks] });
      crashPoint('launch:noted');
      const config = ociConfig({
        ...{ spec, layout, masks, rootfs: this.#rootfs },
        roots: this.#mounts.roots,
        // CRIU's own helpers count too while they bring everything back.
        maxProcesses: spec.maxProcesses + (masksOfImage ? restoreHelpers : 0),
      });
      await writeFile(layout.config, JSON.stringify(config, undefined, 1), { mode: 0o600 });
      await begin();
      crashPoint('launch:runs');
      const pid = Number((await readFile(layout.pidFile, 'utf8')).trim());
      const supervisor = await identify(pid);
      if (!supervisor) {
        throw new TurntableError(
          'sandboxFailed',
          'The sandbox ended as soon as it began. Look at the kernel log (dmesg) for the reason.',
        );
      }
      const cgroup = await cgroupOf(pid);
      this.#running = { supervisor, cgroup, masks };
      if (masksOfImage) {
        await this.#hangUpDoors(cgroup);
        await limitProcesses(layout.cgroupsPath, spec.maxProcesses);
      }
      await this.#attach(supervisor);
      crashPoint('launch:attached');
      this.#everStarted = true;
      this.#frozen = false;
      logger.debug('sandbox runs', { id: spec.id, pid, cgroup: cgroup.path });
    } catch (error) {
      this.#running = undefined;
      this.#client.end();
      await runc.remove(this.id).catch(() => undefined);
      await this.#removeProcesses().catch((cleanup: unknown) => {
        logger.warn('could not tidy up after a failed start', { error: cleanup });
      });
      throw error;
    }
  }

  async #dumpDetached(imageDirectory: string, whileFrozen: () => Promise<void>): Promise<number> {
    const { runc, layout } = this.#context;
    const { doors } = this.#record;
    const begunMs = performance.now();
    // A door that still talked would change a connection that is being written down.
    if (doors) await signalProcess(doors, 'SIGSTOP');
    crashPoint('dump:quiet');
    try {
      await runc.pause(this.id);
      await postponeStops(this.#mustRun().cgroup);
      crashPoint('dump:paused');
      const checkpoint = async (): Promise<void> => this.#checkpoint(imageDirectory);
      await dumpThroughGate(layout.dumpGate, checkpoint, async () => {
        crashPoint('dump:gate');
        await whileFrozen();
        crashPoint('dump:answered');
      });
      crashPoint('dump:written');
    } finally {
      await runc.resume(this.id).catch(async (error: unknown) => {
        if ((await runc.state(this.id))?.status === 'paused') throw error;
      });
      if (doors) await signalProcess(doors, 'SIGCONT');
    }
    crashPoint('dump:resumed');
    return performance.now() - begunMs;
  }

  async #checkpoint(imageDirectory: string): Promise<void> {
    const { runc, layout, spec, logger } = this.#context;
    const { supervisor } = this.#mustRun();
    try {
      await new DumpWatch(layout.work, logger).during(async () =>
        runc.checkpoint(this.id, imageDirectory, layout.work),
      );
    } catch (cause) {
      const reason = await criuReason(join(layout.work, 'dump.log'));
      const words = reason || (cause instanceof Error ? cause.message : String(cause));
      const after = (await isEnding(supervisor))
        ? 'It ended meanwhile.'
        : 'It runs on; end the process that is in the way to save them again.';
      throw new TurntableError(
        'checkpointFailed',
        `The processes of sandbox ${spec.id} cannot be saved: ${words}. ${after}`,
        { cause },
      );
    }
  }

  async #stopNow(): Promise<void> {
    this.#running = undefined;
    this.#frozen = false;
    this.#client.end();
    await this.#removeProcesses();
    await this.#mounts.unmount();
  }

  /** Container, doors and namespace; no error when they are not there. A cgroup that was reserved for a coming start stays. */
  async #removeProcesses(cgroup: 'remove' | 'keep' = 'remove'): Promise<void> {
    const { runc, layout } = this.#context;
    await runc.remove(this.id);
    await closeDoors(this.#record.doors);
    await deleteNetns(layout.netnsName);
    if (cgroup === 'remove') await removeCgroup(layout.cgroupsPath);
    if (this.#record.doors) await this.#save({ doors: undefined });
  }

  async #openDoors(): Promise<ProcessIdentity | undefined> {
    const { supervisorPath, layout, spec } = this.#context;
    return openDoors({ supervisorPath, netns: layout.netns, doors: spec.doors });
  }

  /** Those that a helper opened and died before it had noted them. */
  async #closeStrayDoors(): Promise<void> {
    const noted = this.#record.doors;
    const { netns } = this.#context.layout;
    for (const found of await findDoors(netns)) {
      const { pid, startTicks } = found.identity;
      if (found.netns !== netns || (pid === noted?.pid && startTicks === noted.startTicks)) continue;
      await closeDoors(found.identity);
    }
  }

  async #hangUpDoors(cgroup: SandboxCgroup): Promise<void> {
    const { spec, supervisorPath, logger } = this.#context;
    if (spec.doors.length === 0) return;
    const ports = spec.doors.map((door) => String(door.port));
    const argv = ['hangup', join(cgroup.path, 'cgroup.procs'), ...ports];
    const result = await tryCommand(supervisorPath, argv);
    if (result.code !== 0) logger.warn('stale connections may linger', { words: result.stderr });
    else logger.debug('hung up stale connections', { count: Number(result.stdout) });
  }

  async #attach(supervisor: ProcessIdentity): Promise<void> {
    await this.#client.attach(`/proc/${supervisor.pid}/root${supervisorSocket}`, async () =>
      isAlive(supervisor),
    );
  }

  /** Paths that must not be read and exist now, as they are inside. */
  async #findMasks(): Promise<Mask[]> {
    const { spec, layout } = this.#context;
    const masks: Mask[] = [];
    for (const path of spec.maskedPaths) {
      const status = await stat(join(layout.merged('workspace'), path)).catch(() => undefined);
      if (!status) continue;
      const kind = status.isDirectory() ? 'directory' : 'file';
      masks.push({ path: join(spec.workspace, path), kind });
    }
    return masks;
  }

  async #onLost(): Promise<void> {
    if (this.#busy || !this.#running) return;
    await this.#exclusive(async () => {
      const running = this.#running;
      if (!running || this.#client.attached) return;
      if (await isAlive(running.supervisor)) {
        try {
          await this.#attach(running.supervisor);
          return;
        } catch (error) {
          this.#context.logger.error('the supervisor is out of reach', { error });
        }
      }
      this.#running = undefined;
      this.#client.end();
      await this.#removeProcesses();
      for (const listener of this.#diedListeners) {
        listener('The sandbox ended although nobody asked: its first process is gone.');
      }
    }).catch((error: unknown) => {
      this.#context.logger.error('could not tidy up a dead sandbox', { error });
    });
  }

  async #save(change: Partial<SandboxRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    await writeRecord(this.#context.layout.record, this.#record);
  }

  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      this.#busy = true;
      try {
        return await work();
      } finally {
        this.#busy = false;
        // It may have died while nobody looked.
        if (this.#running && !this.#client.attached) setImmediate(() => void this.#onLost());
      }
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #mustRun(): Running {
    if (this.#running) return this.#running;
    throw new TurntableError(
      'sessionNotRunning',
      `Sandbox ${this.id} does not run. Start the session first.`,
    );
  }

  #mustNotRun(): void {
    if (this.#running) throw this.#busyError('it runs');
  }

  #busyError(why: string): TurntableError {
    return new TurntableError('sessionBusy', `Sandbox ${this.id} cannot do that now: ${why}.`);
  }
}
