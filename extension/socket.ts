/** Opens the helper's Unix socket as a frame socket for the protocol's client. Must not know what is spoken. */

import { connect } from 'node:net';
import { WebSocket } from 'ws';
import type { FrameSocket } from '../host-helper/protocol/client.ts';
import { limits } from '../host-helper/protocol/state.ts';

const handshakeTimeoutMs = 10_000;

/** Rejects with the system's own error (its `code` says why), or ws's. */
export async function openSocket(socketPath: string): Promise<FrameSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  // A ws+unix: address would break on paths with a colon.
  const socket = new WebSocket('ws://localhost/', {
    createConnection: () => connect(socketPath),
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
