/**
 * A sandbox that is up: started or restored, watched and guarded by the sentry, with its model endpoint and its egress proxy.
 * Brings these up and down in the one right order. Knows nothing of turns.
 */

import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createEgressProxy, type EgressProxy } from '../authority/egress-proxy.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { ReachedHost } from '../protocol/state.ts';
import type { Sandbox, SandboxCgroup, SandboxSpec } from '../sandbox/sandbox.ts';
import type { ModelEndpoint, ModelEndpointHooks, Upstream } from '../turns/model-endpoint.ts';
import { createModelEndpoint } from '../turns/model-proxy.ts';
import { doorPorts, type SessionParts } from './parts.ts';

const memoryBytes = 8 * 1024 ** 3;
const maxProcesses = 4096;
/** Secrets of a workspace, relative to it: never readable in a sandbox, never in an archive. */
export const maskedPaths = ['.env', '.env.local'];

export interface RuntimeOptions {
  readonly parts: SessionParts;
  readonly sessionId: string;
  readonly workspace: string;
  readonly workspaceLower: string | undefined;
  readonly home: string;
  readonly upstream: Upstream;
  readonly hooks: ModelEndpointHooks;
  readonly openTurn: () => number;
  readonly onReached: (reached: ReachedHost) => void;
  readonly onDied: (detail: string) => void;
}

let nextWatch = 1;

export class SessionRuntime {
  readonly sandbox: Sandbox;
  readonly watch: number;
  readonly #options: RuntimeOptions;
  #endpoint: ModelEndpoint | undefined;
  #egress: EgressProxy | undefined;
  #up = false;
  #unsubscribe: (() => void) | undefined;

  private constructor(options: RuntimeOptions, sandbox: Sandbox, watch: number) {
    this.#options = options;
    this.sandbox = sandbox;
    this.watch = watch;
  }

  static directoryOf(stateDirectory: string, sessionId: string): string {
    return join(stateDirectory, 'sessions', sessionId);
  }

  /** What is left of a session whose sandbox is down and unmounted. Never follows into another file system. */
  static async removeDirectory(stateDirectory: string, sessionId: string): Promise<void> {
    const directory = SessionRuntime.directoryOf(stateDirectory, sessionId);
    await promisify(execFile)('rm', ['-rf', '--one-file-system', '--', directory]);
  }

  static async create(options: RuntimeOptions): Promise<SessionRuntime> {
    const spec = specOf(options);
    await mkdir(spec.directory, { recursive: true, mode: 0o750 });
    const watch = nextWatch++;
    const sandbox = await options.parts.backend.create({
      ...spec,
      seccompListenerPath: listenerPath(options),
    });
    return new SessionRuntime(options, sandbox, watch);
  }

  /** Takes over what an earlier helper left; `up` tells whether processes still run. */
  static async adopt(options: RuntimeOptions): Promise<SessionRuntime> {
    const sandbox = await options.parts.backend.adopt({
      ...specOf(options),
      seccompListenerPath: listenerPath(options),
    });
    return new SessionRuntime(options, sandbox, nextWatch++);
  }

  get up(): boolean {
    return this.#up;
  }

  /** Model requests being answered now. */
  get pendingRequests(): number {
    return this.#endpoint?.pending ?? 0;
  }

  async start(): Promise<void> {
    await rm(listenerPath(this.#options), { force: true });
    await this.#watch(await this.sandbox.reserveCgroup());
    try {
      await this.#sentry().guard(this.watch, listenerPath(this.#options));
      await this.#openDoors();
      await this.sandbox.start();
      this.#isUp();
    } catch (error) {
      await this.stop().catch(() => {});
      throw error;
    }
  }

  /** Throws `restoreFailed` with everything down again, so that the caller may start without the processes. */
  async restore(imageDirectory: string): Promise<void> {
    try {
      await this.#watch(await this.sandbox.reserveCgroup());
      await this.sandbox.restore(imageDirectory);
      const unguarded = await this.#sentry().reguard(this.watch);
      if (unguarded.length > 0) {
        this.#options.parts.logger.warn('some restored processes cannot start programs any more', {
          pids: unguarded,
        });
      }
      this.#isUp();
    } catch (cause) {
      await this.stop().catch(() => {});
      if (cause instanceof TurntableError) throw cause;
      throw new TurntableError('restoreFailed', `The processes could not be restored: ${String(cause)}`, {
        cause,
      });
    }
  }

  /** Model and egress endpoints accept from now on. Called by `start`; after `restore` when the session is ready. */
  async openDoors(): Promise<void> {
    await this.#openDoors();
  }

  /** For a sandbox that an earlier helper left running. */
  async takeOver(): Promise<void> {
    await this.#watch(this.sandbox.cgroup);
    await this.#sentry().reguard(this.watch);
    await this.#openDoors();
    this.#isUp();
  }

  /** The sentry was replaced by a new one. */
  async watchAgain(): Promise<void> {
    if (!this.#up) return;
    await this.#watch(this.sandbox.cgroup);
    await this.#sentry().reguard(this.watch);
  }

  /** Every process ends; files stay. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#up = false;
    await this.closeDoors();
    await this.#options.parts
      .sentry()
      ?.unwatch(this.watch)
      .catch(() => {});
    await this.sandbox.stop();
  }

  async closeDoors(): Promise<void> {
    const [endpoint, egress] = [this.#endpoint, this.#egress];
    this.#endpoint = undefined;
    this.#egress = undefined;
    await Promise.all([endpoint?.close(), egress?.close()]);
  }

  /** The helper goes away and leaves the sandbox running for the next one. */
  async detach(): Promise<void> {
    this.#unsubscribe?.();
    await this.closeDoors();
  }

  async destroy(): Promise<void> {
    await this.stop().catch(() => {});
    await this.sandbox.destroy();
    const { parts, sessionId } = this.#options;
    await SessionRuntime.removeDirectory(parts.stateDirectory, sessionId);
  }

  async #watch(cgroup: SandboxCgroup): Promise<void> {
    await this.#sentry().watch({
      sandbox: this.watch,
      cgroupId: cgroup.id,
      cgroupPath: cgroup.path,
      roots: this.sandbox.roots.map((root, index) => ({ root: index, path: root.upper })),
    });
  }

  #isUp(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = this.sandbox.onDied(this.#options.onDied);
    this.#up = true;
  }

  async #openDoors(): Promise<void> {
    await this.closeDoors();
    const { parts, sessionId, hooks, upstream, openTurn, onReached } = this.#options;
    const [model, egress] = doorPaths(this.#options);
    await Promise.all([rm(model, { force: true }), rm(egress, { force: true })]);
    this.#endpoint = await createModelEndpoint({
      socketPath: model,
      upstream,
      hooks,
      logger: parts.logger.child(`model/${sessionId}`),
    });
    this.#egress = await createEgressProxy({
      socketPath: egress,
      sessionId,
      turn: openTurn,
      authority: parts.authority,
      onReached,
      logger: parts.logger.child(`egress/${sessionId}`),
    });
  }

  #sentry() {
    const sentry = this.#options.parts.sentry();
    if (!sentry) {
      throw new TurntableError(
        'sentryFailed',
        'The sentry is not running, so programs could not be guarded: see `turntable doctor`.',
      );
    }
    return sentry;
  }
}

function doorPaths(options: RuntimeOptions): [model: string, egress: string] {
  const directory = SessionRuntime.directoryOf(options.parts.stateDirectory, options.sessionId);
  return [join(directory, 'model.sock'), join(directory, 'egress.sock')];
}

function listenerPath(options: RuntimeOptions): string {
  return join(SessionRuntime.directoryOf(options.parts.stateDirectory, options.sessionId), 'guard.sock');
}

function specOf(options: RuntimeOptions): Omit<SandboxSpec, 'seccompListenerPath'> {
  const { parts, sessionId, workspace, workspaceLower, home } = options;
  const [model, egress] = doorPaths(options);
  return {
    id: sessionId,
    directory: join(SessionRuntime.directoryOf(parts.stateDirectory, sessionId), 'sandbox'),
    workspace,
    workspaceLower,
    home,
    readOnlyMounts: parts.agents.mounts.map((path) => ({ source: path, target: path })),
    doors: [
      { port: doorPorts.model, socketPath: model },
      { port: doorPorts.egress, socketPath: egress },
    ],
    memoryBytes,
    maxProcesses,
    maskedPaths,
  };
}
