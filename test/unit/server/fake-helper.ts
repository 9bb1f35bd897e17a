/** A real server with made-up work behind it: the seam for tests of the server, the client and the CLI. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { createLogger } from '../../../host-helper/log.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import { emptyState } from '../../../host-helper/protocol/reducer.ts';
import type {
  Approval,
  Checkpoint,
  Effects,
  RootState,
  SessionState,
  Turn,
} from '../../../host-helper/protocol/state.ts';
import type { Handlers } from '../../../host-helper/server/handlers.ts';
import {
  createServer,
  type HelperServer,
  type ServerLimits,
  type ServerOptions,
} from '../../../host-helper/server/server.ts';

export interface FakeHelper extends AsyncDisposable {
  readonly server: HelperServer;
  readonly socketPath: string;
  readonly directory: string;
  /** What the server logged. */
  readonly log: string[];
}

export async function startFakeHelper(
  options: {
    handlers?: Partial<Handlers>;
    state?: RootState;
    limits?: Partial<ServerLimits>;
    tcp?: Omit<NonNullable<ServerOptions['tcp']>, 'tokenFile'>;
  } = {},
): Promise<FakeHelper> {
  const directory = await mkdtemp(join(tmpdir(), 'tt-server-'));
  const socketPath = join(directory, 'helper.sock');
  const log: string[] = [];
  const server = await createServer({
    socketPath,
    handlers: fakeHandlers(options.handlers),
    initialState: options.state ?? emptyState('0.1.0-test', 1_000),
    ...(options.limits && { limits: options.limits }),
    ...(options.tcp && { tcp: { ...options.tcp, tokenFile: join(directory, 'token') } }),
    logger: createLogger((line) => log.push(line), 'debug'),
  });
  return {
    server,
    socketPath,
    directory,
    log,
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Every method refuses, but those given. */
export function fakeHandlers(given: Partial<Handlers> = {}): Handlers {
  const handlers: Partial<Handlers> = given;
  // A proxy instead of thirty lines: the table is only ever asked by method name.
  return new Proxy(handlers, {
    get: (target, name: keyof Handlers) =>
      target[name] ??
      (() => Promise.reject(new TurntableError('unsupportedHost', `The fake has no "${name}".`))),
  }) as Handlers;
}

/** A socket that sends what it is told, valid or not, and keeps what it gets. */
export class RawClient implements Disposable {
  readonly socket: WebSocket;
  readonly received: unknown[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => {
      this.received.push(JSON.parse(String(data)));
      this.#wake();
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#wake();
    });
    socket.on('error', () => {});
  }

  static async open(socketPath: string): Promise<RawClient> {
    return RawClient.over(new WebSocket('ws://localhost/', { createConnection: () => connect(socketPath) }));
  }

  static async over(socket: WebSocket): Promise<RawClient> {
    const client = new RawClient(socket);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return client;
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  hello(): Promise<unknown> {
    return this.ask(
      'hello',
      { client: { name: 'raw', version: '1' }, protocol: { minimum: 1, current: 1 } },
      'hello',
    );
  }

  ask(method: string, params: unknown, id: string | number): Promise<unknown> {
    this.send({ jsonrpc: '2.0', id, method, params });
    return this.until(
      (frame) => typeof frame === 'object' && frame !== null && 'id' in frame && frame.id === id,
    );
  }

  /** The first frame, from the first on, that `wanted` takes. */
  async until(wanted: (frame: unknown) => boolean): Promise<unknown> {
    for (;;) {
      const found = this.received.find(wanted);
      if (found !== undefined) return found;
      if (this.closed) throw new Error(`closed (${this.closed.code}) before the frame came`);
      await this.#change();
    }
  }

  async untilClosed(): Promise<{ code: number; reason: string }> {
    while (!this.closed) await this.#change();
    return this.closed;
  }

  [Symbol.dispose](): void {
    this.socket.terminate();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

export function aSession(over: Partial<SessionState> = {}): SessionState {
  return {
    id: 's-abcdefgh',
    title: 'Mend the parser',
    workspace: '/home/ada/project',
    mount: '/var/lib/turntable/sessions/s-abcdefgh/workspace',
    status: 'running',
    agent: { name: 'pi', status: 'thinking' },
    createdAt: 10_000,
    head: 0,
    turns: [aTurn({ id: 0, parent: null, kind: 'start', label: 'start' })],
    degraded: [],
    bytesStored: 0,
    ...over,
  };
}

export function aTurn(over: Partial<Turn> = {}): Turn {
  return {
    id: 1,
    parent: 0,
    kind: 'agent',
    state: 'closed',
    label: 'edit',
    startedAt: 20_000,
    endedAt: 21_500,
    ...over,
  };
}

export function someEffects(over: Partial<Effects> = {}): Effects {
  return {
    files: { added: 0, changed: 0, removed: 0, entries: [], truncated: false },
    processes: { survivors: [], executed: [], executedCount: 0 },
    network: [],
    uncertain: [],
    droppedEvents: 0,
    ...over,
  };
}

export function aCheckpoint(over: Partial<Checkpoint> = {}): Checkpoint {
  return {
    id: 'c-1',
    restorable: true,
    reason: 'files changed, nothing survived',
    reused: false,
    hasProcesses: false,
    bytesStored: 4_321,
    inspectMs: 2,
    filesMs: 11,
    processesMs: 0,
    heldMs: 0,
    ...over,
  };
}

export function anApproval(over: Partial<Approval> = {}): Approval {
  return {
    id: 'a-xyzuvwst',
    sessionId: 's-abcdefgh',
    turn: 1,
    askedAt: 30_000,
    expiresAt: 90_000,
    rule: 'ask before git push',
    subject: {
      kind: 'exec',
      program: '/usr/bin/git',
      argv: ['git', 'push'],
      cwd: '/home/ada/project',
      pid: 12,
    },
    state: 'pending',
    ...over,
  };
}
