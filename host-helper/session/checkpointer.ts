/**
 * Makes the checkpoint of a turn: asks the sentry what happened, plans with the inspector, lets the engine run the work,
 * publishes files and processes together. Owns what is known of the last file and process version; knows nothing of models,
 * agents' protocols or clients.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../crash-point.ts';
import type { Engine, Job } from '../engine/engine.ts';
import { classOf, planCheckpoint, type Plan } from '../inspector/classify.ts';
import { buildEffects } from '../inspector/effects.ts';
import { listeningPorts } from '../inspector/listening-ports.ts';
import { carriedOver, mergeObservations } from '../inspector/observation.ts';
import {
  changesSince,
  noneRan,
  printsOf,
  stillDescribes,
  type Meanwhile,
  type Prints,
} from '../inspector/prints.ts';
import type { LiveProcess, Observation, ProcessState, Sentry } from '../inspector/sentry.ts';
import { processKey, survivorsAmong, type ProcessKey } from '../inspector/survivors.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { Checkpoint, EffectClass, ReachedHost, Turn } from '../protocol/state.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type {
  CaptureRequest,
  CaptureResult,
  CheckpointRecord,
  FileVersionId,
  Store,
} from '../store/store.ts';
import { planUnder, type CheckpointPolicy } from './checkpoint-policy.ts';
import { newId } from './ids.ts';
import type { Position } from './session-record.ts';
import { Sightings } from './sightings.ts';

/** How long restored or thawed processes get to go back to sleep before their run counts become the baseline. */
const settleMs = 25;

/** Every so many turns all roots are scanned, whatever the hints say: the scan audits them. */
const auditInterval = 8;

/** How often room is made for one checkpoint. */
const maxRoomTries = 8;

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
  reached: 0,
};

export interface ProcessVersion {
  readonly image: string;
  readonly turn: number;
  readonly agentTag: number | undefined;
  /** The survivors once they had settled after the dump. */
  readonly prints: Prints;
  /** What may have been done to them since by others. */
  readonly meanwhile: Meanwhile;
}

export interface CheckpointerParts {
  readonly sessionId: string;
  readonly store: Store;
  readonly engine: Engine;
  readonly sentry: () => Sentry | undefined;
  /** Why processes cannot be dumped on this host; undefined when they can. */
  readonly noDump: () => string | undefined;
  readonly isAgentState: (path: string) => boolean;
  /** For a checkpoint that did not fit into the store. True when there is more room than before. */
  readonly makeRoom: () => Promise<boolean>;
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

/** The checkpoint was not even begun. All that was known is still known: the next one takes in what this one was for. */
export class NotBegun extends Error {
  override readonly name = 'NotBegun';
}

/** One checkpoint to be made: what its parts hand on to each other. */
interface Order {
  readonly request: CloseRequest;
  readonly survivors: readonly LiveProcess[];
  /** Why processes cannot be dumped now. */
  readonly noDump: string | undefined;
  readonly seen: Sightings;
  readonly audit: boolean;
}

interface Work {
  readonly captured: CaptureResult | undefined;
  /** The survivors after everything had stood still; undefined when nothing did. */
  readonly prints: Prints | undefined;
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
  /** The survivors as the last checkpoint left them, in an image or not; undefined when that is not known. */
  #last: Prints | undefined;
  /** Everything that lived then, furniture too: who has not run since cannot have stored into a mapped file. */
  #lastLive: Prints = new Map();
  #ports: ReadonlyMap<number, readonly number[]> = new Map();
  /** Why the survivors could not be dumped; holds as long as nothing of them changes. */
  #dumpFailed: string | undefined;
  #pending: Observation | undefined;
  /** The sentry was away for a while: nobody saw what happened then. */
  #unseen = false;
  #closed = 0;
  /** No more room can be made for the checkpoint that is being taken. */
  #roomTried = false;
  #hintsTrusted = true;
  #job: Pick<Job<unknown>, 'makeUrgent' | 'cancel'> | undefined;
  /** Size of the last dump: what the next will probably write. */
  #imageBytes = 0;
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
    this.#last = undefined;
    this.#lastLive = new Map();
    this.#dumpFailed = undefined;
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
    this.#last = printsOf(survivors, await this.#states(watch, survivors));
    this.#lastLive = printsOf(observation.live);
    this.#ports = await listeningPorts(survivors.map((process) => process.pid));
    this.#processes = {
      image: image.id,
      turn: image.turn,
      agentTag: image.agentTag,
      prints: this.#last,
      meanwhile: untouched,
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
    const captured = await this.#fitting(() =>
      this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name))),
    );
    this.#files = captured.version;
    return captured;
  }

  /** A version of what is there now, for a preview: no turn, no process dump. The next checkpoint still sees the changes. */
  async look(sandbox: Sandbox): Promise<CaptureResult> {
    const captured = await this.#fitting(() =>
      this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name))),
    );
    this.#looked = captured.version;
    return captured;
  }

  /** A reply has begun to wait for the checkpoint that is being made. */
  hurry(): void {
    this.#hurried = true;
    this.#job?.makeUrgent();
  }

  /**
   * The turn whose checkpoint is still waiting to begin is over in a way that no checkpoint can show any more; the next one
   * stands for both. True when it will not begin: its `close` throws `NotBegun`.
   */
  supersede(): boolean {
    return this.#job?.cancel() ?? false;
  }

  /** Closes `request.turn` with a checkpoint. Throws `NotBegun`, or when not even the files could be captured. */
  async close(request: CloseRequest): Promise<Closed> {
    const startedMs = performance.now();
    const observation = await this.#observe(request.watch, 'now');
    crashPoint('checkpoint:observed');
    const survivors = this.#survivors(observation, request);
    const rootNames = request.sandbox.roots.map((root) => root.name);
    const now = await this.#prints(request.watch, survivors);
    const version = this.#versionSince(observation);
    const known = new Set((this.#last ?? new Map<ProcessKey, never>()).keys());
    let plan = planCheckpoint({
      observation,
      rootNames,
      hintsComplete: this.#hintsComplete,
      survivors: survivors.length,
      processChanges: changesSince(this.#last, now, observation),
      imageServes: version !== undefined && stillDescribes(version.prints, now, version.meanwhile),
      mapperRan: observation.live.some(
        (process) =>
          process.sharedWritableMapping &&
          this.#lastLive.get(processKey(process))?.runCount !== process.runCount,
      ),
      alsoUncertain: this.#unseen
        ? [...request.alsoUncertain, 'the inspector was away for a while during this turn']
        : request.alsoUncertain,
    });
    const unseen = this.#unseen;
    this.#unseen = false;
    const hinted = plan.dirtyRoots;
    this.#closed += 1;
    const audit = this.#closed % auditInterval === 0;
    if (audit) plan = { ...plan, dirtyRoots: new Set(rootNames) };
    // The first checkpoint is what everything else is a change of, under every policy.
    if (request.turn.kind !== 'start') plan = planUnder(this.#parts.policy, plan, rootNames);
    const inspectMs = performance.now() - startedMs;
    crashPoint('checkpoint:planned');

    const versioned = version?.prints;
    if (plan.processChanges.length > 0) this.#dumpFailed = undefined;
    const livedBefore = this.#lastLive;
    this.#lastLive = printsOf(observation.live);
    const noDump = this.#parts.noDump() ?? this.#dumpFailed;
    const seen = new Sightings({
      observation,
      rootNames,
      dirty: plan.dirtyRoots,
      hinted,
      // Under other policies not all that was hinted is captured. Stores through mappings are not hinted again and again.
      hintsSuffice:
        this.#parts.policy === 'effects' && this.#hintsComplete && plan.uncertain.length === 0 && !plan.sync,
    });
    const order: Order = { request, survivors, noDump, seen, audit };
    const [{ work, done }, portsByPid] = await Promise.all([
      this.#fitting(() => this.#carryOut(order, plan)),
      this.#listening(survivors, plan),
    ]).catch((error: unknown) => {
      this.#hurried = false;
      if (error instanceof NotBegun) {
        this.#pending = this.#pending ? mergeObservations(seen.observation, this.#pending) : seen.observation;
        this.#unseen ||= unseen;
        this.#lastLive = livedBefore;
      }
      throw error;
    });
    plan = done;
    this.#last = survivors.length === 0 ? new Map() : (work.prints ?? now);

    this.#hurried = false;
    const before = this.#files;
    const fileVersion = work.captured?.version ?? before;
    if (fileVersion === undefined)
      throw new TurntableError(
        'checkpointFailed',
        'There is no first file version yet: stop the session and start it again.',
      );
    this.#files = fileVersion;

    const changes = work.captured?.changes ?? [];
    const missed = await this.#missedByHints(request.watch, rootNames, [
      ...changes.map((change) => change.root).filter((root) => !seen.hinted.has(root)),
      ...(work.captured?.missedIn ?? []),
    ]);
    const uncertain = [...plan.uncertain, ...(work.captured?.warnings ?? []), ...missed];
    const effects = buildEffects({
      observation: seen.observation,
      changes,
      isAgentState: this.#parts.isAgentState,
      survivors,
      versioned,
      portsByPid,
      known,
      keyOf: processKey,
      network: request.network,
      uncertain,
      processChanges: plan.processChanges,
    });
    const own = effects.files.added + effects.files.changed + effects.files.removed;
    const processesChanged = plan.processChanges.length > 0;
    const effectClass = classOf({ changedPaths: own, processesChanged, uncertain });
    const image = work.image?.id ?? (plan.processes === 'keep' ? this.#processes?.image : undefined);
    if (plan.processes === 'none') this.#processes = undefined;

    const checkpoint: Checkpoint = {
      id: newId('c'),
      restorable: true,
      reason: reasonFor(effectClass, own, plan.processChanges, work.degraded),
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
        fileVersion,
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
    const captured = await this.#fitting(() =>
      this.#capture(sandbox, new Set(sandbox.roots.map((root) => root.name))),
    );
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
      processChanges: [],
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

  get #hintsComplete(): boolean {
    return this.#hintsTrusted && this.#parts.sentry()?.features.hints === 'complete';
  }

  /**
   * The audit: a root in which a scan finds changed what no hint named, neither before the capture nor while it ran, shows that
   * hints cannot be relied on. From then on this session is scanned at every turn.
   */
  async #missedByHints(
    watch: number,
    rootNames: readonly string[],
    unhinted: readonly string[],
  ): Promise<string[]> {
    const suspects = new Set(unhinted);
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
  async #observe(watch: number, now?: 'now'): Promise<Observation> {
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
        const seen = await sentry.fence(watch, now);
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

  /** Their states only when none ran: else they are looked at once they have settled. */
  async #prints(watch: number, survivors: readonly LiveProcess[]): Promise<Prints> {
    const prints = printsOf(survivors);
    if (survivors.length === 0 || !noneRan(this.#last, prints)) return prints;
    return printsOf(survivors, await this.#states(watch, survivors));
  }

  /** Empty where they cannot be had: then every process counts as changed. */
  async #states(watch: number, processes: readonly LiveProcess[]): Promise<readonly ProcessState[]> {
    const pids = processes.map((process) => process.pid);
    return (
      (await this.#parts
        .sentry()
        ?.states(watch, pids)
        .catch(() => [])) ?? []
    );
  }

  /** Does `work`; while it does not fit into the store, again after room was made. The last time it may make do with less. */
  async #fitting<T>(work: () => Promise<T>): Promise<T> {
    try {
      for (let tries = 1; ; tries++) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof TurntableError) || error.code !== 'quotaExceeded' || this.#roomTried)
            throw error;
          this.#roomTried = tries >= maxRoomTries || !(await this.#parts.makeRoom());
        }
      }
    } finally {
      this.#roomTried = false;
    }
  }

  /** The last process version, with all that was done to its processes since. */
  #versionSince(observation: Observation): ProcessVersion | undefined {
    if (!this.#processes) return undefined;
    const { meanwhile } = this.#processes;
    this.#processes = {
      ...this.#processes,
      meanwhile: {
        reached: meanwhile.reached + observation.reached,
      },
    };
    return this.#processes;
  }

  /** Who did not run listens where it did. */
  async #listening(
    survivors: readonly LiveProcess[],
    plan: Plan,
  ): Promise<ReadonlyMap<number, readonly number[]>> {
    if (plan.processChanges.length > 0)
      this.#ports = await listeningPorts(survivors.map((process) => process.pid));
    return this.#ports;
  }

  /** Does what is planned, and says what it came to: who ran while files were captured is dumped together with them. */
  async #carryOut(order: Order, plan: Plan): Promise<{ readonly work: Work; readonly done: Plan }> {
    for (let done = plan; ;) {
      const work = await this.#work(order, done);
      if (work !== 'woke') return { work, done };
      const ran = 'a process ran while files were captured';
      done = { ...done, freeze: true, processes: 'dump', processChanges: [...done.processChanges, ran] };
    }
  }

  async #work(order: Order, plan: Plan): Promise<Work | 'woke'> {
    const { request, survivors, noDump, seen } = order;
    const wantsDump = plan.processes === 'dump';
    if (wantsDump && noDump === undefined) {
      try {
        return await this.#submit(request, 'processes', (wrote) => this.#dump(order, plan, wrote));
      } catch (error) {
        // What has no room for memory may have some for files.
        const filesMayDo =
          error instanceof TurntableError && ['checkpointFailed', 'quotaExceeded'].includes(error.code);
        if (!filesMayDo || (error.code === 'quotaExceeded' && !this.#roomTried)) throw error;
        this.#parts.logger.warn('processes could not be dumped; keeping files only', {
          message: error.message,
        });
        this.#processes = undefined;
        this.#dumpFailed = error.message;
        return this.#submit(request, 'files', () =>
          this.#filesOnly(order, { ...plan, freeze: true }, `files only: ${error.message}`),
        );
      }
    }
    const degraded = wantsDump ? `files only: ${noDump ?? 'processes cannot be dumped'}` : undefined;
    if (degraded !== undefined) this.#processes = undefined;
    if (seen.dirty.size === 0) {
      if (plan.processChanges.length === 0) return { ...noWork, degraded };
      const prints = printsOf(survivors, await this.#states(request.watch, survivors));
      return { ...noWork, prints, degraded };
    }
    return this.#submit(request, 'files', () => this.#filesOnly(order, plan, degraded));
  }

  async #submit<T extends Work | 'woke'>(
    request: CloseRequest,
    kind: 'files' | 'processes',
    run: (wrote: (bytes: number) => void) => Promise<T>,
  ): Promise<T> {
    let begun = false;
    const job = this.#parts.engine.submit({
      sandboxId: request.sandbox.id,
      kind,
      urgent: request.urgent || this.#hurried,
      estimateBytes: kind === 'processes' ? this.#imageBytes : 0,
      run: async (_signal, wrote) => {
        begun = true;
        crashPoint('checkpoint:begun');
        const work = await run(wrote);
        if (work !== 'woke') wrote(work.captured?.bytesStored ?? 0);
        return work;
      },
    });
    this.#job = job;
    try {
      return await job.done;
    } catch (error) {
      if (begun) throw error;
      throw new NotBegun(error instanceof Error ? error.message : String(error), { cause: error });
    } finally {
      this.#job = undefined;
    }
  }

  /** `woke` when the image that is kept is older than these files: one of its processes has run. */
  async #filesOnly(order: Order, plan: Plan, degraded: string | undefined): Promise<Work | 'woke'> {
    const { request } = order;
    const startedMs = performance.now();
    const done = (captured: CaptureResult, prints: Prints | undefined): Work => ({
      ...noWork,
      captured,
      prints,
      filesMs: performance.now() - startedMs,
      degraded,
    });
    const keeps = plan.processes === 'keep';
    if (!plan.freeze) {
      const captured = await this.#captureSeen(order, plan);
      if (plan.processes === 'none' || (await this.#sleptOn(request))) return done(captured, undefined);
      if (keeps) return 'woke';
    } else if (keeps && !(await this.#sleptOn(request))) return 'woke';
    const { sandbox } = request;
    await sandbox.freeze();
    crashPoint('checkpoint:frozen');
    let captured: CaptureResult;
    try {
      const late = await this.#lateChanges(order);
      // The freeze itself schedules everybody: who ran just before shows by what was written.
      if (keeps && late.roots.some((root) => root.dirty)) return 'woke';
      captured = await this.#captureSeen(order, plan);
      crashPoint('checkpoint:captured');
    } finally {
      await sandbox.thaw();
      crashPoint('checkpoint:thawed');
    }
    return done(captured, await this.#settled(request, undefined));
  }

  /** Whether the survivors are still asleep; else it must be done again with everything standing still. */
  async #sleptOn(request: CloseRequest): Promise<boolean> {
    const after = await this.#observe(request.watch, 'now');
    this.#pending = after;
    return noneRan(this.#last, printsOf(this.#survivors(after, request)));
  }

  /** What happened since the plan was made, with everything standing still. */
  async #lateChanges({ request, seen }: Order): Promise<Observation> {
    const late = await this.#observe(request.watch, 'now');
    seen.add(late);
    return late;
  }

  async #dump(order: Order, plan: Plan, wrote: (bytes: number) => void): Promise<Work> {
    const { request } = order;
    const { sandbox } = request;
    const { images } = this.#parts.store;
    const staged = await images.stage();
    crashPoint('dump:staged');
    try {
      let captured: CaptureResult | undefined;
      let frozen: Observation | undefined;
      let filesMs = 0;
      const startedMs = performance.now();
      const dumped = await sandbox.dump(staged, async () => {
        const filesStartedMs = performance.now();
        frozen = await this.#lateChanges(order);
        captured = await this.#captureSeen(order, plan);
        filesMs = performance.now() - filesStartedMs;
      });
      this.#imageBytes = dumped.imageBytes;
      wrote(dumped.imageBytes);
      // The survivors come to rest while the image is made durable. Both are waited for: a failed one is discarded as a whole.
      const settling = this.#settled(request, frozen);
      const keeping = images.keep(staged);
      await Promise.allSettled([settling, keeping]);
      const [prints, kept] = [await settling, await keeping];
      this.#processes = {
        image: kept.image,
        turn: request.turn.id,
        agentTag: request.agent?.tag,
        prints,
        meanwhile: untouched,
      };
      return {
        captured,
        prints,
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
  async #settled(request: CloseRequest, frozen: Observation | undefined): Promise<Prints> {
    await sleep(settleMs);
    const settled = await this.#observe(request.watch, 'now');
    this.#pending = carriedOver(settled);
    const wrote = settled.roots.some((root) => root.dirty) || settled.unassigned > 0 || settled.dropped > 0;
    const survivors = this.#survivors(settled, request);
    const states = await this.#states(request.watch, survivors);
    if (!wrote) this.#lastLive = printsOf(settled.live);
    // Without states of the frozen instant these count as changed the next time, which is what is meant.
    return wrote && frozen ? printsOf(this.#survivors(frozen, request)) : printsOf(survivors, states);
  }

  /** The roots where changes were seen; in them, where it is certain, only what has changed. */
  #captureSeen({ request, seen, audit }: Order, plan: Plan): Promise<CaptureResult> {
    const { inodes } = seen;
    return this.#capture(request.sandbox, seen.dirty, { syncFirst: plan.sync, inodes, audit });
  }

  async #capture(
    sandbox: Sandbox,
    dirtyRoots: ReadonlySet<string>,
    how: Pick<CaptureRequest, 'syncFirst' | 'inodes' | 'audit'> = {},
  ): Promise<CaptureResult> {
    const previous = this.#looked ?? this.#files;
    const { files } = this.#parts.store;
    const captured = await files.capture({
      sandboxId: sandbox.id,
      roots: sandbox.roots,
      previous,
      dirtyRoots,
      ...how,
    });
    this.#looked = undefined;
    if (this.#files === undefined || previous === this.#files) return captured;
    return { ...captured, changes: await files.changes(this.#files, captured.version, sandbox.roots) };
  }
}

/** Nobody did anything to anybody yet. */
const untouched: Meanwhile = { reached: 0 };

const noWork: Work = {
  captured: undefined,
  prints: undefined,
  image: undefined,
  filesMs: 0,
  processesMs: 0,
  degraded: undefined,
};

function reasonFor(
  effectClass: EffectClass,
  changedPaths: number,
  processChanges: readonly string[],
  degraded: string | undefined,
): string {
  const files = `${changedPaths} ${changedPaths === 1 ? 'path' : 'paths'} changed`;
  const [first = '', ...more] = processChanges;
  const lives = more.length > 0 ? `${first}, and ${more.length} more such` : first;
  const what = {
    none: 'nothing that a restore would need has changed',
    files,
    processes: lives,
    full: `${lives} and ${files}`,
  }[effectClass];
  return degraded === undefined ? what : `${what}; ${degraded}`;
}
