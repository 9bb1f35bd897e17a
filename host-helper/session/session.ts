/**
 * One session: an agent (or an outside one) at work on a workspace, turn by turn. Ties together runtime, agent, turns and
 * checkpoints, one thing at a time. Rewind, branch and apply are beside it in their own files and use what is public here.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { untilIdle } from './agent-idle.ts';
import type { Closed } from './checkpointer.ts';
import { Checkpointer, NotBegun } from './checkpointer.ts';
import { AgentRunner } from './agent-runner.ts';
import { Lock } from './lock.ts';
import { SessionRuntime } from './runtime.ts';
import type { SessionParts } from './parts.ts';
import {
  damagedPrefix,
  restoreIntentSchema,
  type RestoreIntent,
  type SessionRecord,
} from './session-record.ts';
import { TurnLog } from './turn-log.ts';
import { agentStatePredicate } from '../agents/profile.ts';
import { crashPoint } from '../crash-point.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { lineOf } from '../protocol/reducer.ts';
import type { AgentState, Conversation, ReachedHost, SessionState, Turn } from '../protocol/state.ts';
import { keyNames } from '../turns/upstreams.ts';
import type { MainLoopRequest, ModelEndpointHooks } from '../turns/model-endpoint.ts';

/** After a reply without tool calls, how long the agent gets to exit or to fall idle before its last turn is closed. */
const lastTurnGraceMs = 3_000;
/** After a failed request, how long the agent gets to try again before the turn is closed. Its work is not lost if it does so later. */
const failedTurnGraceMs = 60_000;
/** Replies may come in parts and again; older requests are over. */
const rememberedRequests = 16;
const labelChars = 120;
const thinkingLabel = 'thinking…';
/** A killed command is over at once, unless the kernel holds it; then others go on without waiting for it. */
const interruptMs = 5_000;

export class Session {
  readonly parts: SessionParts;
  readonly lock = new Lock();
  readonly turns: TurnLog;
  readonly checkpointer: Checkpointer;
  readonly agent: AgentRunner | undefined;
  readonly logger: Logger;
  /** Whether a path is the agent's own book-keeping. */
  readonly isAgentState: (path: string) => boolean;
  /** Variables given for this session; never stored. */
  readonly env: Readonly<Record<string, string>>;
  #record: SessionRecord;
  #runtime: SessionRuntime | undefined;
  #status: SessionState['status'];
  #reached: ReachedHost[] = [];
  #uncertain: string[] = [];
  #bytesStored: number;
  /** Ends the questions of the command that runs now: a program that waits for an answer has not started and cannot be killed. */
  #commandOver: AbortSignal | undefined;
  #command: Promise<void> | undefined;
  #interrupt = new AbortController();
  /** Rises with every rewind and stop: what was begun in an earlier epoch no longer counts. */
  #epoch = 0;
  /** What lived before the agent was started: what lives besides at its first request is the agent's own furniture. */
  #beforeAgent: ReadonlySet<string> | undefined;
  /** Ends the wait for the end of the last turn. */
  #expecting: AbortController | undefined;

  constructor(parts: SessionParts, record: SessionRecord, env: Readonly<Record<string, string>>) {
    this.parts = parts;
    this.env = env;
    this.#record = record;
    this.#status = record.status;
    this.logger = parts.logger.child(record.id);
    this.turns = new TurnLog(record.id, parts.store.metadata, parts.dispatch);
    this.#bytesStored = this.turns.all.reduce((sum, turn) => sum + (turn.checkpoint?.bytesStored ?? 0), 0);
    const profile = parts.profiles.get(record.agent.name);
    if (record.agent.name !== 'none' && !profile) {
      throw new TurntableError(
        'agentUnknown',
        `There is no agent called ${record.agent.name}: try ${[...parts.profiles.keys()].join(', ')} or none.`,
      );
    }
    this.isAgentState = profile ? agentStatePredicate(profile, record.home) : () => false;
    this.checkpointer = new Checkpointer({
      sessionId: record.id,
      store: parts.store,
      engine: parts.engine,
      sentry: parts.sentry,
      noDump: parts.noDump,
      isAgentState: this.isAgentState,
      makeRoom: parts.makeRoom,
      policy: parts.checkpoints,
      logger: this.logger,
    });
    this.agent = profile
      ? new AgentRunner({
          parts,
          profile,
          home: record.home,
          workspace: record.workspace,
          env: withoutKeys(this.env),
          upstream: () => parts.upstream(this.#record.upstream, this.env),
          onExit: (exitCode) => this.#agentEnded(exitCode),
        })
      : undefined;
  }

  get id(): string {
    return this.#record.id;
  }

  get record(): SessionRecord {
    return this.#record;
  }

  get status(): SessionState['status'] {
    return this.#status;
  }

  /** The runtime, up or down; throws `sessionNotRunning` before the sandbox was made. */
  get runtime(): SessionRuntime {
    if (!this.#runtime) {
      throw new TurntableError(
        'sessionNotRunning',
        `Session ${this.id} has no sandbox: start it with \`turntable session resume ${this.id}\`.`,
      );
    }
    return this.#runtime;
  }

  get hasRuntime(): boolean {
    return this.#runtime !== undefined;
  }

  /** The open turn's id, or the head's: where an approval or a request to the outside belongs. */
  get currentTurn(): number {
    return this.turns.open?.id ?? this.#record.head;
  }

  state(): SessionState {
    const { record } = this;
    return {
      id: record.id,
      title: record.title,
      workspace: record.workspace,
      mount: this.#runtime?.sandbox.roots.find((root) => root.name === 'workspace')?.merged ?? '',
      status: this.#status,
      ...(record.detail === undefined ? {} : { detail: record.detail }),
      agent: record.agent,
      ...(record.origin === undefined ? {} : { origin: record.origin }),
      createdAt: record.createdAt,
      head: record.head,
      turns: this.turns.all,
      degraded: record.degraded,
      bytesStored: this.#bytesStored,
    };
  }

  /** Makes the sandbox's object (directories and mounts), without starting it. */
  async createRuntime(how: 'create' | 'adopt'): Promise<SessionRuntime> {
    const options = {
      parts: this.parts,
      sessionId: this.id,
      workspace: this.#record.workspace,
      workspaceLower: this.#record.workspaceLower,
      home: this.#record.home,
      upstream: await this.parts.upstream(this.#record.upstream, this.env),
      hooks: this.#hooks(),
      openTurn: () => this.currentTurn,
      onReached: (reached: ReachedHost) => this.#reached.push(reached),
      onDied: (detail: string) => this.#sandboxDied(detail),
    };
    this.#runtime =
      how === 'create' ? await SessionRuntime.create(options) : await SessionRuntime.adopt(options);
    return this.#runtime;
  }

  /** From nothing: sandbox up, turn 0 with the state before anything. The agent is not started yet. */
  async begin(): Promise<void> {
    const runtime = await this.createRuntime('create');
    crashPoint('start:created');
    await runtime.start();
    crashPoint('start:running');
    if (this.agent) await this.agent.prepare(runtime.sandbox);
    const turn = this.turns.begin({ kind: 'start', label: 'start', parent: null });
    await this.checkpointer.captureAll(runtime.sandbox);
    crashPoint('start:captured');
    const closed = await this.checkpointer.close({
      turn,
      sandbox: runtime.sandbox,
      watch: runtime.watch,
      agent: undefined,
      furniture: new Set(),
      network: [],
      urgent: false,
      alsoUncertain: [],
    });
    this.publish(closed);
    crashPoint('start:published');
    this.setStatus('running');
  }

  async startAgent(prompt: string | undefined): Promise<void> {
    this.#noteAsked(prompt);
    await this.#launchAgent((agent) => agent.start(this.runtime.sandbox, prompt));
  }

  /** Goes on from the transcript, as a new process. */
  async resumeAgent(prompt: string | undefined): Promise<void> {
    // Turns set aside do not count: what they wrote is not in this transcript.
    const line = lineOf({ turns: this.turns.all }, this.#record.head);
    const fresh = line.every((turn) => turn.kind !== 'agent');
    this.#noteAsked(prompt);
    // An agent that was never asked anything has no transcript to resume from.
    await this.#launchAgent((agent) =>
      fresh ? agent.start(this.runtime.sandbox, prompt) : agent.resume(this.runtime.sandbox, prompt),
    );
  }

  #noteAsked(prompt: string | undefined): void {
    const { asked, ...record } = this.#record;
    if (asked === undefined && prompt === undefined) return;
    this.#save({ ...record, ...(prompt === undefined ? {} : { asked: { prompt, turn: record.head } }) });
  }

  async #launchAgent(launch: (agent: AgentRunner) => Promise<void>): Promise<void> {
    if (!this.agent) return;
    const { name } = this.#record.agent;
    this.setAgent({ name, status: 'starting' });
    try {
      this.#beforeAgent = await this.checkpointer.absorb(this.runtime.watch);
      await launch(this.agent);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.setAgent({ name, status: 'failed', detail: `${name} could not be started: ${reason}` });
      throw error;
    }
    this.#agentStarted();
  }

  /** The agent inside a restored image is alive and will send its request again. */
  adoptAgent(tag: number | undefined): boolean {
    const found = this.agent?.adopt(this.runtime.sandbox, tag) ?? false;
    if (found) this.#agentStarted();
    return found;
  }

  /** The helper was restarted: an agent that runs on is taken over. */
  adoptRunningAgent(): boolean {
    const found = this.agent?.adoptRunning(this.runtime.sandbox, this.#record.agentTag) ?? false;
    if (found) this.#agentStarted();
    return found;
  }

  /** `hard`: an agent of another turn must not write into this one's transcript. */
  async stopAgent(hard = false): Promise<void> {
    if (!this.agent?.running) return;
    await this.agent.stop(hard);
    this.setAgent({ name: this.#record.agent.name, status: 'stopped' });
  }

  /** Its sandbox goes away, or has: the agent's process and its tag there mean nothing any more. */
  letGoOfAgent(): void {
    if (!this.agent) return;
    this.agent.letGo();
    const { name, status } = this.#record.agent;
    const ended = status === 'finished' || status === 'failed';
    this.setAgent(ended ? this.#record.agent : { name, status: 'stopped' });
  }

  /** A checkpoint of what is there between turns, made real only if something changed since the head. Call with the lock held. */
  async closeBetweenTurns(label: string): Promise<void> {
    const { runtime } = this;
    const before = this.checkpointer.fileVersion;
    const uncertain = this.#uncertain;
    this.#uncertain = [];
    try {
      const closed = await this.checkpointer.close({
        turn: this.turns.draft({ kind: 'rewind', label, parent: this.#record.head }),
        sandbox: runtime.sandbox,
        watch: runtime.watch,
        agent: this.agentProcess,
        furniture: new Set(this.#record.furniture),
        network: this.#takeReached(),
        urgent: true,
        alsoUncertain: uncertain,
      });
      if (!nothingIn(closed) || !this.#headRestorable) this.publish(closed);
    } catch (error) {
      this.#notCaptured(before, uncertain, 'what happened between turns was not captured');
      throw error;
    }
  }

  /**
   * With the sandbox down: what its folders hold becomes a checkpoint, of the open turn if there is one (its sandbox ended
   * under it), else of a turn of its own, if it is not what the head holds: a person may have worked in the folder meanwhile.
   * Call with the lock held, before anything is restored over it.
   */
  async keepWhatIsThere(label: string): Promise<void> {
    // What is there then is half of something else; the head's version is the last that was whole.
    if (this.halfRestored) return;
    const { metadata } = this.parts.store;
    const head = metadata.checkpointOf(this.id, this.#record.head);
    const { open } = this.turns;
    const before = this.checkpointer.fileVersion;
    const closed = await this.checkpointer.closeDown({
      turn: open ?? this.turns.draft({ kind: 'rewind', label, parent: this.#record.head }),
      sandbox: this.runtime.sandbox,
      network: this.#takeReached(),
      reason: open ? 'the sandbox ended during this turn' : undefined,
      processesOf: open ? undefined : head,
    });
    try {
      if (open || !nothingIn(closed) || !this.#headRestorable) this.publish(closed);
    } catch (error) {
      this.#notCaptured(before, [], 'what was in the folders was not captured');
      throw error;
    }
  }

  /** Otherwise what is there has no checkpoint to come back to yet, even where nothing changed since. */
  get #headRestorable(): boolean {
    return this.turns.find(this.#record.head)?.checkpoint?.restorable === true;
  }

  /** A rewind or a resume stopped half way: the folders are no state that anybody made. */
  get halfRestored(): boolean {
    return this.#restores().some(({ intent }) => {
      // The head moves last of all: once it has, everything is in place.
      const arrived = intent.target !== intent.safetyTurn && intent.target === this.#record.head;
      return !arrived;
    });
  }

  /** Notes that the folders are about to be changed into a checkpoint's; `restoredWhole` ends it. */
  beginRestore(intent: RestoreIntent): void {
    this.parts.store.metadata.beginIntent('rewind', this.id, JSON.stringify(intent));
  }

  restoredWhole(): void {
    for (const { id } of this.#restores()) this.parts.store.metadata.endIntent(id);
  }

  #restores(): { id: number; intent: RestoreIntent }[] {
    return this.parts.store.metadata
      .intents()
      .filter((each) => each.kind === 'rewind' && each.sessionId === this.id)
      .map((each) => ({ id: each.id, intent: restoreIntentSchema.parse(JSON.parse(each.document)) }));
  }

  /** Nothing of a failed checkpoint counts, and what it should have held is looked for everywhere the next time. */
  #notCaptured(before: string | undefined, uncertain: readonly string[], what: string): void {
    this.checkpointer.startFrom(before);
    this.#uncertain.push(...uncertain, what);
  }

  /** Closes the open turn, if there is one. Call with the lock held. */
  async closeOpenTurn(urgent: boolean): Promise<Turn | undefined> {
    const open = this.turns.open;
    if (!open) return undefined;
    const startedMs = performance.now();
    this.#expecting?.abort();
    if (this.runtime.sandbox.state !== 'running') {
      await this.keepWhatIsThere(open.label);
      return this.turns.get(open.id);
    }
    const closing = this.turns.update(open.id, {
      state: 'closing',
      ...(open.label === thinkingLabel ? { label: 'the model did not answer' } : {}),
    });
    const before = this.checkpointer.fileVersion;
    const network = this.#takeReached();
    const uncertain = this.#uncertain;
    this.#uncertain = [];
    try {
      const closed = await this.checkpointer.close({
        turn: closing,
        sandbox: this.runtime.sandbox,
        watch: this.runtime.watch,
        agent: this.agentProcess,
        furniture: new Set(this.#record.furniture),
        network,
        urgent,
        alsoUncertain: uncertain,
      });
      // From here on a transcript that can be restored knows what the agent was told.
      const { id, checkpoint } = this.publish(closed, { told: open.kind === 'agent' });
      const closeMs = performance.now() - startedMs;
      return this.turns.update(id, checkpoint ? { checkpoint: { ...checkpoint, closeMs } } : {});
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.logger.error('a turn could not be checkpointed', { turn: open.id, reason });
      if (error instanceof NotBegun) {
        this.#uncertain.push(...uncertain);
        this.#reached.push(...network);
      } else this.#notCaptured(before, uncertain, `turn ${open.id} was not captured`);
      const turn: Turn = {
        ...this.turns.get(open.id),
        state: 'closed',
        endedAt: Date.now(),
        effectClass: 'full',
        checkpoint: {
          id: 'none',
          restorable: false,
          reason: `not restorable: ${reason}`,
          reused: false,
          hasProcesses: false,
          bytesStored: 0,
          inspectMs: 0,
          filesMs: 0,
          processesMs: 0,
          heldMs: 0,
        },
      };
      this.turns.closeWithout(turn);
      this.setHead(turn.id);
      return turn;
    }
  }

  /** Publishes a closed turn with its checkpoint and moves the head to it. `told`: what the agent was asked is in it. */
  publish(closed: Closed, { told = false } = {}): Turn {
    const latest = this.turns.find(closed.turn.id) ?? closed.turn;
    const turn: Turn = {
      ...closed.turn,
      // The reply may have been read while the checkpoint was made.
      label: latest.label,
      ...(latest.conversation === undefined ? {} : { conversation: latest.conversation }),
      ...(latest.exitCode === undefined ? {} : { exitCode: latest.exitCode }),
    };
    crashPoint('checkpoint:unpublished');
    const { asked, ...record } = this.#record;
    const kept = told || asked === undefined ? record : { ...record, asked };
    this.turns.publish(turn, closed.record, JSON.stringify({ ...kept, head: turn.id }));
    this.#record = kept;
    crashPoint('checkpoint:published');
    this.setHead(turn.id);
    crashPoint('checkpoint:moved');
    this.#bytesStored += turn.checkpoint?.bytesStored ?? 0;
    this.parts.dispatch({
      type: 'session/changed',
      sessionId: this.id,
      patch: { bytesStored: this.#bytesStored },
    });
    return turn;
  }

  /** These turns' checkpoints are given up; `why` follows "expired". One that cannot be restored keeps its own reason. */
  expire(expiries: readonly { readonly turn: number; readonly why: string }[]): void {
    if (expiries.length === 0) return;
    let freedBytes = 0;
    const turns = expiries.map(({ turn: id, why }): Turn => {
      const turn = this.turns.get(id);
      if (!turn.checkpoint) return turn;
      const { restorable, bytesStored } = turn.checkpoint;
      freedBytes += bytesStored;
      const reason = restorable ? `not restorable: expired ${why}` : turn.checkpoint.reason;
      return { ...turn, checkpoint: { ...turn.checkpoint, restorable: false, bytesStored: 0, reason } };
    });
    this.turns.expire(turns);
    this.#bytesStored -= freedBytes;
    this.parts.dispatch({
      type: 'session/changed',
      sessionId: this.id,
      patch: { bytesStored: this.#bytesStored },
    });
  }

  /** Turns whose checkpoint (by id) has lost something say so; ones that are whole again may be restored again. */
  showDamage(damage: ReadonlyMap<string, { readonly files?: string; readonly processes?: string }>): void {
    for (const turn of this.turns.all) {
      const { checkpoint } = turn;
      if (!checkpoint) continue;
      const { files, processes } = damage.get(checkpoint.id) ?? {};
      const wasDamaged = !checkpoint.restorable && checkpoint.reason.startsWith(damagedPrefix);
      if (files !== undefined && checkpoint.restorable) {
        const reason = `${damagedPrefix}${files}: see \`turntable fsck\``;
        this.turns.update(turn.id, { checkpoint: { ...checkpoint, restorable: false, reason } });
      } else if (files === undefined && wasDamaged && this.parts.store.metadata.checkpoint(checkpoint.id)) {
        const reason = 'was damaged; what was missing has been stored again';
        this.turns.update(turn.id, { checkpoint: { ...checkpoint, restorable: true, reason } });
      } else if (processes !== undefined && checkpoint.degraded === undefined) {
        const degraded = `files only: the process image is damaged (${processes})`;
        this.turns.update(turn.id, { checkpoint: { ...checkpoint, degraded } });
      }
    }
  }

  setHead(head: number): void {
    this.#save({ ...this.#record, head });
    this.parts.dispatch({ type: 'head/moved', sessionId: this.id, head });
  }

  setStatus(status: SessionState['status'], detail?: string): void {
    this.#status = status;
    const stored = status === 'stopped' || status === 'failed' ? status : 'running';
    const { detail: _old, ...record } = this.#record;
    this.#save({ ...record, status: stored, ...(detail === undefined ? {} : { detail }) });
    this.parts.dispatch({
      type: 'session/changed',
      sessionId: this.id,
      patch: { status, detail: detail ?? '', mount: this.state().mount },
    });
  }

  setAgent(agent: AgentState): void {
    const tag = this.agent?.running?.tag;
    const { agentTag: _old, ...record } = this.#record;
    this.#save({ ...record, agent, ...(tag === undefined ? {} : { agentTag: tag }) }, 'relaxed');
    this.parts.dispatch({ type: 'agent/changed', sessionId: this.id, agent });
  }

  setFurniture(furniture: ReadonlySet<string>): void {
    this.#save({ ...this.#record, furniture: [...furniture] }, 'relaxed');
  }

  /** A command of an outside agent begins; until the returned function is called the session's questions end with `signal`. */
  beginCommand(signal: AbortSignal): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#command = promise;
    this.#commandOver = signal;
    return () => {
      this.#command = undefined;
      this.#commandOver = undefined;
      resolve();
    };
  }

  /** Resolves when the running command's turn is closed; undefined when none runs. */
  get command(): Promise<void> | undefined {
    return this.#command;
  }

  /** Fires when the session is to stop: whoever holds the lock for long must let go. */
  get interrupted(): AbortSignal {
    return this.#interrupt.signal;
  }

  /** Ends a running command and what waits for a person; resolves when its turn is closed, or it takes too long. */
  async interrupt(): Promise<void> {
    this.#interrupt.abort();
    this.#interrupt = new AbortController();
    if (this.#command) await Promise.race([this.#command, sleep(interruptMs, undefined, { ref: false })]);
  }

  get commandOver(): AbortSignal | undefined {
    return this.#commandOver;
  }

  doubt(reason: string): void {
    this.#uncertain.push(reason);
  }

  /** Whatever waits for an earlier state of this session must not touch the new one. */
  nextEpoch(): number {
    this.#epoch += 1;
    this.#expecting?.abort();
    // The next endpoint counts its requests from the start.
    this.#turnByRequest.clear();
    this.#capped.clear();
    this.#takeReached();
    return this.#epoch;
  }

  #hooks(): ModelEndpointHooks {
    return {
      onBoundary: (request) => this.#boundary(request),
      onReply: (request, conversation) => this.#reply(request, conversation),
      onWaiting: () => this.checkpointer.hurry(),
      onReleased: (request, heldMs, capped) => this.#released(request, heldMs, capped),
    };
  }

  /** Requests whose reply was let through before the boundary was dealt with, and after how many milliseconds. */
  readonly #capped = new Map<number, number>();
  readonly #turnByRequest = new Map<number, { closed: number | undefined; opened: number }>();

  async #boundary(request: MainLoopRequest): Promise<void> {
    const epoch = this.#epoch;
    // The turn before went on before its checkpoint had even begun; what that would hold now, this one's holds as well.
    if (this.#capped.size > 0) this.checkpointer.supersede();
    await this.lock.run(async () => {
      if (epoch !== this.#epoch || !this.#runtime?.up) return;
      const closed = await this.closeOpenTurn(false);
      this.#markCapped(request, closed);
      if (!closed) {
        const alive = await this.checkpointer.absorb(this.#runtime.watch);
        if (this.#beforeAgent) this.setFurniture(alive.difference(this.#beforeAgent));
        this.#beforeAgent = undefined;
      }
      const opened = this.turns.begin({ kind: 'agent', label: thinkingLabel, parent: this.#record.head });
      this.#turnByRequest.delete(request.number - rememberedRequests);
      this.#turnByRequest.set(request.number, { closed: closed?.id, opened: opened.id });
      this.setAgent({ ...this.#record.agent, status: 'thinking' });
    });
  }

  #reply(request: MainLoopRequest, conversation: Conversation): void {
    const at = this.#turnByRequest.get(request.number);
    if (!at) return;
    const turn = this.turns.get(at.opened);
    this.turns.update(at.opened, { ...turn, conversation, label: labelOf(conversation) });
    if (this.turns.open?.id !== at.opened) return;
    this.setAgent({ ...this.#record.agent, status: 'running' });
    // A reply to a request sent again: what was expected after the first no longer is.
    this.#expecting?.abort();
    if (conversation.error !== undefined) this.#expectEnd(at.opened, 'failed');
    else if (conversation.toolCalls.length === 0) this.#expectEnd(at.opened, 'last');
  }

  /** The agent went on while its checkpoint was still being made: what that holds is no single instant. Says so. */
  #markCapped(request: MainLoopRequest, closed: Turn | undefined): void {
    const heldMs = this.#capped.get(request.number);
    this.#capped.delete(request.number);
    if (heldMs === undefined || !closed?.checkpoint) return;
    const checkpoint = { ...closed.checkpoint, heldMs };
    if (!checkpoint.restorable) {
      this.turns.update(closed.id, { checkpoint });
      return;
    }
    this.turns.update(closed.id, {
      checkpoint: {
        ...checkpoint,
        restorable: false,
        reason: 'not restorable: the checkpoint took too long, so the agent was let go on before it was safe',
      },
    });
    this.doubt(`turn ${closed.id} was checkpointed while the agent went on`);
  }

  #released(request: MainLoopRequest, heldMs: number, capped: boolean): void {
    crashPoint('checkpoint:released');
    const closed = this.#turnByRequest.get(request.number)?.closed;
    if (closed === undefined) {
      if (capped) this.#capped.set(request.number, heldMs);
      return;
    }
    const turn = this.turns.get(closed);
    if (turn.checkpoint) this.turns.update(closed, { checkpoint: { ...turn.checkpoint, heldMs } });
  }

  /** Nothing may follow: after a last reply the turn ends when the agent does or falls idle, after a failed one when it has not asked again. */
  #expectEnd(turn: number, after: 'last' | 'failed'): void {
    const runtime = this.#runtime;
    if (!runtime?.up) return;
    const expecting = new AbortController();
    this.#expecting = expecting;
    const { signal } = expecting;
    const end =
      after === 'last'
        ? untilIdle(runtime.sandbox.cgroup.path, lastTurnGraceMs, signal)
        : sleep(failedTurnGraceMs, undefined, { signal, ref: false });
    end
      .then(() => {
        // Asked again meanwhile: its reply says how it goes on.
        if (runtime.pendingRequests > 0) return;
        this.#later('the last turn could not be closed', async () => {
          // A boundary that held the lock has closed it and opened the next.
          if (!signal.aborted && runtime.up && this.turns.open?.id === turn) await this.closeOpenTurn(false);
        });
      })
      .catch(() => {});
  }

  #agentStarted(): void {
    this.setAgent({ name: this.#record.agent.name, status: 'running' });
  }

  #agentEnded(exitCode: number): void {
    const epoch = this.#epoch;
    const { name } = this.#record.agent;
    this.setAgent(
      exitCode === 0
        ? { name, status: 'finished', exitCode }
        : {
            name,
            status: 'failed',
            exitCode,
            detail: `${name} ended with exit code ${exitCode}: its terminal says why`,
          },
    );
    this.#later('the last turn could not be closed', async () => {
      if (epoch === this.#epoch && this.#runtime?.up) await this.closeOpenTurn(false);
    });
  }

  #sandboxDied(detail: string): void {
    this.logger.error('the sandbox ended', { detail });
    this.nextEpoch();
    const epoch = this.#epoch;
    this.letGoOfAgent();
    this.#later('a sandbox that ended could not be put away', async () => {
      // A rewind or a stop that held the lock has dealt with it.
      if (epoch !== this.#epoch) return;
      await this.#runtime?.stop().catch((error: unknown) => {
        this.logger.warn('a sandbox that ended could not be put away', { error });
      });
      await this.keepOpenTurn();
      this.setStatus(
        'failed',
        `${detail} \`turntable session resume ${this.id}\` starts it again at its last whole checkpoint.`,
      );
    });
  }

  /** The sandbox ended under an open turn: processes are gone, files are not. */
  async keepOpenTurn(): Promise<void> {
    const { open } = this.turns;
    if (!open) return;
    try {
      await this.keepWhatIsThere(open.label);
    } catch (error) {
      this.logger.error('a turn could not be captured after its sandbox ended', { turn: open.id, error });
    }
    // Without a checkpoint the files stay where they are: a resume captures them before anything else.
    if (this.turns.open)
      this.turns.closeWithout({ ...this.turns.open, label: `${open.label} (interrupted)` });
  }

  /** Work that nobody waits for: one thing at a time like everything else, and never an unhandled rejection. */
  #later(otherwise: string, work: () => Promise<void>): void {
    this.lock.run(work).catch((error: unknown) => this.logger.error(otherwise, { error }));
  }

  /** The agent's process, while it runs. */
  get agentProcess(): { tag: number; sandboxPid: number } | undefined {
    const child = this.agent?.running;
    return child ? { tag: child.tag, sandboxPid: child.pid } : undefined;
  }

  #takeReached(): ReachedHost[] {
    const reached = new Map<string, ReachedHost>();
    for (const each of this.#reached.splice(0)) {
      const key = `${each.host}:${each.port}:${each.method ?? ''}:${each.allowed}`;
      const before = reached.get(key);
      reached.set(key, before ? { ...before, count: before.count + each.count } : each);
    }
    return [...reached.values()];
  }

  #save(record: SessionRecord, how: 'durable' | 'relaxed' = 'durable'): void {
    this.#record = record;
    try {
      this.parts.store.metadata.putSession(record.id, JSON.stringify(record), how);
    } catch (error) {
      // Goes on in memory, and is written whole the next time: work must not stop because of a full disk.
      if (!(error instanceof TurntableError) || error.code !== 'diskFull') throw error;
      this.logger.warn('what is remembered of the session could not be written', { reason: error.message });
    }
  }
}

/** Not by version: the restore before left other times on a few directories, which is no change to anybody. */
function nothingIn({ turn }: Closed): boolean {
  return turn.effectClass === 'none' && turn.effects?.files.entries.length === 0;
}

/** The agent has placeholder keys of its own; the real ones are set on its requests outside. */
function withoutKeys(env: Readonly<Record<string, string>>): Record<string, string> {
  const hidden: readonly string[] = [
    ...keyNames,
    'OPENAI_BASE_URL',
    'ANTHROPIC_BASE_URL',
    'GOOGLE_GEMINI_BASE_URL',
  ];
  return Object.fromEntries(Object.entries(env).filter(([name]) => !hidden.includes(name)));
}

function labelOf(conversation: Conversation): string {
  if (conversation.error !== undefined) return `model error: ${conversation.error}`.slice(0, labelChars);
  const [first, ...more] = conversation.toolCalls;
  const text = first
    ? first.summary + (more.length > 0 ? ` (+${more.length})` : '')
    : (conversation.text.split('\n').find((line) => line.trim() !== '') ?? 'answered');
  return text.slice(0, labelChars);
}
