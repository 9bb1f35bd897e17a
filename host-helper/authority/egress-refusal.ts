/**
 * How the egress proxy says no: who decided, why, and what to do, to a program that only reads HTTP.
 */

import type { Duplex } from 'node:stream';

/** A refusal that goes back to the program as it stands. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What an error amounts to for the program that asked. */
export function refusalOf(error: unknown, target: string): Refusal {
  if (error instanceof Refusal) return error;
  const name = error instanceof Error ? error.name : '';
  const message = error instanceof Error ? error.message : String(error);
  return name === 'TimeoutError'
    ? new Refusal(504, `${target} did not answer in time.`)
    : new Refusal(502, `${target} could not be reached: ${message}`);
}

/** The text of a refusal, for a person who reads the program's output. */
export function refusalBody(refusal: Refusal): string {
  const who =
    refusal.status === 403 ? 'Turntable denied this connection' : 'Turntable could not make this connection';
  return `${who}: ${refusal.message}\n`;
}

/** Answers on a bare socket and ends it. */
export function refuseRaw(socket: Duplex, refusal: Refusal): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const reasons: Record<number, string> = {
    400: 'Bad Request',
    403: 'Forbidden',
    501: 'Not Implemented',
    502: 'Bad Gateway',
    504: 'Gateway Timeout',
  };
  const body = refusalBody(refusal);
  socket.on('error', () => undefined);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${reasons[refusal.status] ?? 'Error'}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
