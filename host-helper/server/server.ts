/**
 * The helper's front door: listens on a Unix socket and, if asked, on loopback TCP, admits clients, and spreads the
 * numbered actions. Owns the composition of its neighbours in this folder; must not know what any request does.
 */

import { createServer as createHttpServer, STATUS_CODES, type Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { randomUUID } from 'node:crypto';
import { WebSocketServer } from 'ws';
import type { Logger } from '../log.ts';
import type { Action } from '../protocol/actions.ts';
import { TurntableError } from '../protocol/errors.ts';
import { limits, type RootState } from '../protocol/state.ts';
import { admit, ensureToken, sameToken, type Transport } from './admission.ts';
import { closeCodes, Connection, notificationFrame, type ConnectionLimits } from './connection.ts';
import type { Handlers } from './handlers.ts';
import { createStateFeed, type StateFeed } from './state-feed.ts';
import { listenOnUnixSocket } from './unix-socket.ts';

export interface ServerLimits extends ConnectionLimits {
  readonly clients: number;
  readonly pingIntervalMs: number;
}

const defaultLimits: ServerLimits = {
  queuedBytes: 16 * 1024 * 1024,
  requestsInFlight: 64,
  helloTimeoutMs: 10_000,
  closeTimeoutMs: 2_000,
  clients: 64,
  pingIntervalMs: 15_000,
};

export type ServerOptions = {
  readonly socketPath: string;
  /** The group that may connect; `turntable`, or the group of who called sudo, when absent. */
  readonly group?: string;
  /** The socket's directory belongs to the helper: make it 0750 (0751 where it was passable). True by itself for one that had to be made. */
  readonly ownDirectory?: boolean;
  /** Loopback TCP besides the socket. Port 0 takes any; the token is made when its file is not there. */
  readonly tcp?: {
    readonly port: number;
    readonly tokenFile: string;
    readonly allowedOrigins?: readonly string[];
  };
  readonly handlers: Handlers;
  readonly limits?: Partial<ServerLimits>;
  readonly logger: Logger;
} & ({ readonly initialState: RootState } | { readonly feed: StateFeed });

export interface HelperServer extends AsyncDisposable {
  readonly state: RootState;
  /** The port of loopback TCP, when there is one. */
  readonly tcpPort: number | undefined;
  readonly clientCount: number;
  /** Applies the action and sends it, numbered, to every subscriber. */
  dispatch(action: Action): void;
  /** Says goodbye to the clients and removes the socket. Requests in work see their signal fire. */
  close(): Promise<void>;
}

/** Starts to listen. Throws `helperRunning`, `notPermitted`, `unauthorized` (weak token). */
export async function createServer(options: ServerOptions): Promise<HelperServer> {
  const logger = options.logger.child('server');
  const feed = 'feed' in options ? options.feed : createStateFeed(options.initialState, logger);
  const bounds: ServerLimits = { ...defaultLimits, ...options.limits };
  const connections = new Set<Connection>();
  const helperVersion = feed.state.helper.version;

  const webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: limits.frameBytes,
    perMessageDeflate: false,
    clientTracking: false,
  });

  const accept = (transport: () => Transport, server: HttpServer): void => {
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', (error) => logger.debug('a connection failed during its upgrade', { error }));
      const via = transport();
      const admission = admit(request, via, options.tcp?.allowedOrigins ?? []);
      if (!admission.admitted) {
        logger.warn('refused a connection', { transport: via.kind, reason: admission.reason });
        refuse(socket, admission.status, admission.reason);
        return;
      }
      if (connections.size >= bounds.clients) {
        refuse(socket, 503, 'Too many clients are connected: close one and try again.');
        return;
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const id = randomUUID();
        const connection = new Connection({
          id,
          socket: webSocket,
          handlers: options.handlers,
          feed,
          helperVersion,
          checkToken:
            admission.tokenDue && via.kind === 'tcp' ? (token) => sameToken(token, via.token) : undefined,
          limits: bounds,
          logger: logger.child(id.slice(0, 8)),
        });
        connections.add(connection);
        webSocket.once('close', () => connections.delete(connection));
      });
    });
  };

  await using cleanup = new AsyncDisposableStack();
  const unixServer = createPlainServer();
  accept(() => ({ kind: 'unix' }), unixServer);
  const claim = await listenOnUnixSocket(unixServer, { ...options, logger });
  cleanup.defer(() => claim.release());
  cleanup.defer(() => stopListening(unixServer));

  let tcpPort: number | undefined;
  if (options.tcp) {
    const token = await ensureToken(options.tcp.tokenFile, claim.groupId);
    const tcpServer = createPlainServer();
    accept(() => ({ kind: 'tcp', port: tcpPort ?? 0, token }), tcpServer);
    tcpPort = await listenOnLoopback(tcpServer, options.tcp.port);
    cleanup.defer(() => stopListening(tcpServer));
  }

  cleanup.defer(
    feed.listen((numbered) => {
      let text: string | undefined;
      for (const connection of connections) {
        if (connection.subscribed) connection.send((text ??= notificationFrame('state/action', numbered)));
      }
    }),
  );
  const pings = setInterval(() => {
    for (const connection of connections) connection.checkAlive();
  }, bounds.pingIntervalMs);
  cleanup.defer(() => clearInterval(pings));
  cleanup.defer(() => {
    for (const connection of connections) connection.close(closeCodes.goingAway, 'the helper stops');
  });

  logger.info('listening', { socketPath: options.socketPath, tcpPort });
  const resources = cleanup.move();
  const close = (): Promise<void> => resources.disposeAsync();
  return {
    get state() {
      return feed.state;
    },
    get clientCount() {
      return connections.size;
    },
    tcpPort,
    dispatch: (action) => feed.dispatch(action),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Plain HTTP has nothing to say here but how to come back. */
function createPlainServer(): HttpServer {
  return createHttpServer(
    { requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 16 * 1024 },
    (_request, response) => {
      response.writeHead(426, { 'Content-Type': 'text/plain', Upgrade: 'websocket', Connection: 'close' });
      response.end('This is the Turntable helper. It speaks JSON-RPC over WebSocket: use `turntable`.\n');
    },
  );
}

async function listenOnLoopback(server: HttpServer, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject);
  server.listen(port, '127.0.0.1', () => resolve(undefined));
  try {
    await promise;
  } catch (cause) {
    throw new TurntableError(
      'notPermitted',
      `Cannot listen on 127.0.0.1:${port}: choose another --tcp-port.`,
      { cause },
    );
  } finally {
    server.off('error', reject);
  }
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : port;
}

async function stopListening(server: HttpServer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  server.close(() => resolve(undefined));
  server.closeAllConnections();
  await promise;
}

function refuse(socket: Duplex, status: number, reason: string): void {
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`,
  );
}
