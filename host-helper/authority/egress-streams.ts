/**
 * What the egress proxy does with streams: reading early bytes while a person thinks, and bounding what passes. It
 * knows no hosts and decides nothing.
 */

import { Transform, type Duplex } from 'node:stream';

const earlyBytesLimit = 64 * 1024;

/**
 * Reads what a client sends before it is answered (a TLS hello may come with CONNECT), bounded, and notices when it
 * leaves while a person is thinking: a socket that is not read never reports its end.
 */
export function collectEarly(
  client: Duplex,
  head: Buffer,
): { readonly signal: AbortSignal; release(): Buffer } {
  const gone = new AbortController();
  const parts = [head];
  let size = head.length;
  const read = (data: Buffer): void => {
    parts.push(data);
    size += data.length;
    if (size > earlyBytesLimit) client.pause();
  };
  const leave = (): void => gone.abort();
  client.on('data', read);
  client.once('end', leave);
  client.once('close', leave);
  client.on('error', leave);
  return {
    signal: gone.signal,
    release() {
      client.off('data', read);
      client.off('end', leave);
      client.pause();
      return Buffer.concat(parts);
    },
  };
}

/** Counts what passes in all of its streams together; calls `end` when nothing moves for too long, or too much has moved. */
export function createMeter(
  idleTimeoutMs: number,
  maxBytes: number,
  end: () => void,
): { stream(): Transform; stop(): void } {
  const timer = setTimeout(end, idleTimeoutMs).unref();
  let bytes = 0;
  return {
    stream: () =>
      new Transform({
        transform(data: Buffer, _encoding, done) {
          bytes += data.length;
          timer.refresh();
          if (bytes > maxBytes) end();
          else done(null, data);
        },
      }),
    stop: () => clearTimeout(timer),
  };
}
