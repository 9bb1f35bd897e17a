/**
 * The model endpoint of one sandbox: an HTTP server on a unix socket that passes every request to the configured provider, at once
 * and unchanged, and passes the reply back byte for byte. On the side it reads copies: which requests are turn boundaries, and what
 * the model said. It may hold the first byte of a reply back, never alter one. It knows no sessions and no checkpoints.
 */

import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { dirname } from 'node:path';

import type { Logger } from '../log.ts';
import type { Conversation } from '../protocol/state.ts';
import { BoundaryTracker } from './boundaries.ts';
import type { Arrival, Exchange } from './boundaries.ts';
import type { ModelEndpoint, ModelEndpointHooks, Upstream, WireFormat } from './model-endpoint.ts';
import { waitUntilSafe } from './reply-gate.ts';
import { ReplyTap } from './reply-tap.ts';
import { decodeRequestBody, RequestTooLarge } from './request-body.ts';
import { createUpstreamPool, isStaleConnection, replyHead, UpstreamSilent } from './upstream-connection.ts';
import type { UpstreamPool } from './upstream-connection.ts';
import { hasCredentials, replyHeaders, upstreamHeaders, upstreamUrl } from './upstream-request.ts';
import { errorBody, formatOf, wireReaders } from './wire/wire-formats.ts';
import type { WireRequest } from './wire/wire-message.ts';

export interface ModelEndpointOptions {
  readonly socketPath: string;
  readonly upstream: Upstream;
  readonly hooks: ModelEndpointHooks;
  readonly logger: Logger;
  /** Longest a reply's first byte waits for a checkpoint. Some agents give up after 60 s. */
  readonly holdCapMs?: number;
  /** How long a provider may be silent before its reply's head, and between two pieces of it. */
  readonly silenceMs?: number;
  /** Largest request body passed on. */
  readonly maxRequestBytes?: number;
  /** Closes the endpoint. */
  readonly signal?: AbortSignal;
}

/** Listens on `socketPath` (made anew, owner only) and answers until closed. */
export async function createModelEndpoint(options: ModelEndpointOptions): Promise<ModelEndpoint> {
  const proxy = new ModelProxy(options);
  await proxy.listen();
  return proxy;
}

/** What is known of a request once its body was read; the reply waits for it. */
interface Understood {
  readonly arrival: Arrival;
  readonly wire: WireRequest | undefined;
}

class ModelProxy implements ModelEndpoint {
  readonly socketPath: string;
  readonly #options: Required<Omit<ModelEndpointOptions, 'signal'>>;
  readonly #pool: UpstreamPool = createUpstreamPool();
  readonly #server: http.Server;
  readonly #tracker: BoundaryTracker;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: ModelEndpointOptions) {
    this.socketPath = options.socketPath;
    this.#options = {
      holdCapMs: 50_000,
      silenceMs: 600_000,
      maxRequestBytes: 64 * 1024 * 1024,
      ...options,
    };
    this.#tracker = new BoundaryTracker((request) => this.#onBoundary(request));
    this.#server = http.createServer(
      { requestTimeout: 0, keepAliveTimeout: 600_000 },
      (request, response) => {
        void this.#serve(request, response).catch((error: unknown) => {
          this.#options.logger.error('a model request failed in the endpoint itself', { error });
          response.destroy();
        });
      },
    );
    options.signal?.addEventListener('abort', () => void this.close(), { once: true });
  }

  get pending(): number {
    return this.#tracker.pending;
  }

  async listen(): Promise<void> {
    mkdirSync(dirname(this.socketPath), { recursive: true });
    rmSync(this.socketPath, { force: true });
    this.#server.listen(this.socketPath);
    await once(this.#server, 'listening');
    chmodSync(this.socketPath, 0o600);
  }

  reset(): void {
    this.#tracker.reset();
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#closing.abort();
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
      this.#pool[Symbol.dispose]();
      rmSync(this.socketPath, { force: true });
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #onBoundary(request: Exchange['request']): Promise<void> {
    try {
      await this.#options.hooks.onBoundary(request);
    } catch (error) {
      this.#options.logger.error('a turn boundary failed; the reply goes on', {
        number: request.number,
        error,
      });
    }
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { upstream, maxRequestBytes } = this.#options;
    const [path, query] = splitTarget(request.url ?? '/');
    const format = formatOf(path, request.headers, this.#onlyFormat());
    const baseUrl = upstream.baseUrls[format];
    const refuse = (status: number, message: string): void => {
      request.resume();
      answerError(response, format, status, message);
    };
    if (!path.startsWith('/'))
      return refuse(400, 'The model endpoint takes plain requests, not proxy requests.');
    if (baseUrl === undefined) {
      return refuse(
        501,
        `No provider is configured for ${format} requests. Set the upstream base URL of ${format}, or choose an agent that speaks a configured format.`,
      );
    }
    if (Number(request.headers['content-length'] ?? 0) > maxRequestBytes) {
      return refuse(
        413,
        `The request is larger than ${maxRequestBytes} bytes. Start a new conversation or let the agent compact this one.`,
      );
    }

    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const url = upstreamUrl(baseUrl, path, query, hasCredentials(upstream, format));
    const method = request.method ?? 'GET';
    const headers = upstreamHeaders(request, upstream, format);
    const outgoing = this.#pool.open(url, method, headers);
    const head = replyHead(outgoing, this.#options.silenceMs);
    head.catch(() => {});
    gone.signal.addEventListener('abort', () => outgoing.destroy());

    let body: Buffer;
    try {
      body = await this.#passBody(request, outgoing);
    } catch (error) {
      outgoing.destroy();
      if (error instanceof RequestTooLarge) return refuse(413, error.message);
      response.destroy();
      return;
    }
    const understood = this.#understand(format, path, request.headers, body);
    let reply: http.IncomingMessage;
    try {
      reply = await head.catch((error: unknown) => {
        if (gone.signal.aborted || !isStaleConnection(outgoing, error)) throw error;
        const again = this.#pool.open(url, method, { ...headers, 'content-length': body.byteLength });
        gone.signal.addEventListener('abort', () => again.destroy());
        again.end(body);
        return replyHead(again, this.#options.silenceMs);
      });
    } catch (error) {
      await this.#fail(understood, response, format, url, error, gone.signal);
      return;
    }
    await this.#passReply(understood, format, reply, response, gone.signal);
  }

  /** Sends the body on as it comes and keeps a copy. */
  async #passBody(request: http.IncomingMessage, outgoing: http.ClientRequest): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    for await (const piece of request as AsyncIterable<Buffer>) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > this.#options.maxRequestBytes) throw new RequestTooLarge(this.#options.maxRequestBytes);
      pieces.push(piece);
      if (!outgoing.write(piece) && !outgoing.destroyed) {
        await Promise.race([once(outgoing, 'drain'), once(outgoing, 'close')]);
      }
    }
    outgoing.end();
    return Buffer.concat(pieces);
  }

  /** Reads the copy. What cannot be read is no boundary, and is passed like everything else. */
  #understand(format: WireFormat, path: string, headers: http.IncomingHttpHeaders, body: Buffer): Understood {
    try {
      if (body.byteLength === 0) return { arrival: { kind: 'side' }, wire: undefined };
      const text = decodeRequestBody(body, headers['content-encoding'], this.#options.maxRequestBytes);
      const wire = wireReaders[format].readRequest(path, headers, JSON.parse(text));
      if (wire === undefined) return { arrival: { kind: 'side' }, wire: undefined };
      const arrival = this.#tracker.arrive(format, wire);
      this.#options.logger.debug('model request', {
        kind: arrival.kind,
        format,
        path,
        messages: wire.messages.length,
      });
      return { arrival, wire };
    } catch (error) {
      this.#options.logger.warn('a model request could not be read; it is passed on but is no turn', {
        format,
        path,
        error,
      });
      return { arrival: { kind: 'side' }, wire: undefined };
    }
  }

  /** The provider could not be reached or said nothing. */
  async #fail(
    { arrival }: Understood,
    response: http.ServerResponse,
    format: WireFormat,
    url: URL,
    error: unknown,
    gone: AbortSignal,
  ): Promise<void> {
    const why = error instanceof Error ? error.message : String(error);
    const message = gone.aborted
      ? 'The agent closed the connection before the reply.'
      : `The model provider at ${url.origin} failed: ${why || 'connection refused'}. Check the upstream base URL and the network; the agent may try again.`;
    this.#report(arrival, { text: '', toolCalls: [], error: message }, false);
    if (gone.aborted) return;
    this.#options.logger.warn('the model provider failed', { origin: url.origin, error });
    if (arrival.kind !== 'side') await this.#hold(arrival, gone);
    if (!gone.aborted) answerError(response, format, error instanceof UpstreamSilent ? 504 : 502, message);
  }

  async #passReply(
    { arrival, wire }: Understood,
    format: WireFormat,
    reply: http.IncomingMessage,
    response: http.ServerResponse,
    gone: AbortSignal,
  ): Promise<void> {
    const isTurn = arrival.kind === 'boundary' || arrival.kind === 'resent';
    const tap =
      isTurn && wire !== undefined
        ? new ReplyTap(wireReaders[format].createReplyReader(wire), reply.statusCode ?? 0, reply.headers)
        : undefined;
    let reported = false;
    const report = (): void => {
      if (tap === undefined || reported) return;
      reported = true;
      this.#report(arrival, tap.conversation(), tap.answered);
    };

    const silence = setTimeout(() => {
      reply.destroy(new UpstreamSilent(`no data for ${Math.round(this.#options.silenceMs / 1000)} s`));
    }, this.#options.silenceMs);
    gone.addEventListener('abort', () => reply.destroy());
    const pieces = (reply as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    let readyAt: number | undefined;
    const first = pieces.next().finally(() => {
      readyAt = performance.now();
    });
    first.catch(() => {});

    try {
      if (arrival.kind !== 'side') {
        const { capped } = await this.#hold(arrival, gone);
        const heldMs = readyAt === undefined ? 0 : performance.now() - readyAt;
        if (isTurn && !gone.aborted) this.#released(arrival.exchange, heldMs, capped);
      }
      gone.throwIfAborted();
      response.writeHead(reply.statusCode ?? 502, reply.statusMessage, replyHeaders(reply));
      response.flushHeaders();
      for (let piece = await first; piece.done !== true; piece = await pieces.next()) {
        silence.refresh();
        tap?.feed(piece.value);
        // Before the agent can act on the last piece, so that what follows finds this request answered.
        if (tap?.final === true) report();
        if (!response.write(piece.value)) await once(response, 'drain', { signal: gone });
      }
      tap?.end();
      report();
      response.end();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      tap?.cut(
        gone.aborted
          ? 'The agent closed the connection in the middle of the reply.'
          : `The model provider broke off: ${why}.`,
        gone.aborted ? 'agent' : 'provider',
      );
      report();
      if (!gone.aborted) this.#options.logger.warn('a reply broke off', { error });
      reply.destroy();
      response.destroy();
    } finally {
      clearTimeout(silence);
    }
  }

  #hold(arrival: Exclude<Arrival, { kind: 'side' }>, gone: AbortSignal): Promise<{ capped: boolean }> {
    const safe = arrival.kind === 'parallel' ? arrival.safe : arrival.exchange.safe;
    if (arrival.kind !== 'parallel' && !arrival.exchange.isSafe) {
      this.#options.hooks.onWaiting?.(arrival.exchange.request);
    }
    return waitUntilSafe(safe, this.#options.holdCapMs, AbortSignal.any([gone, this.#closing.signal]));
  }

  /** Tells of the reply as soon as the boundary before it was dealt with, so that whoever listens knows the turn it belongs to. */
  #report(arrival: Arrival, conversation: Conversation, answered: boolean): void {
    if (arrival.kind !== 'boundary' && arrival.kind !== 'resent') return;
    const { exchange } = arrival;
    this.#tracker.settle(exchange, answered);
    const tell = (): void => {
      try {
        this.#options.hooks.onReply(exchange.request, conversation);
      } catch (error) {
        this.#options.logger.error('a reply could not be reported', { error });
      }
    };
    if (exchange.isSafe) tell();
    else void exchange.safe.then(tell);
  }

  #released(exchange: Exchange, heldMs: number, capped: boolean): void {
    if (capped)
      this.#options.logger.warn('a reply went on before its checkpoint was safe', {
        number: exchange.request.number,
      });
    try {
      this.#options.hooks.onReleased(exchange.request, heldMs, capped);
    } catch (error) {
      this.#options.logger.error('a release could not be reported', { error });
    }
  }

  /** Where a path tells nothing of its format, the first configured one is meant. */
  #onlyFormat(): WireFormat {
    const order: readonly WireFormat[] = ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini'];
    return order.find((format) => this.#options.upstream.baseUrls[format] !== undefined) ?? 'openai-chat';
  }
}

function splitTarget(target: string): [path: string, query: string] {
  const at = target.indexOf('?');
  return at === -1 ? [target, ''] : [target.slice(0, at), target.slice(at)];
}

function answerError(
  response: http.ServerResponse,
  format: WireFormat,
  status: number,
  message: string,
): void {
  const body = errorBody(format, status, message);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
