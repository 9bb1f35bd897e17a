/**
 * Opens the helper's Unix socket and says hello. Owns where the socket is and what it means when it cannot be opened;
 * knows no command.
 */

import { connect as connectNet } from 'node:net';
import { join, resolve } from 'node:path';
import { WebSocket } from 'ws';
import { connectClient, type Client, type FrameSocket } from '../protocol/client.ts';
import { TurntableError } from '../protocol/errors.ts';
import { limits } from '../protocol/state.ts';
import { packageVersion } from './package-version.ts';

export interface HelperPlace {
  readonly stateDir: string;
  readonly socketPath: string;
}

const defaultPlace: HelperPlace = {
  stateDir: '/var/lib/turntable',
  socketPath: '/run/turntable/helper.sock',
};

/** Options win over the environment; a state directory of one's own brings its own socket. */
export function placeOf(
  options: { socket?: string | undefined; stateDir?: string | undefined },
  environment: NodeJS.ProcessEnv = process.env,
): HelperPlace {
  const stateDir = options.stateDir ?? (environment['TURNTABLE_STATE_DIR'] || undefined);
  // A socket from the environment must not win over a state directory given by hand.
  const fromEnvironment =
    options.stateDir === undefined ? environment['TURNTABLE_SOCKET'] || undefined : undefined;
  const socket = options.socket ?? fromEnvironment;
  const base = stateDir === undefined ? defaultPlace.stateDir : resolve(stateDir);
  const usual = stateDir === undefined ? defaultPlace.socketPath : join(base, 'helper.sock');
  return { stateDir: base, socketPath: socket === undefined ? usual : resolve(socket) };
}

/** Throws `helperNotRunning`, `notPermitted`, `versionMismatch`, `timedOut`. */
export async function connectHelper(socketPath: string): Promise<Client> {
  const socket = await openSocket(socketPath);
  return connectClient(frameSocket(socket), { name: 'turntable-cli', version: packageVersion() });
}

async function openSocket(socketPath: string): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  // A ws+unix: address would break on paths with a colon.
  const socket = new WebSocket('ws://localhost/', {
    createConnection: () => connectNet(socketPath),
    perMessageDeflate: false,
    maxPayload: limits.helperFrameBytes,
    handshakeTimeout: 10_000,
  });
  socket.once('open', () => resolve(undefined));
  socket.once('error', reject);
  try {
    await promise;
  } catch (cause) {
    throw cannotOpen(socketPath, cause);
  }
  socket.off('error', reject);
  return socket;
}

function frameSocket(socket: WebSocket): FrameSocket {
  // A failed socket is also closed: the reason is told there.
  let failure: string | undefined;
  socket.on('error', (error) => (failure = error.message));
  return {
    send: (text) => socket.send(text),
    close: () => socket.close(),
    onMessage(listener) {
      socket.on('message', (data, isBinary) => {
        if (!isBinary) listener(Buffer.isBuffer(data) ? data.toString('utf8') : '');
      });
    },
    onClose(listener) {
      socket.on('close', (code, reason) => listener(failure ?? closeReason(code, reason.toString())));
    },
  };
}

function closeReason(code: number, reason: string): string | undefined {
  if (code === 1009) return `a frame was larger than ${limits.frameBytes} bytes`;
  return reason || undefined;
}

function cannotOpen(socketPath: string, cause: unknown): TurntableError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
    return new TurntableError(
      'helperNotRunning',
      `No helper answers on ${socketPath}: start it with \`turntable up\`.`,
      {
        cause,
      },
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new TurntableError(
      'notPermitted',
      `You may not use ${socketPath}: join its group (\`sudo usermod -aG turntable $USER\`, then log in again), or use sudo.`,
      { cause },
    );
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  return new TurntableError(
    'helperNotRunning',
    `The helper on ${socketPath} does not answer as it should (${text}): see \`turntable doctor\`.`,
    {
      cause,
    },
  );
}
