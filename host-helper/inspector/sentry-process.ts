/**
 * The sentry as a child process: starts it, speaks its frames, and turns them into the Sentry interface. Must not
 * decide anything: what is watched, allowed or remembered is the caller's.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import {
  flagBits,
  FrameSplitter,
  frameTypes,
  killReasons,
  packFrame,
  packStruct,
  PayloadReader,
  sentryVersion,
  structs,
  verdicts,
  type ReceivedFrame,
} from './sentry-frames.ts';
import { ObservationGatherer, readStates } from './sentry-observation.ts';
import type {
  ExecAnswer,
  ExecAsk,
  Observation,
  ProcessState,
  Sentry,
  SentryFeatures,
  WatchRequest,
} from './sentry.ts';

const readyTimeoutMs = 20_000;
const closeTimeoutMs = 3_000;
/** Twice what one request takes at most: a sandbox guarded again that does what it can against it. */
const silenceMaxMs = 10_000;
/** For what has come while this process did not get to read. */
const graceMs = 500;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;
type ExecKilled = { sandbox: number; pid: number; program: string; reason: string };

interface Request {
  readonly what: string;
  readonly settle: (payload: Buffer) => void;
  readonly fail: (error: Error) => void;
}

export interface SentryOptions {
  /** The static binary that `make -C bpf` builds. */
  readonly binaryPath: string;
  /** Names the file system whose changes are hinted; the self-test works in a directory of its own below it. */
  readonly stateDir: string;
  readonly log: Logger;
  /** Of the ring that process events wait in, a power of two; what does not fit is lost and counted. */
  readonly eventRingBytes?: number;
  /** For tests: how long it may say nothing while it is asked something. */
  readonly silenceMaxMs?: number;
}

/** Starts the child and waits until it has tested what works here. @throws TurntableError `sentryFailed` */
export async function startSentry(options: SentryOptions): Promise<Sentry> {
  // One that was killed in its self-test could not tidy up.
  for (const name of await readdir(options.stateDir))
    if (/^\.sentry-[A-Za-z0-9]{6}$/.test(name))
      await rm(join(options.stateDir, name), { recursive: true, force: true });
  const ring =
    options.eventRingBytes === undefined ? [] : ['--event-ring-bytes', String(options.eventRingBytes)];
  const child = spawn(options.binaryPath, ['--state-dir', options.stateDir, ...ring], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const sentry = new SentryProcess(child, options.log, options.silenceMaxMs ?? silenceMaxMs);
  try {
    await sentry.ready;
  } catch (error) {
    child.kill('SIGKILL');
    throw new TurntableError(
      'sentryFailed',
      `The sentry did not start: ${messageOf(error)}. Build it with "make -C bpf" and run the helper as root.`,
      { cause: error },
    );
  }
  return sentry;
}

class SentryProcess implements Sentry {
  readonly ready: Promise<void>;
  readonly #child: Child;
  readonly #log: Logger;
  readonly #silenceMaxMs: number;
  readonly #splitter = new FrameSplitter();
  readonly #requests = new Map<number, Request>();
  readonly #gatherers = new Map<number, ObservationGatherer>();
  readonly #askListeners = new Set<(ask: ExecAsk) => void>();
  readonly #goneListeners = new Set<(ask: bigint) => void>();
  readonly #killedListeners = new Set<(event: ExecKilled) => void>();
  readonly #diedListeners = new Set<(detail: string) => void>();
  readonly #exited: Promise<void>;
  #features: SentryFeatures | undefined;
  #onReady: { settle: () => void; fail: (error: Error) => void } | undefined;
  #nextRequest = 1;
  #death: string | undefined;
  #closing = false;
  #silence: NodeJS.Timeout | undefined;

  constructor(child: Child, log: Logger, maxSilenceMs: number) {
    this.#child = child;
    this.#log = log;
    this.#silenceMaxMs = maxSilenceMs;
    this.ready = new Promise((settle, fail) => {
      const timer = setTimeout(() => fail(new Error('it said nothing')), readyTimeoutMs);
      this.#onReady = {
        settle: () => (clearTimeout(timer), settle()),
        fail: (error) => (clearTimeout(timer), fail(error)),
      };
    });
    this.#exited = new Promise((settle) => {
      child.once('error', (error) => (this.#died(error.message), settle()));
      child.once(
        'close',
        (code, signal) => (this.#died(`it ended with ${signal ?? String(code)}`), settle()),
      );
    });
    child.stdin.on('error', (error) => this.#died(error.message));
    child.stdout.on('data', (piece: Buffer) => this.#receive(piece));
    createInterface({ input: child.stderr }).on('line', (line) => log.info(line));
  }

  get features(): SentryFeatures {
    if (!this.#features) throw new Error('the sentry is not ready');
    return this.#features;
  }

  async watch(request: WatchRequest): Promise<void> {
    const cgroupPath = Buffer.from(request.cgroupPath);
    const roots = request.roots.flatMap(({ root, path }) => {
      const bytes = Buffer.from(path);
      return [packStruct(structs.watchRoot, { root, pathLength: bytes.length }), bytes];
    });
    const head = packStruct(structs.watch, {
      cgroupId: request.cgroupId,
      cgroupPathLength: cgroupPath.length,
      rootCount: request.roots.length,
    });
    await this.#request(frameTypes.watch, request.sandbox, 'watch a sandbox', nothing, [
      head,
      cgroupPath,
      ...roots,
    ]);
  }

  async unwatch(sandbox: number): Promise<void> {
    await this.#request(frameTypes.unwatch, sandbox, 'stop watching a sandbox', () =>
      this.#gatherers.delete(sandbox),
    );
  }

  async fence(sandbox: number, now?: 'now'): Promise<Observation> {
    const body = packStruct(structs.fence, { flags: now ? flagBits.fenceNow : 0, reserved: 0 });
    return this.#request(
      frameTypes.fence,
      sandbox,
      'tell what a sandbox did',
      (last) => this.#gatherer(sandbox).finish(last),
      [body],
    );
  }

  async states(sandbox: number, pids: readonly number[]): Promise<readonly ProcessState[]> {
    if (pids.length === 0) return [];
    const body = Buffer.from(Uint32Array.from(pids).buffer);
    return this.#request(frameTypes.states, sandbox, 'tell the states of processes', readStates, [body]);
  }

  async guard(sandbox: number, listenerPath: string): Promise<void> {
    await this.#request(frameTypes.guard, sandbox, 'guard the execs of a sandbox', nothing, [listenerPath]);
  }

  async reguard(sandbox: number): Promise<readonly number[]> {
    return this.#request(frameTypes.reguard, sandbox, 'guard running processes', (reply) => {
      const reader = new PayloadReader(reply);
      return reader.u32s(reader.struct(structs.reguarded).count);
    });
  }

  answer(answer: ExecAnswer): void {
    const body = packStruct(structs.answer, {
      ask: answer.ask,
      verdict: verdicts[answer.verdict],
      remember: answer.remember ? 1 : 0,
    });
    this.#write(packFrame(frameTypes.answer, 0, 0, [body]));
  }

  forget(sandbox: number): void {
    this.#write(packFrame(frameTypes.forget, 0, sandbox));
  }

  onExecAsk(listener: (ask: ExecAsk) => void): () => void {
    return subscribe(this.#askListeners, listener);
  }

  onExecAskGone(listener: (ask: bigint) => void): () => void {
    return subscribe(this.#goneListeners, listener);
  }

  onExecKilled(listener: (event: ExecKilled) => void): () => void {
    return subscribe(this.#killedListeners, listener);
  }

  onDied(listener: (detail: string) => void): () => void {
    return subscribe(this.#diedListeners, listener);
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#death === undefined) this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), closeTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
  }

  #write(frame: Buffer): void {
    if (this.#death === undefined && !this.#closing) this.#child.stdin.write(frame);
  }

  /** `read` runs as soon as the reply is there, before any frame that follows it is looked at. */
  #request<T>(
    type: number,
    sandbox: number,
    what: string,
    read: (payload: Buffer) => T,
    parts: readonly (Buffer | string)[] = [],
  ): Promise<T> {
    if (this.#death !== undefined || this.#closing)
      return Promise.reject(failure(what, this.#death ?? 'it was closed'));
    const number = this.#nextRequest++;
    const frame = packFrame(type, number, sandbox, parts);
    return new Promise((resolve, reject) => {
      this.#requests.set(number, {
        what,
        settle: (payload) => {
          try {
            resolve(read(payload));
          } catch (error) {
            reject(failure(what, messageOf(error)));
            throw error;
          }
        },
        fail: reject,
      });
      if (this.#requests.size === 1) this.#watchSilence();
      this.#write(frame);
    });
  }

  /** One that is silent serves nobody, and whoever waits for it may hold a frozen sandbox: it has to be replaced. */
  #watchSilence(): void {
    clearTimeout(this.#silence);
    if (this.#requests.size === 0) return;
    this.#silence = setTimeout(() => {
      this.#silence = setTimeout(() => {
        this.#died(`it was silent for ${this.#silenceMaxMs / 1000} s while it was asked something`);
        this.#child.kill('SIGKILL');
      }, graceMs);
    }, this.#silenceMaxMs);
  }

  #receive(piece: Buffer): void {
    try {
      for (const frame of this.#splitter.push(piece)) this.#dispatch(frame);
      this.#watchSilence();
    } catch (error) {
      // A stream that cannot be read cannot be trusted for anything: what it guards must fail closed.
      this.#died(`its frames cannot be read (${messageOf(error)})`);
      this.#child.kill('SIGKILL');
    }
  }

  #dispatch(frame: ReceivedFrame): void {
    const { type, sandbox, payload } = frame;
    if (type === frameTypes.ready) this.#begin(payload);
    else if (type === frameTypes.exec) this.#gatherer(sandbox).addExec(payload);
    else if (type === frameTypes.exit) this.#gatherer(sandbox).addExit(payload);
    else if (type === frameTypes.root) this.#gatherer(sandbox).addRoot(payload);
    else if (type === frameTypes.live) this.#gatherer(sandbox).addLive(payload);
    else if (type === frameTypes.execAsk) this.#emit(this.#askListeners, readAsk(sandbox, payload));
    else if (type === frameTypes.execGone)
      this.#emit(this.#goneListeners, new PayloadReader(payload).struct(structs.execGone).ask);
    else if (type === frameTypes.execKilled) this.#emit(this.#killedListeners, readKilled(sandbox, payload));
    else this.#settle(frame);
  }

  #settle(frame: ReceivedFrame): void {
    const request = this.#requests.get(frame.request);
    this.#requests.delete(frame.request);
    if (!request) throw new Error(`nobody waits for a frame of type ${frame.type}`);
    if (frame.type !== frameTypes.done) return request.settle(frame.payload);
    const reader = new PayloadReader(frame.payload);
    const done = reader.struct(structs.done);
    if (done.status === 0) return request.settle(frame.payload);
    const message = reader.text(done.messageLength);
    request.fail(failure(request.what, `${message}: ${getSystemErrorName(-done.status)}`));
  }

  #begin(payload: Buffer): void {
    const reader = new PayloadReader(payload);
    const ready = reader.struct(structs.ready);
    if (ready.version !== sentryVersion) {
      this.#onReady?.fail(new Error(`it speaks version ${ready.version}, not ${sentryVersion}`));
      return;
    }
    const has = (bit: number): boolean => (ready.features & bit) !== 0;
    this.#features = {
      lifecycle: has(flagBits.hasLifecycle),
      hints: has(flagBits.hasHints) ? 'complete' : 'unavailable',
      hintsDetail: reader.text(ready.hintsDetailLength),
      execVerify: has(flagBits.hasVerify),
      execVerifyDetail: reader.text(ready.verifyDetailLength),
    };
    this.#onReady?.settle();
  }

  #gatherer(sandbox: number): ObservationGatherer {
    let gatherer = this.#gatherers.get(sandbox);
    if (!gatherer) this.#gatherers.set(sandbox, (gatherer = new ObservationGatherer()));
    return gatherer;
  }

  #emit<T>(listeners: ReadonlySet<(value: T) => void>, value: T): void {
    for (const listener of [...listeners]) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error('a listener of the sentry failed', { error });
      }
    }
  }

  #died(detail: string): void {
    if (this.#death !== undefined) return;
    this.#death = detail;
    this.#onReady?.fail(new Error(detail));
    for (const request of this.#requests.values()) request.fail(failure(request.what, detail));
    this.#requests.clear();
    clearTimeout(this.#silence);
    if (!this.#closing) this.#emit(this.#diedListeners, detail);
  }
}

function readAsk(sandbox: number, payload: Buffer): ExecAsk {
  const reader = new PayloadReader(payload);
  const ask = reader.struct(structs.execAsk);
  const program = reader.text(ask.programLength);
  const interpreter = reader.text(ask.interpreterLength);
  const argument = reader.text(ask.argumentLength);
  const argv = reader.argv(ask.argvLength);
  const hasArgument = (ask.flags & flagBits.askArgument) !== 0;
  return {
    ask: ask.ask,
    sandbox,
    tid: ask.tid,
    pid: ask.pid,
    program,
    interpreter:
      (ask.flags & flagBits.askScript) !== 0
        ? { program: interpreter, argument: hasArgument ? argument : undefined }
        : undefined,
    argv,
    argvTruncated: (ask.flags & flagBits.askArgvTruncated) !== 0,
    cwd: reader.text(ask.cwdLength),
  };
}

function readKilled(sandbox: number, payload: Buffer): ExecKilled {
  const reader = new PayloadReader(payload);
  const killed = reader.struct(structs.execKilled);
  const reason = killReasons[killed.reason] ?? `reason ${killed.reason}`;
  return { sandbox, pid: killed.pid, program: reader.text(killed.programLength), reason };
}

function nothing(): void {}

function failure(what: string, detail: string): TurntableError {
  return new TurntableError(
    'sentryFailed',
    `The sentry could not ${what}: ${detail}. See the helper's log; restarting the helper starts a new sentry.`,
  );
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
