/** Opens the helper's Unix socket as a frame socket for the protocol's client. Must not know what is spoken. */

import { WebSocket } from 'ws';
import type { FrameSocket } from '../host-helper/protocol/client.ts';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import { limits } from '../host-helper/protocol/state.ts';

const handshakeTimeoutMs = 10_000;

/** Rejects with the system's own error (its `code` says why), or ws's. */
export async function openSocket(socketPath: string): Promise<FrameSocket> {
  // Not `createConnection`: the extension host routes http through its proxy support, which drops it. A request with a
  // socket path is left alone.
  const address = new URL(`ws+unix://${socketPath}`);
  if (address.pathname !== socketPath || socketPath.includes(':')) {
    throw new TurntableError(
      'helperNotRunning',
      `The socket's path (${socketPath}) holds a character that cannot stand in an address: move it.`,
    );
  }
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  // A ws+unix: address would break on paths with a colon.
  const socket = new WebSocket(`${address.href}:/`, {
    perMessageDeflate: false,
    maxPayload: limits.helperFrameBytes,
    handshakeTimeout: handshakeTimeoutMs,
  });
  socket.once('open', () => resolve(undefined));
  socket.once('error', reject);
  await promise;
  socket.off('error', reject);
  // A failed socket is also closed: the reason is told there.
  let failure: string | undefined;
  socket.on('error', (error) => (failure = error.message));
  return {
    send: (text) => socket.send(text),
    close: () => socket.close(),
    onMessage(listener) {
      socket.on('message', (data, isBinary) => {
        if (!isBinary && Buffer.isBuffer(data)) listener(data.toString('utf8'));
      });
    },
    onClose(listener) {
      socket.on('close', (_code, reason) => listener(failure ?? (reason.toString() || undefined)));
    },
  };
}
