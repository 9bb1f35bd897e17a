/**
 * Makes the checkpoint of a turn: asks the sentry what happened, plans with the inspector, lets the engine run the work,
 * publishes files and processes together. Owns what is known of the last file and process version; knows nothing of models,
 * agents' protocols or clients.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine, Job } from '../engine/engine.ts';
import { classOf, planCheckpoint, type Plan } from '../inspector/classify.ts';
import { buildEffects } from '../inspector/effects.ts';
import { listeningPorts } from '../inspector/listening-ports.ts';
import { carriedOver, mergeObservations } from '../inspector/observation.ts';
import { openFiles, stillFit, type OpenFile } from '../inspector/open-files.ts';
import type { LiveProcess, Observation, Sentry } from '../inspector/sentry.ts';
import {
  processKey,
  ranSince,
  runCountsOf,
  survivorsAmong,
  type ProcessKey,
  type RunCounts,
} from '../inspector/survivors.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { Checkpoint, EffectClass, ReachedHost, Turn } from '../protocol/state.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { CaptureResult, CheckpointRecord, FileChange, FileVersionId, Store } from '../store/store.ts';
import { planUnder, type CheckpointPolicy } from './checkpoint-policy.ts';
import { newId } from './ids.ts';
import type { Position } from './session-record.ts';

/** How long restored or thawed processes get to go back to sleep before their run counts become the baseline. */
const settleMs = 25;

/** Every so many turns all roots are scanned, whatever the hints say: the scan audits them. */
const auditInterval = 8;

/** A sentry that died is back within a second or two; a reply may wait that long. */
const sentryPatienceMs = 15_000;
const sentryRetryMs = 100;

const nothingSeen: Observation = {
  roots: [],
  unassigned: 0,
  executed: [],
  executedCount: 0,
  exits: [],
  forkCount: 0,
  live: [],
  dropped: 0,
};

export interface ProcessVersion {
  readonly image: string;
  readonly turn: number;
  readonly agentTag: number | undefined;
  /** Run counts once the survivors had settled after the dump. */
  readonly counts: RunCounts;
  readonly openFiles: readonly OpenFile[];
}

export interface CheckpointerParts {
  readonly sessionId: string;
  readonly store: Store;
  readonly engine: Engine;
  readonly sentry: () => Sentry | undefined;
  /** Why processes cannot be dumped on this host; undefined when they can. */
  readonly noDump: () => string | undefined;
  readonly isAgentState: (path: string) => boolean;
  readonly policy: CheckpointPolicy;
  readonly logger: Logger;
}

export interface CloseRequest {
  readonly turn: Turn;
  readonly sandbox: Sandbox;
  readonly watch: number;
  readonly agent: { readonly tag: number; readonly sandboxPid: number } | undefined;
  readonly furniture: ReadonlySet<ProcessKey>;
  readonly network: readonly ReachedHost[];
  /** A reply waits for this checkpoint. */
  readonly urgent: boolean;
  readonly alsoUncertain: readonly string[];
}

export interface Closed {
  readonly turn: Turn;
  readonly record: CheckpointRecord;
}

interface Work {
  readonly captured: CaptureResult | undefined;
  readonly image: { readonly id: string; readonly bytes: number; readonly dumpedBytes: number } | undefined;
  readonly filesMs: number;
  readonly processesMs: number;
  readonly degraded: string | undefined;
}

export class Checkpointer {
  readonly #parts: CheckpointerParts;
  /** The last published version; `#looked` is a later one that only a preview has seen. */
  #files: FileVersionId | undefined;
  #looked: FileVersionId | undefined;
  #processes: ProcessVersion | undefined;
  #known: ReadonlySet<ProcessKey> = new Set();
  #pending: Observation | undefined;
  /** The sentry was away for a while: nobody saw what happened then. */
  #unseen = false;
  #closed = 0;
  #hintsTrusted = true;
  #job: Pick<Job<unknown>, 'makeUrgent'> | undefined;
  #hurried = false;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
  }

  get fileVersion(): FileVersionId | undefined {
    return this.#files;
  }

  /** After files were restored, or an adoption: what the sandbox holds now. Processes are unknown, so survivors are dumped. */
  startFrom(files: FileVersionId | undefined): void {
    this.#files = files;
    this.#looked = undefined;
    this.#processes = undefined;
    this.#pending = undefined;
    this.#known = new Set();
  }

  /**
   * Processes came back from an image. `furniture` are pids in the sandbox. Until one of the survivors runs, that image still
   * describes them. Returns the furniture's new names.
   */
  async restored(
    watch: number,
    image: { readonly id: string; readonly turn: number; readonly agentTag: number | undefined },
    agent: CloseRequest['agent'],
    furniture: readonly number[],
  ): Promise<ReadonlySet<ProcessKey>> {
    await sleep(settleMs);
    const observation = await this.#observe(watch);
    this.#pending = carriedOver(observation);
    const known = new Set(
      observation.live
        .filter((process) => furniture.includes(process.sandboxPid))
        .map((process) => processKey(process)),
    );
    const survivors = survivorsAmong(observation.live, agent?.sandboxPid, known);
    this.#known = new Set(survivors.map(processKey));
    this.#processes = {
      image: image.id,
      turn: image.turn,
      agentTag: image.agentTag,
      counts: runCountsOf(survivors),
      openFiles: await openFiles(observation.live.map((process) => process.pid)),
    };
    return known;
  }

  /** Names of the processes alive now; what changed so far stays to be captured. */
  async absorb(watch: number): Promise<ReadonlySet<ProcessKey>> {
    const observation = await this.#observe(watch);
    this.#pending = carriedOver(observation);
    return new Set(observation.live.map(processKey));
  }

  /** The first version of a new sandbox: everything is looked at. */
  async captureAll(sandbox: Sandbox): Promise<CaptureResult> {
    const captured = await this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name)));
    this.#files = captured.version;
    return captured;
  }

  /** A version of what is there now, for a preview: no turn, no process dump. The next checkpoint still sees the changes. */
  async look(sandbox: Sandbox): Promise<CaptureResult> {
    const captured = await this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name)));
    this.#looked = captured.version;
    return captured;
  }

  /** A reply has begun to wait for the checkpoint that is being made. */
  hurry(): void {
    this.#hurried = true;
    this.#job?.makeUrgent();
  }

  /** Closes `request.turn` with a checkpoint. Throws only when not even the files could be captured. */
  async close(request: CloseRequest): Promise<Closed> {
    const startedMs = performance.now();
    let observation = await this.#observe(request.watch);
    const survivors = this.#survivors(observation, request);
    const noDump = this.#parts.noDump();
    const rootNames = request.sandbox.roots.map((root) => root.name);
    let plan = planCheckpoint({
      observation,
      rootNames,
      hintsComplete: this.#hintsTrusted && this.#parts.sentry()?.features.hints === 'complete',
      survivors,
      versioned: this.#processes?.counts,
      imageStillFits: await this.#imageFits(request.sandbox),
      alsoUncertain: this.#unseen
        ? [...request.alsoUncertain, 'the inspector was away for a while during this turn']
        : request.alsoUncertain,
    });
    this.#unseen = false;
    const hinted = plan.dirtyRoots;
    this.#closed += 1;
    if (this.#closed % auditInterval === 0) plan = { ...plan, dirtyRoots: new Set(rootNames) };
    // The first checkpoint is what everything else is a change of, under every policy.
    if (request.turn.kind !== 'start') plan = planUnder(this.#parts.policy, plan, rootNames);
    const portsByPid = await listeningPorts(survivors.map((process) => process.pid));
    const inspectMs = performance.now() - startedMs;

    const versioned = this.#processes?.counts;
    const known = this.#known;
    const processesChanged = changedSince(survivors, versioned, known);
    const work = await this.#work(request, plan, noDump, (during) => {
      observation = mergeObservations(observation, during);
    });

    this.#hurried = false;
    const before = this.#files;
    const version = work.captured?.version ?? before;
    if (version === undefined)
      throw new TurntableError(
        'checkpointFailed',
        'There is no first file version yet: stop the session and start it again.',
      );
    this.#files = version;
    this.#known = new Set(survivors.map(processKey));

    const changes = work.captured?.changes ?? [];
    const missed = await this.#missedByHints(request.watch, rootNames, hinted, changes);
    const uncertain = [...plan.uncertain, ...(work.captured?.warnings ?? []), ...missed];
    const effects = buildEffects({
      observation,
      changes,
      isAgentState: this.#parts.isAgentState,
      survivors,
      versioned,
      portsByPid,
      known,
      keyOf: processKey,
      network: request.network,
      uncertain,
    });
    const own = effects.files.added + effects.files.changed + effects.files.removed;
    const effectClass = classOf({ changedPaths: own, processesChanged, uncertain });
    const image = work.image?.id ?? (plan.processes === 'keep' ? this.#processes?.image : undefined);
    if (plan.processes === 'none') this.#processes = undefined;

    const checkpoint: Checkpoint = {
      id: newId('c'),
      restorable: true,
      reason: reasonFor(effectClass, own, survivors, work.degraded),
      reused: effectClass === 'none',
      hasProcesses: image !== undefined,
      bytesStored: (work.captured?.bytesStored ?? 0) + (work.image?.bytes ?? 0),
      bytesWritten: (work.captured?.bytesStored ?? 0) + (work.image?.dumpedBytes ?? 0),
      inspectMs,
      filesMs: work.filesMs,
      processesMs: work.processesMs,
      heldMs: 0,
      ...(work.degraded === undefined ? {} : { degraded: work.degraded }),
    };
    const turn: Turn = {
      ...request.turn,
      state: 'closed',
      endedAt: Date.now(),
      effects,
      effectClass,
      checkpoint,
    };
    const position: Position = {
      ...(image !== undefined && this.#processes ? { imageTurn: this.#processes.turn } : {}),
      ...(image !== undefined && this.#processes?.agentTag !== undefined
        ? { agentTag: this.#processes.agentTag }
        : {}),
      furniture: observation.live
        .filter((process) => request.furniture.has(processKey(process)))
        .map((process) => process.sandboxPid),
      survivors: effects.processes.survivors,
    };
    return {
      turn,
      record: {
        id: checkpoint.id,
        sessionId: this.#parts.sessionId,
        turn: turn.id,
        fileVersion: version,
        processImage: image,
        position: JSON.stringify(position),
        createdAt: Date.now(),
      },
    };
  }

  /** Closes a turn whose sandbox is down: files as they are, processes of `processesOf` if they are still to come back. */
  async closeDown(request: {
    readonly turn: Turn;
    readonly sandbox: Sandbox;
    readonly network: readonly ReachedHost[];
    /** Why the processes are lost; undefined when none were running. */
    readonly reason: string | undefined;
    readonly processesOf: CheckpointRecord | undefined;
  }): Promise<Closed> {
    const { turn, sandbox, processesOf, reason } = request;
    const startedMs = performance.now();
    const captured = await this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name)));
    this.startFrom(captured.version);
    const uncertain = [...(reason === undefined ? [] : [reason]), ...captured.warnings];
    const effects = buildEffects({
      observation: nothingSeen,
      changes: captured.changes,
      isAgentState: this.#parts.isAgentState,
      survivors: [],
      versioned: undefined,
      portsByPid: new Map(),
      known: new Set(),
      keyOf: processKey,
      network: request.network,
      uncertain,
    });
    const own = effects.files.added + effects.files.changed + effects.files.removed;
    const effectClass = classOf({ changedPaths: own, processesChanged: reason !== undefined, uncertain });
    const degraded = reason === undefined ? undefined : `files only: ${reason}`;
    const checkpoint: Checkpoint = {
      id: newId('c'),
      restorable: true,
      reason: `${own} ${own === 1 ? 'path' : 'paths'} changed${degraded === undefined ? '' : `; ${degraded}`}`,
      reused: false,
      hasProcesses: processesOf?.processImage !== undefined,
      bytesStored: captured.bytesStored,
      inspectMs: 0,
      filesMs: performance.now() - startedMs,
      processesMs: 0,
      heldMs: 0,
      ...(degraded === undefined ? {} : { degraded }),
    };
    return {
      turn: { ...turn, state: 'closed', endedAt: Date.now(), effects, effectClass, checkpoint },
      record: {
        id: checkpoint.id,
        sessionId: this.#parts.sessionId,
        turn: turn.id,
        fileVersion: captured.version,
        processImage: processesOf?.processImage,
        position:
          processesOf?.position ??
          JSON.stringify({
            furniture: [],
            survivors: [],
            ...(reason === undefined ? {} : { interrupted: true }),
          } satisfies Position),
        createdAt: Date.now(),
      },
    };
  }

  /**
   * The audit: a root that the scan finds changed although no hint named it, neither before the capture nor while it ran, shows
   * that hints cannot be relied on. From then on this session is scanned at every turn.
   */
  async #missedByHints(
    watch: number,
    rootNames: readonly string[],
    hinted: ReadonlySet<string>,
    changes: readonly FileChange[],
  ): Promise<string[]> {
    const suspects = new Set(changes.map((change) => change.root).filter((root) => !hinted.has(root)));
    if (suspects.size === 0) return [];
    const later = await this.#observe(watch);
    this.#pending = later;
    if (later.unassigned > 0 || later.dropped > 0) return [];
    for (const root of later.roots) if (root.dirty) suspects.delete(rootNames[root.root] ?? '');
    if (suspects.size === 0) return [];
    this.#hintsTrusted = false;
    const roots = [...suspects].join(', ');
    this.#parts.logger.error('change hints missed a change; every turn is scanned from now on', { roots });
    return [`change hints missed a change in ${roots}: every turn is scanned from now on`];
  }

  /**
   * What the sentry saw since the last time. One that has just died is started again and may be waited for; what happened
   * meanwhile nobody saw, which counts as a loss and makes the checkpoint look everywhere.
   */
  async #observe(watch: number): Promise<Observation> {
    const deadline = performance.now() + sentryPatienceMs;
    let lost = 0;
    for (;;) {
      try {
        const sentry = this.#parts.sentry();
        if (!sentry) {
          throw new TurntableError(
            'sentryFailed',
            'The inspector is not running, so it is not known what this turn did: see `turntable doctor`.',
          );
        }
        const seen = await sentry.fence(watch);
        const observation = mergeObservations(this.#pending, { ...seen, dropped: seen.dropped + lost });
        this.#pending = undefined;
        return observation;
      } catch (error) {
        lost = 1;
        this.#unseen = true;
        if (performance.now() > deadline) throw error;
        await sleep(sentryRetryMs);
      }
    }
  }

  #survivors(observation: Observation, request: CloseRequest): LiveProcess[] {
    return survivorsAmong(observation.live, request.agent?.sandboxPid, request.furniture);
  }

  async #imageFits(sandbox: Sandbox): Promise<boolean> {
    return (
      this.#processes !== undefined && (await stillFit(this.#processes.openFiles, sandbox.supervisorPid))
    );
  }

  async #work(
    request: CloseRequest,
    plan: Plan,
    noDump: string | undefined,
    also: (observation: Observation) => void,
  ): Promise<Work> {
    const { sandbox } = request;
    const wantsDump = plan.processes === 'dump';
    if (wantsDump && noDump === undefined) {
      try {
        return await this.#submit(request, 'processes', () => this.#dump(request, plan, also));
      } catch (error) {
        if (!(error instanceof TurntableError) || error.code !== 'checkpointFailed') throw error;
        this.#parts.logger.warn('processes could not be dumped; keeping files only', {
          message: error.message,
        });
        this.#processes = undefined;
        return this.#submit(request, 'files', () =>
          this.#filesOnly(sandbox, plan, `files only: ${error.message}`),
        );
      }
    }
    const degraded = wantsDump ? `files only: ${noDump ?? 'processes cannot be dumped'}` : undefined;
    if (plan.dirtyRoots.size === 0)
      return { captured: undefined, image: undefined, filesMs: 0, processesMs: 0, degraded };
    return this.#submit(request, 'files', () => this.#filesOnly(sandbox, plan, degraded));
  }

  async #submit(request: CloseRequest, kind: 'files' | 'processes', run: () => Promise<Work>): Promise<Work> {
    const urgent = request.urgent || this.#hurried;
    const job = this.#parts.engine.submit({ sandboxId: request.sandbox.id, kind, urgent, run });
    this.#job = job;
    try {
      return await job.done;
    } finally {
      this.#job = undefined;
    }
  }

  async #filesOnly(sandbox: Sandbox, plan: Plan, degraded: string | undefined): Promise<Work> {
    const startedMs = performance.now();
    if (plan.freeze) await sandbox.freeze();
    try {
      const captured = await this.#capture(sandbox, plan.dirtyRoots, plan.sync);
      return { captured, image: undefined, filesMs: performance.now() - startedMs, processesMs: 0, degraded };
    } finally {
      if (plan.freeze) await sandbox.thaw();
    }
  }

  async #dump(request: CloseRequest, plan: Plan, also: (observation: Observation) => void): Promise<Work> {
    const { sandbox, watch } = request;
    const { images } = this.#parts.store;
    const staged = await images.stage();
    try {
      let captured: CaptureResult | undefined;
      let frozen: Observation | undefined;
      let files: OpenFile[] = [];
      let filesMs = 0;
      const startedMs = performance.now();
      const dumped = await sandbox.dump(staged, async () => {
        const filesStartedMs = performance.now();
        frozen = await this.#observe(watch);
        files = await openFiles(frozen.live.map((process) => process.pid));
        const blind = frozen.dropped > 0 || frozen.unassigned > 0;
        const dirty = new Set(blind ? sandbox.roots.map((root) => root.name) : plan.dirtyRoots);
        for (const root of frozen.roots) {
          const name = sandbox.roots[root.root]?.name;
          if (root.dirty && name !== undefined) dirty.add(name);
        }
        captured = await this.#capture(sandbox, dirty, plan.sync);
        filesMs = performance.now() - filesStartedMs;
      });
      if (frozen) also(frozen);
      const counts = await this.#settledCounts(request, frozen);
      const kept = await images.keep(staged);
      this.#processes = {
        image: kept.image,
        turn: request.turn.id,
        agentTag: request.agent?.tag,
        counts,
        openFiles: files,
      };
      return {
        captured,
        image: { id: kept.image, bytes: kept.bytesStored, dumpedBytes: dumped.imageBytes },
        filesMs,
        processesMs: performance.now() - startedMs - filesMs,
        degraded: undefined,
      };
    } catch (error) {
      await images.discard(staged).catch(() => {});
      throw error;
    }
  }

  /**
   * The thaw itself schedules every process. What a process does then without any input is what it would also do after a
   * restore, so counts taken once it sleeps again are a sound baseline, unless it changed files meanwhile: then the
   * counts of the frozen instant stay, the process counts as having run, and the next turn dumps again.
   */
  async #settledCounts(request: CloseRequest, frozen: Observation | undefined): Promise<RunCounts> {
    await sleep(settleMs);
    const settled = await this.#observe(request.watch);
    this.#pending = carriedOver(settled);
    const wrote = settled.roots.some((root) => root.dirty) || settled.unassigned > 0 || settled.dropped > 0;
    return runCountsOf(this.#survivors(wrote && frozen ? frozen : settled, request));
  }

  async #capture(
    sandbox: Sandbox,
    dirtyRoots: ReadonlySet<string>,
    syncFirst = false,
  ): Promise<CaptureResult> {
    const previous = this.#looked ?? this.#files;
    const { files } = this.#parts.store;
    const captured = await files.capture({
      sandboxId: sandbox.id,
      roots: sandbox.roots,
      previous,
      dirtyRoots,
      syncFirst,
    });
    this.#looked = undefined;
    if (this.#files === undefined || previous === this.#files) return captured;
    return { ...captured, changes: await files.changes(this.#files, captured.version, sandbox.roots) };
  }
}

/** Whether what lives now differs from what the last checkpoint knew: started, ended, or ran. */
function changedSince(
  survivors: readonly LiveProcess[],
  versioned: RunCounts | undefined,
  known: ReadonlySet<ProcessKey>,
): boolean {
  if (survivors.length !== known.size) return true;
  return survivors.some(
    (process) => !known.has(processKey(process)) || !versioned || ranSince(process, versioned),
  );
}

function reasonFor(
  effectClass: EffectClass,
  changedPaths: number,
  survivors: readonly LiveProcess[],
  degraded: string | undefined,
): string {
  const files = `${changedPaths} ${changedPaths === 1 ? 'path' : 'paths'} changed`;
  const first = survivors[0];
  const lives = first
    ? `${first.argv[0] ?? first.program}${survivors.length > 1 ? ` and ${survivors.length - 1} more` : ''} outlived the turn`
    : 'a process that lived before has ended';
  const what = {
    none: 'nothing that a restore would need has changed',
    files,
    processes: lives,
    full: `${lives} and ${files}`,
  }[effectClass];
  return degraded === undefined ? what : `${what}; ${degraded}`;
}
