/**
 * The one way out of a sandbox besides its model endpoint: an HTTP proxy on a Unix socket. CONNECT tunnels and plain
 * HTTP; every host and port is decided by the authority before its name is even looked up (a look-up leaks, too).
 * It never connects to an address of the host or its network, and connects to the very address it has checked.
 *
 * What passes through an allowed tunnel is not looked at: an allowed host can be sent anything.
 */

import { lookup } from 'node:dns/promises';
import { chmod } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Logger } from '../log.ts';
import type { ReachedHost } from '../protocol/state.ts';
import { isPublicAddress } from './addresses.ts';
import type { Authority } from './authority.ts';
import { Refusal, refusalBody, refusalOf, refuseRaw } from './egress-refusal.ts';
import { forwardableHeaders, parseAbsoluteUrl, parseTarget, type Target } from './egress-request.ts';
import { collectEarly, createMeter } from './egress-streams.ts';
import {
  connectThroughProxy,
  connectToProxy,
  isExcepted,
  opened,
  type OuterProxy,
  type OuterProxies,
} from './outer-proxy.ts';

export interface EgressProxyOptions {
  /** Created with `socketMode` (default 0600); must not exist. */
  readonly socketPath: string;
  readonly socketMode?: number;
  readonly sessionId: string;
  /** The open turn. */
  readonly turn: () => number;
  readonly authority: Pick<Authority, 'decideNetwork' | 'networkRefused' | 'egress'>;
  /** Once per request or tunnel, with `count: 1`. */
  readonly onReached: (reached: ReachedHost) => void;
  readonly logger: Logger;
  /** Defaults: what the authority was given. */
  readonly allowPrivate?: readonly string[];
  readonly outerProxies?: OuterProxies;
  /** For tests. Default: the host's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Default 15 s, per address. */
  readonly connectTimeoutMs?: number;
  /** A tunnel or reply over which nothing moves is closed. Default 10 min. */
  readonly idleTimeoutMs?: number;
  /** Default 128 connections of the sandbox at once; more are refused with 503. */
  readonly maxConnections?: number;
  /** Of one tunnel or request, both ways together. Default 16 GiB. */
  readonly maxBytes?: number;
}

export interface EgressProxy extends AsyncDisposable {
  readonly socketPath: string;
  /** What was asked for since the last call, counted per host, port, method and outcome. */
  takeReached(): ReachedHost[];
  /** Cuts every connection and removes the socket. */
  close(): Promise<void>;
}

const distinctHostsLimit = 1000;

/** Starts listening. Rejects when the socket cannot be made. */
export async function createEgressProxy(options: EgressProxyOptions): Promise<EgressProxy> {
  const {
    authority,
    logger,
    sessionId,
    turn,
    connectTimeoutMs = 15_000,
    idleTimeoutMs = 600_000,
    maxConnections = 128,
    maxBytes = 16 * 1024 ** 3,
  } = options;
  const allowPrivate = new Set(
    (options.allowPrivate ?? authority.egress.allowPrivate).map((entry) => entry.toLowerCase()),
  );
  const outer = options.outerProxies ?? authority.egress.outerProxies;
  const resolve =
    options.resolve ??
    (async (host: string) =>
      (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address));
  const sockets = new Set<Duplex>();
  let reached = new Map<string, ReachedHost>();

  const track = <T extends Duplex>(socket: T): T => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    return socket;
  };

  const count = (target: Target, method: string, allowed: boolean): void => {
    const one: ReachedHost = { host: target.host, port: target.port, method, count: 1, allowed };
    const key = `${method} ${target.host} ${target.port} ${allowed}`;
    const before = reached.get(key);
    if (before || reached.size < distinctHostsLimit)
      reached.set(key, { ...one, count: (before?.count ?? 0) + 1 });
    options.onReached(one);
  };

  const isExplicit = ({ host, port }: Target): boolean =>
    allowPrivate.has(`${host}:${port}`) || allowPrivate.has(`[${host}]:${port}`);

  /** Asks the authority; throws a Refusal. */
  const admit = async (target: Target, method: string, signal: AbortSignal): Promise<void> => {
    const ask = { sessionId, turn: turn(), host: target.host, port: target.port, method };
    if (
      !isExplicit(target) &&
      ((isIP(target.host) !== 0 && !isPublicAddress(target.host)) || isLocalName(target.host))
    ) {
      const reason =
        'It names this host or a private network, which a sandbox may not reach. A person can add it to "allowPrivate" in the rule file.';
      authority.networkRefused(ask, reason);
      count(target, method, false);
      throw new Refusal(403, reason);
    }
    const decision = await authority.decideNetwork({ ...ask, signal });
    if (decision.allowed) return;
    count(target, method, false);
    throw new Refusal(
      403,
      `${decision.reason}${decision.rule ? ` (rule ${decision.rule})` : ''} To go on, ask the developer to allow it in Turntable, then try again.`,
    );
  };

  const viaProxy = (proxy: OuterProxy | undefined, target: Target): OuterProxy | undefined =>
    proxy && !isExcepted(proxy, target.host, target.port) ? proxy : undefined;

  /** The addresses that may be connected to; throws a Refusal when there is none. */
  const addressesOf = async (target: Target, method: string): Promise<readonly string[]> => {
    const all = isIP(target.host) === 0 ? await resolve(target.host) : [target.host];
    const usable = isExplicit(target) ? all : all.filter(isPublicAddress);
    if (usable.length > 0) return usable;
    if (all.length === 0) throw new Refusal(502, `${target.host} has no address.`);
    const reason = `${target.host} stands for an address of this host or a private network, which a sandbox may not reach. A person can add "${target.host}:${target.port}" to "allowPrivate" in the rule file.`;
    authority.networkRefused(
      { sessionId, turn: turn(), host: target.host, port: target.port, method },
      reason,
    );
    count(target, method, false);
    throw new Refusal(403, reason);
  };

  /** Behind an outer proxy names may not resolve here at all; if they do, a private one is refused here already. */
  const checkBeforeProxy = async (target: Target, method: string): Promise<void> => {
    try {
      await addressesOf(target, method);
    } catch (error) {
      if (error instanceof Refusal && error.status === 403) throw error;
    }
    count(target, method, true);
  };

  const connectDirectly = async (target: Target, method: string, signal: AbortSignal): Promise<Socket> => {
    const addresses = await addressesOf(target, method);
    // From here on something may leave the machine, whatever becomes of the connection.
    count(target, method, true);
    let last: unknown;
    for (const address of addresses.slice(0, 4)) {
      const socket = track(
        connectTcp({ host: address, port: target.port, noDelay: true, allowHalfOpen: true }),
      );
      try {
        await opened(socket, 'connect', AbortSignal.any([signal, AbortSignal.timeout(connectTimeoutMs)]));
        return socket;
      } catch (error) {
        last = error;
        if (signal.aborted) break;
      }
    }
    throw last;
  };

  const tunnel = async (client: Duplex, rawTarget: string, head: Buffer): Promise<void> => {
    const early = collectEarly(client, head);
    try {
      const target = parseTarget(rawTarget);
      if (!target) throw new Refusal(400, 'CONNECT wants host:port.');
      await admit(target, 'CONNECT', early.signal);
      const proxy = viaProxy(outer.https, target);
      let server: Socket;
      if (proxy) {
        await checkBeforeProxy(target, 'CONNECT');
        server = track(
          await connectThroughProxy(
            proxy,
            target.host,
            target.port,
            AbortSignal.any([early.signal, AbortSignal.timeout(connectTimeoutMs)]),
          ),
        );
      } else {
        server = await connectDirectly(target, 'CONNECT', early.signal);
      }
      if (early.signal.aborted) {
        server.destroy();
        return;
      }
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      const sent = early.release();
      if (sent.length > 0) server.write(sent);
      const meter = createMeter(idleTimeoutMs, maxBytes, () => {
        client.destroy();
        server.destroy();
      });
      await Promise.allSettled([
        pipeline(client, meter.stream(), server),
        pipeline(server, meter.stream(), client),
      ]);
      meter.stop();
    } catch (error) {
      early.release();
      refuseRaw(client, refusalOf(error, rawTarget));
    }
  };

  const forward = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const method = request.method ?? 'GET';
    let meter: ReturnType<typeof createMeter> | undefined;
    try {
      const url = parseAbsoluteUrl(request.url ?? '');
      if (!url)
        throw new Refusal(
          400,
          'This is a proxy: it wants CONNECT, or a request with a full http:// address.',
        );
      await admit(url, method, gone.signal);
      const proxy = viaProxy(outer.http, url);
      let server: Socket;
      if (proxy) {
        await checkBeforeProxy(url, method);
        server = track(
          await connectToProxy(proxy, AbortSignal.any([gone.signal, AbortSignal.timeout(connectTimeoutMs)])),
        );
      } else {
        server = await connectDirectly(url, method, gone.signal);
      }
      meter = createMeter(idleTimeoutMs, maxBytes, () => server.destroy());
      const headers = { ...forwardableHeaders(request.headers), host: url.authority, connection: 'close' };
      const upstream = httpRequest({
        createConnection: () => server,
        method,
        path: proxy ? url.absolute : url.path,
        headers:
          proxy?.authorization === undefined
            ? headers
            : { ...headers, 'proxy-authorization': proxy.authorization },
        setHost: false,
      });
      gone.signal.addEventListener('abort', () => upstream.destroy(), { once: true });
      const answered = new Promise<IncomingMessage>((settle, fail) => {
        upstream.once('response', settle);
        upstream.once('error', fail);
        upstream.once('upgrade', (_answer, socket: Socket) => {
          socket.destroy();
          fail(new Refusal(502, 'The server wants another protocol; use CONNECT for that.'));
        });
      });
      // The request's body and the reply run side by side: a server may answer before it has read everything.
      pipeline(request, meter.stream(), upstream).catch(() => undefined);
      const answer = await answered;
      response.writeHead(answer.statusCode ?? 502, forwardableHeaders(answer.headers));
      await pipeline(answer, meter.stream(), response);
    } catch (error) {
      if (gone.signal.aborted || response.headersSent) {
        response.destroy();
        return;
      }
      const refusal = refusalOf(error, request.url ?? '');
      const body = refusalBody(refusal);
      response.writeHead(refusal.status, {
        'content-type': 'text/plain; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        connection: 'close',
      });
      response.end(body);
    } finally {
      meter?.stop();
    }
  };

  const server = createServer({
    maxHeaderSize: 32 * 1024,
    headersTimeout: 30_000,
    requestTimeout: 0,
    keepAliveTimeout: 30_000,
  });
  server.on('connection', (socket: Socket) => {
    if (sockets.size >= maxConnections * 2) {
      socket.on('error', () => undefined);
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      logger.warn('A sandbox has too many connections open; one was refused', { sessionId });
      return;
    }
    track(socket).on('error', () => undefined);
  });
  server.on(
    'connect',
    (request: IncomingMessage, socket: Duplex, head: Buffer) => void tunnel(socket, request.url ?? '', head),
  );
  server.on(
    'request',
    (request: IncomingMessage, response: ServerResponse) => void forward(request, response),
  );
  server.on('upgrade', (_request: IncomingMessage, socket: Duplex) =>
    refuseRaw(socket, new Refusal(501, 'Use CONNECT for another protocol.')),
  );
  server.on('clientError', (_error: Error, socket: Duplex) =>
    refuseRaw(socket, new Refusal(400, 'This is not an HTTP request the proxy understands.')),
  );
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    // Binding happens within the call, so nobody else can connect in the moment before chmod.
    const mask = process.umask(0o177);
    try {
      server.listen(options.socketPath, listening);
    } finally {
      process.umask(mask);
    }
  });
  await chmod(options.socketPath, options.socketMode ?? 0o600);
  server.on('error', (error) => logger.error('The egress proxy failed', { sessionId, error }));

  const proxy: EgressProxy = {
    socketPath: options.socketPath,
    takeReached() {
      const taken = [...reached.values()];
      reached = new Map();
      return taken;
    },
    async close() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await closed;
    },
    [Symbol.asyncDispose]: () => proxy.close(),
  };
  return proxy;
}

function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}
