/**
 * The helper's end of the supervisor's socket: children as objects that outlive a detach (for a dump) and an attach (after it).
 * It knows frames and children; not how sandboxes are made, frozen or dumped.
 */
import { createConnection, type Socket } from 'node:net';
import { constants } from 'node:os';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import type { SandboxChild, SpawnRequest } from '../sandbox.ts';
import { ChildHandle } from './child-handle.ts';
import {
  decodeChild,
  encodeFrame,
  encodeSpawn,
  frameKinds,
  FrameReader,
  wireVersion,
  type Frame,
} from './supervisor-wire.ts';

const attachTimeoutMs = 10_000;
const detachTimeoutMs = 10_000;
const maxQueuedBytes = 16 << 20;

interface PendingSpawn {
  readonly request: SpawnRequest;
  readonly resolve: (child: SandboxChild) => void;
  readonly reject: (error: Error) => void;
}

export class SupervisorClient {
  readonly #logger: Logger;
  readonly #children = new Map<number, ChildHandle>();
  readonly #pending = new Map<number, PendingSpawn>();
  /** Told when the connection ends although nobody detached. */
  readonly #onLost: () => void;
  #socket: Socket | undefined;
  #detaching = false;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Random start: a supervisor may still hold answers for an earlier helper's numbers. */
  #nextRequest = 1 + Math.floor(Math.random() * 0x7fff_ffff);

  constructor(logger: Logger, onLost: () => void) {
    this.#logger = logger;
    this.#onLost = onLost;
  }

  get attached(): boolean {
    return this.#socket !== undefined;
  }

  get children(): readonly SandboxChild[] {
    return [...this.#children.values()];
  }

  /** Connects and learns the children. Throws `sandboxFailed`, early when `lives` says that nobody can answer any more. */
  async attach(path: string, lives: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + attachTimeoutMs;
    for (;;) {
      try {
        await this.#attachOnce(path, deadline);
        break;
      } catch (cause) {
        if (Date.now() >= deadline || !(await lives())) {
          throw new TurntableError(
            'sandboxFailed',
            `The sandbox's supervisor does not answer at ${path}. Stop the session and start it again.`,
            { cause },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  /** Ends the connection so that nothing is lost and the sandbox can be dumped. What is asked meanwhile waits for `attach`. */
  async detach(): Promise<void> {
    const socket = this.#socket;
    if (!socket) return;
    this.#detaching = true;
    for (const child of this.#children.values()) child.pause();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.write(encodeFrame(frameKinds.detach, 0));
    const timer = setTimeout(() => socket.destroy(), detachTimeoutMs);
    await closed;
    clearTimeout(timer);
    this.#detaching = false;
  }

  /** The sandbox is gone: every child ended, every request fails. */
  end(): void {
    this.#detaching = true;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#detaching = false;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const child of this.#children.values()) child.settle(137);
    this.#children.clear();
    for (const pending of this.#pending.values()) {
      pending.reject(new TurntableError('sandboxFailed', 'The sandbox ended before the command started.'));
    }
    this.#pending.clear();
  }

  /** Starts a process. Resolves once exec succeeded; throws `sandboxFailed` with the reason when it did not. */
  async spawn(request: SpawnRequest): Promise<SandboxChild> {
    if (request.argv.length === 0) {
      throw new TurntableError('sandboxFailed', 'An empty command cannot be started.');
    }
    let payload: Buffer;
    try {
      payload = encodeSpawn(request);
    } catch (cause) {
      throw new TurntableError('sandboxFailed', `The command cannot be started: ${String(cause)}`, {
        cause,
      });
    }
    const number = this.#nextRequest;
    this.#nextRequest = (this.#nextRequest % 0xffff_fffe) + 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(number, { request, resolve, reject });
      this.#send(encodeFrame(frameKinds.spawn, number, payload));
    });
  }

  #send(frame: Buffer): void {
    if (this.#socket && !this.#detaching) {
      this.#socket.write(frame);
    } else if (this.#queuedBytes + frame.byteLength <= maxQueuedBytes) {
      this.#queue.push(frame);
      this.#queuedBytes += frame.byteLength;
    } else {
      this.#logger.warn('dropped a request to the sandbox: too much was waiting', {
        bytes: frame.byteLength,
      });
    }
  }

  /** At once when attached, before anything newer can overtake it. */
  #flushQueue(): void {
    const queued = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const frame of queued) this.#socket?.write(frame);
  }

  async #attachOnce(path: string, deadline: number): Promise<void> {
    const socket = createConnection(path);
    const reader = new FrameReader();
    const listed = new Set<number>();
    await new Promise<void>((resolve, reject) => {
      let ready = false;
      const timer = setTimeout(
        () => {
          socket.destroy(new Error('no answer'));
        },
        Math.max(50, deadline - Date.now()),
      );
      socket.on('data', (data) => {
        try {
          for (const frame of reader.push(data)) {
            if (frame.kind === frameKinds.child && !ready) {
              listed.add(this.#describe(frame.payload).tag);
            } else if (frame.kind === frameKinds.ready && !ready) {
              ready = true;
              clearTimeout(timer);
              this.#socket = socket;
              this.#forgetUnlisted(listed);
              this.#flushQueue();
              resolve();
            } else {
              this.#onFrame(frame);
            }
          }
        } catch (error) {
          this.#logger.warn('the supervisor sent nonsense; cutting the connection', { error });
          socket.destroy();
        }
      });
      let failure: Error | undefined;
      socket.on('error', (error) => (failure = error));
      socket.on('close', () => {
        clearTimeout(timer);
        if (!ready) reject(failure ?? new Error('closed before it was ready'));
        else this.#onClose(socket);
      });
    });
  }

  #onClose(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    if (!this.#detaching) this.#onLost();
  }

  #onFrame(frame: Frame): void {
    const child = this.#children.get(frame.tag);
    switch (frame.kind) {
      case frameKinds.hello:
        if (frame.payload.readUInt32LE(0) !== wireVersion) throw new RangeError('another version');
        return;
      case frameKinds.spawned:
        this.#onSpawned(frame);
        return;
      case frameKinds.spawnFailed:
        this.#onSpawnFailed(frame);
        return;
      case frameKinds.output:
        child?.deliver(frame.stream === 2 ? 'stderr' : 'stdout', frame.payload);
        return;
      case frameKinds.dropped:
        this.#logger.warn('output was lost while nobody was attached', {
          tag: frame.tag,
          bytes: frame.payload.readBigUInt64LE(0),
        });
        return;
      case frameKinds.stdinConsumed:
        child?.consumed(frame.payload.readUInt32LE(0));
        return;
      case frameKinds.exit:
        child?.settle(frame.payload.readUInt32LE(0) & 0xff);
        this.#children.delete(frame.tag);
        this.#send(encodeFrame(frameKinds.exitAck, frame.tag));
        return;
      default:
        throw new RangeError(`frame kind ${frame.kind}`);
    }
  }

  #describe(payload: Buffer): ChildHandle {
    const description = decodeChild(payload);
    const known = this.#children.get(description.tag);
    if (known?.pid === description.pid) {
      known.resync(description.unconsumedBytes);
      return known;
    }
    known?.settle(137);
    const child = new ChildHandle(description, (frame) => this.#send(frame));
    this.#children.set(child.tag, child);
    return child;
  }

  #forgetUnlisted(listed: ReadonlySet<number>): void {
    for (const [tag, child] of this.#children) {
      if (listed.has(tag)) continue;
      child.settle(137);
      this.#children.delete(tag);
    }
  }

  #onSpawned(frame: Frame): void {
    const child = this.#describe(frame.payload);
    const pending = this.#pending.get(frame.tag);
    if (!pending) return;
    this.#pending.delete(frame.tag);
    const { stdin, terminal } = pending.request;
    if (stdin) {
      child.write(stdin);
      if (!terminal) child.closeStdin();
    }
    pending.resolve(child);
  }

  #onSpawnFailed(frame: Frame): void {
    const pending = this.#pending.get(frame.tag);
    this.#pending.delete(frame.tag);
    const code = errorName(frame.payload.readUInt32LE(0));
    const program = pending?.request.argv[0] ?? 'a program';
    const cwd = pending?.request.cwd ?? '';
    const stages = [
      `The request to start ${program} was malformed (${code}).`,
      `The sandbox has no room for another process (${code}). End some, or raise its limits.`,
      `Cannot enter ${cwd} in the sandbox (${code}). Choose another working directory.`,
      `Cannot run ${program} in the sandbox (${code}). Check that it is installed there and may be executed.`,
    ];
    const words = stages[frame.payload.readUInt32LE(4)] ?? `The command failed (${code}).`;
    pending?.reject(new TurntableError('sandboxFailed', words));
  }
}

function errorName(number: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === number) return name;
  return `error ${number}`;
}
