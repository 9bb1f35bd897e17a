/**
 * One client: its place in the protocol (hello or not yet, subscribed or not), its requests in flight, and the bounded
 * queue towards it. The one catch boundary of every request is here. Must not know how the client got in.
 */

import { z } from 'zod';
import type { RawData, WebSocket } from 'ws';
import type { Logger } from '../log.ts';
import { errorCodes, TurntableError } from '../protocol/errors.ts';
import { parseRequestFrame, type RequestFrame } from '../protocol/frames.ts';
import { isMethodName, methods, type MethodName, type ParamsOf, type ResultOf } from '../protocol/methods.ts';
import type { NotificationName, NotificationParams } from '../protocol/notifications.ts';
import { limits } from '../protocol/state.ts';
import { negotiateVersion, protocolVersion } from '../protocol/version.ts';
import type { HandledMethod, Handlers, RequestContext } from './handlers.ts';
import type { StateFeed } from './state-feed.ts';

export interface ConnectionLimits {
  /** A client that has more than this unsent when the next frame is due is cut with `overloaded`. */
  readonly queuedBytes: number;
  readonly requestsInFlight: number;
  /** How long a connection may stay silent before `hello`. */
  readonly helloTimeoutMs: number;
  /** How long a client that was told to go may take to read why. */
  readonly closeTimeoutMs: number;
}

export interface ConnectionOptions {
  readonly id: string;
  readonly socket: WebSocket;
  readonly handlers: Handlers;
  readonly feed: StateFeed;
  readonly helperVersion: string;
  /** Set when the token must come in `hello`. */
  readonly checkToken: ((token: string) => boolean) | undefined;
  readonly limits: ConnectionLimits;
  readonly logger: Logger;
}

/** WebSocket close codes (RFC 6455, section 7.4.1) that we use. */
export const closeCodes = {
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  policy: 1008,
  tryAgainLater: 1013,
} as const;

type RequestId = RequestFrame['id'];

export class Connection {
  readonly id: string;
  readonly #options: ConnectionOptions;
  readonly #socket: WebSocket;
  readonly #logger: Logger;
  readonly #inFlight = new Map<RequestId, AbortController>();
  readonly #closedSignal = new AbortController();
  #clientName: string | undefined;
  #subscribed = false;
  /** Told to go: nothing more is queued for it. */
  #leaving = false;
  #heard = true;
  readonly #helloTimer: NodeJS.Timeout;

  constructor(options: ConnectionOptions) {
    this.id = options.id;
    this.#options = options;
    this.#socket = options.socket;
    this.#logger = options.logger;
    this.#helloTimer = setTimeout(() => {
      this.#expel(
        new TurntableError('timedOut', 'No hello came: send it as the first frame.'),
        closeCodes.policy,
      );
    }, options.limits.helloTimeoutMs);
    this.#socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    this.#socket.on('pong', () => (this.#heard = true));
    this.#socket.on('error', (error) =>
      this.#logger.info('a client broke the WebSocket protocol', { error }),
    );
    this.#socket.on('close', () => this.#closed());
  }

  get subscribed(): boolean {
    return this.#subscribed;
  }

  /** Queues one finished frame, or cuts the client when too much is queued already. */
  send(text: string): void {
    if (this.#leaving || this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > this.#options.limits.queuedBytes) {
      this.#expel(
        new TurntableError(
          'overloaded',
          'This client reads too slowly: connect again and subscribe for a new snapshot.',
        ),
        closeCodes.tryAgainLater,
      );
      return;
    }
    this.#socket.send(text);
  }

  /** Call at a regular interval: a client that gave no sign of life since the last call is dropped. */
  checkAlive(): void {
    if (!this.#heard) {
      this.#logger.info('dropped a client that no longer answers pings');
      this.#socket.terminate();
      return;
    }
    this.#heard = false;
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  /** Says goodbye; the connection ends soon, whether the client reads it or not. */
  close(code: number, reason: string): void {
    this.#leaving = true;
    this.#subscribed = false;
    this.#socket.close(code, reason);
    setTimeout(() => this.#socket.terminate(), this.#options.limits.closeTimeoutMs).unref();
  }

  #expel(error: TurntableError, code: number): void {
    if (this.#leaving || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#logger.info('expelled a client', { error: error.code, message: error.message });
    this.#socket.send(errorFrame(null, error));
    this.close(code, error.code);
  }

  #closed(): void {
    this.#leaving = true;
    this.#subscribed = false;
    clearTimeout(this.#helloTimer);
    this.#closedSignal.abort();
    for (const request of this.#inFlight.values()) request.abort();
    this.#logger.debug('a client is gone', { name: this.#clientName });
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#heard = true;
    if (this.#leaving) return;
    if (isBinary) {
      this.#expel(
        new TurntableError('invalidRequest', 'Frames are text: binary ones are not understood.'),
        closeCodes.unsupportedData,
      );
      return;
    }
    let frame: RequestFrame;
    try {
      frame = parseRequestFrame(rawText(data));
    } catch (error) {
      this.send(errorFrame(null, this.#forClient('frame', error)));
      return;
    }
    this.#answer(frame);
  }

  /** The catch boundary: whatever a request does, exactly one response leaves, and nothing else is disturbed. */
  #answer(frame: RequestFrame): void {
    try {
      const method = this.#admittedMethod(frame.method);
      // The server's own answers leave in this very tick: no action may get between a snapshot and its number.
      if (method === 'hello') this.#reply(frame, this.#hello(parseParams(method, frame)));
      else if (method === 'subscribe') this.#reply(frame, this.#subscribe(parseParams(method, frame)));
      else if (method === 'request/cancel') this.#reply(frame, this.#cancel(parseParams(method, frame)));
      else {
        this.#handle(method, frame)
          .then((result) => this.#reply(frame, result))
          .catch((error: unknown) => this.#fail(frame, error));
      }
    } catch (error) {
      this.#fail(frame, error);
    }
  }

  #reply(frame: RequestFrame, result: unknown): void {
    const text = JSON.stringify({ jsonrpc: '2.0', id: frame.id, result });
    if (Buffer.byteLength(text) > limits.helperFrameBytes) {
      throw new TurntableError(
        'frameTooLarge',
        `The answer to "${frame.method}" is larger than ${limits.helperFrameBytes} bytes: ask for less.`,
      );
    }
    this.send(text);
  }

  #fail(frame: RequestFrame, error: unknown): void {
    this.send(errorFrame(frame.id, this.#forClient(frame.method, error)));
    if (error instanceof ExpellingError) this.close(closeCodes.policy, error.reason.code);
  }

  #admittedMethod(method: string): MethodName {
    if (this.#clientName === undefined && method !== 'hello') {
      throw new TurntableError(
        'outOfOrder',
        'Say hello first: the first request of a connection is "hello".',
      );
    }
    if (!isMethodName(method)) {
      throw new TurntableError(
        'methodNotFound',
        `This helper (${this.#options.helperVersion}) knows no "${method}": update it if you need that.`,
      );
    }
    return method;
  }

  #hello({ client, protocol, token }: ParamsOf<'hello'>): ResultOf<'hello'> {
    if (this.#clientName !== undefined) {
      throw new TurntableError('outOfOrder', 'Hello was said already: it comes once, as the first request.');
    }
    if (this.#options.checkToken && (token === undefined || !this.#options.checkToken(token))) {
      throw new ExpellingError(
        new TurntableError(
          'unauthorized',
          'A TCP connection needs the token: send it as "Authorization: Bearer …".',
        ),
      );
    }
    const version = negotiateVersion(protocol);
    if (version === undefined) {
      const older = protocol.current < protocolVersion.minimum ? 'client' : 'helper';
      throw new ExpellingError(
        new TurntableError(
          'versionMismatch',
          `The client speaks protocol ${protocol.minimum} to ${protocol.current}, this helper (${this.#options.helperVersion}) ` +
            `${protocolVersion.minimum} to ${protocolVersion.current}: update the ${older}.`,
          { data: { ...protocolVersion, helperVersion: this.#options.helperVersion, update: older } },
        ),
      );
    }
    this.#clientName = client.name;
    clearTimeout(this.#helloTimer);
    this.#logger.debug('a client said hello', { name: client.name, version: client.version });
    return { protocol: version, helperVersion: this.#options.helperVersion, helperPid: process.pid };
  }

  #subscribe(_params: ParamsOf<'subscribe'>): ResultOf<'subscribe'> {
    this.#subscribed = true;
    return { sequence: this.#options.feed.sequence, state: this.#options.feed.state };
  }

  #cancel({ id }: ParamsOf<'request/cancel'>): ResultOf<'request/cancel'> {
    // A request that is answered already is not an error: the two crossed on the way.
    this.#inFlight.get(id)?.abort();
    return {};
  }

  async #handle(method: HandledMethod, frame: RequestFrame): Promise<unknown> {
    if (this.#inFlight.has(frame.id)) {
      throw new TurntableError(
        'invalidRequest',
        `Request ${frame.id} is still being worked on: use a new id.`,
      );
    }
    if (this.#inFlight.size >= this.#options.limits.requestsInFlight) {
      throw new TurntableError(
        'overloaded',
        `${this.#options.limits.requestsInFlight} requests of this client are in work: wait for an answer first.`,
      );
    }
    const params = parseParams(method, frame);
    const abort = new AbortController();
    this.#inFlight.set(frame.id, abort);
    try {
      // The table is total by its mapped type; TypeScript cannot correlate the union on its own.
      const handler = this.#options.handlers[method] as (
        params: unknown,
        context: RequestContext,
      ) => Promise<unknown>;
      const result = methods[method].result.safeParse(await handler(params, this.#context(abort.signal)));
      if (!result.success) {
        throw new Error(`the result of "${method}" breaks the protocol: ${z.prettifyError(result.error)}`);
      }
      return result.data;
    } catch (error) {
      if (abort.signal.aborted && isAbort(error)) {
        throw new TurntableError('cancelled', `"${method}" was cancelled.`, { cause: error });
      }
      throw error;
    } finally {
      this.#inFlight.delete(frame.id);
    }
  }

  #context(signal: AbortSignal): RequestContext {
    return {
      clientId: this.id,
      clientName: this.#clientName ?? '',
      signal,
      clientClosed: this.#closedSignal.signal,
      notify: (name, params) => this.send(notificationFrame(name, params)),
    };
  }

  /** What a client may see of an error: our own in full, anything else without its text. */
  #forClient(method: string, error: unknown): TurntableError {
    if (error instanceof ExpellingError) return error.reason;
    if (error instanceof TurntableError) {
      if (error.code === 'internal')
        this.#logger.error('a request failed', { method, error, stack: error.stack });
      return error;
    }
    this.#logger.error('a request failed unexpectedly', {
      method,
      error,
      ...(error instanceof Error && { stack: error.stack }),
    });
    return new TurntableError('internal', `The helper failed at "${method}": its log says why.`);
  }
}

/** A reason to end the connection once its request is answered. */
class ExpellingError extends Error {
  readonly reason: TurntableError;
  constructor(reason: TurntableError) {
    super(reason.message);
    this.reason = reason;
  }
}

/** The text of a notification frame. */
export function notificationFrame<Name extends NotificationName>(
  name: Name,
  params: NotificationParams<Name>,
): string {
  return JSON.stringify({ jsonrpc: '2.0', method: name, params });
}

function errorFrame(id: RequestId | null, error: TurntableError): string {
  return JSON.stringify({
    jsonrpc: '2.0',
    id,
    error: { code: errorCodes[error.code], message: error.message, ...(error.data && { data: error.data }) },
  });
}

function parseParams<Name extends MethodName>(method: Name, frame: RequestFrame): ParamsOf<Name> {
  const parsed = methods[method].params.safeParse(frame.params ?? {});
  if (!parsed.success) {
    throw new TurntableError(
      'invalidParams',
      `Bad parameters for "${method}": ${z.prettifyError(parsed.error)}`,
    );
  }
  // The schema looked up by `method` is the one ParamsOf<Name> is inferred from.
  return parsed.data as ParamsOf<Name>;
}

function rawText(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return Buffer.isBuffer(data) ? data.toString('utf8') : Buffer.from(data).toString('utf8');
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
