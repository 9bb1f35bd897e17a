/**
 * The client's half of the protocol, over anything that carries text frames: used by the CLI and the VS Code
 * extension. Owns hello, request/response matching, and a mirror of the helper's state kept by the shared reducer.
 * Must not know how the socket was opened, nor when to reconnect: a closed client stays closed, the caller makes
 * a new one and its `subscribe` brings a fresh snapshot.
 */

import { z } from 'zod';
import type { Action } from './actions.ts';
import { errorNameOf, TurntableError } from './errors.ts';
import { parseHelperFrame, type NotificationFrame, type ResponseFrame } from './frames.ts';
import { methods, type MethodName, type ParamsOf, type ResultOf } from './methods.ts';
import {
  isNotificationName,
  notifications,
  type NotificationName,
  type NotificationParams,
} from './notifications.ts';
import { reduce } from './reducer.ts';
import { limits, type RootState } from './state.ts';
import { protocolVersion } from './version.ts';

/** What the client needs of a transport: an open socket that carries one text frame per message, in order. */
export interface FrameSocket {
  send(text: string): void;
  close(): void;
  /** Called once, before any frame may be lost: adapters buffer or attach synchronously. */
  onMessage(listener: (text: string) => void): void;
  /** Called once; the listener runs when the socket is closed by either side, with a reason when there is one. */
  onClose(listener: (reason?: string) => void): void;
}

export interface ClientIdentity {
  /** Shown to other clients as the answerer of an approval, for example "turntable-cli". */
  name: string;
  version: string;
  /** Only for TCP transports that cannot set a header. */
  token?: string;
}

export interface RequestOptions {
  /** Aborting rejects the request with `cancelled` and tells the helper. */
  signal?: AbortSignal;
  /** Rejects with `timedOut` and tells the helper; no limit when absent. */
  timeoutMs?: number;
}

/** `action` is absent when the state was replaced by a snapshot. */
export type StateListener = (state: RootState, action?: Action) => void;

export interface StateSubscription {
  /** The newest state this client knows. */
  readonly state: RootState;
  /** Stops the calls of this listener. */
  close(): void;
}

export interface Client {
  /** The negotiated version and who the helper is. */
  readonly hello: ResultOf<'hello'>;
  readonly closed: boolean;
  /** Errors are TurntableErrors with the helper's code; a lost connection rejects with `helperNotRunning`. */
  request<Name extends MethodName>(
    method: Name,
    params: ParamsOf<Name>,
    options?: RequestOptions,
  ): Promise<ResultOf<Name>>;
  /**
   * Calls `onState` with the snapshot before it resolves, then after every action. A gap in the numbers makes the
   * client fetch a new snapshot on its own. Many listeners share one mirror.
   */
  subscribe(onState: StateListener): Promise<StateSubscription>;
  /** Returns a function that stops the calls. */
  onNotification<Name extends NotificationName>(
    name: Name,
    listener: (params: NotificationParams<Name>) => void,
  ): () => void;
  /** Runs once when the connection is gone; at once if it already is. `error` says why, unless `close()` was called. */
  onClose(listener: (error?: TurntableError) => void): () => void;
  close(): void;
}

const helloTimeoutMs = 10_000;

/** Says hello over an open socket. Throws `versionMismatch`, `unauthorized`, `timedOut`, `helperNotRunning`. */
export async function connectClient(socket: FrameSocket, identity: ClientIdentity): Promise<Client> {
  const connection = new Connection(socket);
  try {
    const hello = await connection.request(
      'hello',
      {
        client: { name: identity.name, version: identity.version },
        protocol: { minimum: protocolVersion.minimum, current: protocolVersion.current },
        token: identity.token,
      },
      { timeoutMs: helloTimeoutMs },
    );
    if (hello.protocol < protocolVersion.minimum || hello.protocol > protocolVersion.current) {
      throw new TurntableError(
        'versionMismatch',
        `The helper (${hello.helperVersion}) chose protocol ${hello.protocol}, which this client does not speak: update the ${
          hello.protocol < protocolVersion.minimum ? 'helper' : 'client'
        }.`,
      );
    }
    return new ConnectedClient(connection, hello);
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Called in the order of the frames, synchronously: a frame that follows a reply must find its effects in place. */
interface Pending {
  method: MethodName;
  resolve(result: unknown): void;
  reject(error: TurntableError): void;
}

/** Matches replies to requests and hands out notifications; knows nothing of state. */
class Connection {
  readonly #socket: FrameSocket;
  readonly #pending = new Map<number, Pending>();
  readonly #closeListeners = new Set<(error?: TurntableError) => void>();
  readonly #notificationListeners = new Map<NotificationName, Set<(params: unknown) => void>>();
  #nextId = 1;
  #closed = false;
  #closeError: TurntableError | undefined;

  constructor(socket: FrameSocket) {
    this.#socket = socket;
    socket.onMessage((text) => this.#receive(text));
    socket.onClose((reason) => {
      this.#finish(
        this.#closeError ??
          new TurntableError(
            'helperNotRunning',
            `The connection to the helper was lost${reason ? ` (${reason})` : ''}: check that it runs (turntable doctor), then try again.`,
          ),
      );
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  request<Name extends MethodName>(
    method: Name,
    params: ParamsOf<Name>,
    options: RequestOptions = {},
    onResult?: (result: ResultOf<Name>) => void,
  ): Promise<ResultOf<Name>> {
    const { promise, resolve, reject } = Promise.withResolvers<ResultOf<Name>>();
    if (this.#closed) {
      reject(
        this.#closeError ??
          new TurntableError('helperNotRunning', 'This connection is closed: connect again.'),
      );
      return promise;
    }
    if (options.signal?.aborted) {
      reject(cancelled(method));
      return promise;
    }
    const id = this.#nextId++;
    const text = JSON.stringify({ jsonrpc: '2.0', id, method, params });
    // UTF-8 takes at most three bytes for one UTF-16 unit: most frames need no count.
    if (text.length * 3 > limits.frameBytes && new TextEncoder().encode(text).length > limits.frameBytes) {
      reject(
        new TurntableError(
          'frameTooLarge',
          `"${method}" would need more than ${limits.frameBytes} bytes: send less at once.`,
        ),
      );
      return promise;
    }
    const giveUp = (error: TurntableError): void => {
      if (!this.#pending.delete(id)) return;
      release();
      reject(error);
      if (method !== 'hello') this.#tellCancelled(id);
    };
    const onAbort = (): void => giveUp(cancelled(method));
    const { timeoutMs } = options;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            giveUp(
              new TurntableError('timedOut', `The helper did not answer "${method}" within ${timeoutMs} ms.`),
            );
          }, timeoutMs);
    const release = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(id, {
      method,
      resolve: (result) => {
        release();
        const parsed = methods[method].result.safeParse(result);
        if (!parsed.success) {
          reject(
            new TurntableError(
              'internal',
              `The helper's answer to "${method}" is not what protocol ${protocolVersion.current} says: update the older side. ${z.prettifyError(parsed.error)}`,
            ),
          );
          return;
        }
        // The schema looked up by `method` is the one ResultOf<Name> is inferred from.
        const typed = parsed.data as ResultOf<Name>;
        onResult?.(typed);
        resolve(typed);
      },
      reject: (error) => {
        release();
        reject(error);
      },
    });
    this.#socket.send(text);
    return promise;
  }

  onNotification<Name extends NotificationName>(
    name: Name,
    listener: (params: NotificationParams<Name>) => void,
  ): () => void {
    const listeners = this.#notificationListeners.get(name) ?? new Set();
    this.#notificationListeners.set(name, listeners);
    // Only #notify calls it, with params parsed by the schema of this very name.
    const untyped = listener as (params: unknown) => void;
    listeners.add(untyped);
    return () => void listeners.delete(untyped);
  }

  onClose(listener: (error?: TurntableError) => void): () => void {
    if (this.#closed) {
      listener(this.#closeError);
      return () => {};
    }
    this.#closeListeners.add(listener);
    return () => void this.#closeListeners.delete(listener);
  }

  close(): void {
    if (this.#closed) return;
    this.#finish(undefined);
    this.#socket.close();
  }

  /** Ends a connection whose peer no longer makes sense. */
  fail(error: TurntableError): void {
    this.#finish(error);
    this.#socket.close();
  }

  #receive(text: string): void {
    if (this.#closed) return;
    try {
      const frame = parseHelperFrame(text);
      if ('method' in frame) this.#notify(frame);
      else this.#settle(frame);
    } catch (cause) {
      this.fail(
        cause instanceof TurntableError
          ? cause
          : new TurntableError('internal', 'A listener of this client failed: reconnect.', { cause }),
      );
    }
  }

  #settle(frame: ResponseFrame): void {
    const error = 'error' in frame ? errorFromFrame(frame.error) : undefined;
    if (frame.id === null) {
      // Not the answer to one request: the helper says why it is about to close, so keep it for the listeners.
      this.#closeError = error;
      return;
    }
    const pending = typeof frame.id === 'number' ? this.#pending.get(frame.id) : undefined;
    // A reply to a request that was given up is late, not wrong.
    if (!pending || typeof frame.id !== 'number') return;
    this.#pending.delete(frame.id);
    if (error) pending.reject(error);
    else if ('result' in frame) pending.resolve(frame.result);
  }

  #notify(frame: NotificationFrame): void {
    // A name from a newer helper is skipped: notifications are additive within a version.
    if (!isNotificationName(frame.method)) return;
    const params = notifications[frame.method].safeParse(frame.params);
    if (!params.success) {
      throw new TurntableError(
        'invalidRequest',
        `The helper sent a "${frame.method}" this client cannot read: update the older side. ${z.prettifyError(params.error)}`,
      );
    }
    for (const listener of this.#notificationListeners.get(frame.method) ?? []) listener(params.data);
  }

  #tellCancelled(requestId: number): void {
    if (this.#closed) return;
    const id = this.#nextId++;
    const ignore = (): void => {};
    this.#pending.set(id, { method: 'request/cancel', resolve: ignore, reject: ignore });
    this.#socket.send(
      JSON.stringify({ jsonrpc: '2.0', id, method: 'request/cancel', params: { id: requestId } }),
    );
  }

  #finish(error: TurntableError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeError = error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const each of pending) each.reject(error ?? cancelled(each.method));
    const listeners = [...this.#closeListeners];
    this.#closeListeners.clear();
    for (const listener of listeners) listener(error);
  }
}

class ConnectedClient implements Client {
  readonly hello: ResultOf<'hello'>;
  readonly #connection: Connection;
  readonly #mirror: StateMirror;

  constructor(connection: Connection, hello: ResultOf<'hello'>) {
    this.hello = hello;
    this.#connection = connection;
    this.#mirror = new StateMirror(connection);
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  request<Name extends MethodName>(
    method: Name,
    params: ParamsOf<Name>,
    options?: RequestOptions,
  ): Promise<ResultOf<Name>> {
    return this.#connection.request(method, params, options);
  }

  subscribe(onState: StateListener): Promise<StateSubscription> {
    return this.#mirror.subscribe(onState);
  }

  onNotification<Name extends NotificationName>(
    name: Name,
    listener: (params: NotificationParams<Name>) => void,
  ): () => void {
    return this.#connection.onNotification(name, listener);
  }

  onClose(listener: (error?: TurntableError) => void): () => void {
    return this.#connection.onClose(listener);
  }

  close(): void {
    this.#connection.close();
  }
}

/** The helper's state as this client knows it: a snapshot, then numbered actions without a gap. */
class StateMirror {
  readonly #connection: Connection;
  readonly #listeners = new Set<StateListener>();
  #current: { sequence: number; state: RootState } | undefined;
  #snapshot: Promise<unknown> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.onNotification('state/action', ({ sequence, action }) => this.#apply(sequence, action));
  }

  async subscribe(onState: StateListener): Promise<StateSubscription> {
    if (!this.#current) await this.#fetch();
    const listener: StateListener = (state, action) => onState(state, action);
    this.#listeners.add(listener);
    const known = (): RootState => {
      if (!this.#current) throw new TurntableError('internal', 'Subscribed without a snapshot: reconnect.');
      return this.#current.state;
    };
    onState(known());
    return {
      get state() {
        return known();
      },
      close: () => void this.#listeners.delete(listener),
    };
  }

  #fetch(): Promise<unknown> {
    this.#snapshot ??= this.#connection
      .request('subscribe', {}, {}, (snapshot) => {
        // Here, not after an await: the next action may be in the same chunk of bytes.
        this.#current = snapshot;
        this.#snapshot = undefined;
        for (const listener of [...this.#listeners]) listener(snapshot.state);
      })
      .catch((error: unknown) => {
        this.#snapshot = undefined;
        throw error;
      });
    return this.#snapshot;
  }

  #apply(sequence: number, action: Action): void {
    const current = this.#current;
    // Before the first snapshot: it will hold this action.
    if (!current || sequence <= current.sequence) return;
    if (sequence !== current.sequence + 1) {
      this.#fetch().catch((cause: unknown) => {
        if (cause instanceof TurntableError) this.#connection.fail(cause);
      });
      return;
    }
    const state = reduce(current.state, action);
    this.#current = { sequence, state };
    for (const listener of [...this.#listeners]) listener(state, action);
  }
}

function errorFromFrame(error: {
  code: number;
  message: string;
  data?: Record<string, unknown> | undefined;
}): TurntableError {
  return new TurntableError(errorNameOf(error.code), error.message, error.data ? { data: error.data } : {});
}

function cancelled(method: string): TurntableError {
  return new TurntableError('cancelled', `"${method}" was cancelled.`);
}
