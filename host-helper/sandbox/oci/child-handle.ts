/**
 * One process of the sandbox as the helper sees it: output with replay to the first listener, stdin within the supervisor's window, exit.
 * It writes frames through the function it is given and knows nothing of connections.
 */
import { constants } from 'node:os';
import type { SandboxChild } from '../sandbox.ts';
import {
  encodeFrame,
  encodeNumber,
  encodeSize,
  frameKinds,
  stdinWindowBytes,
  type ChildDescription,
} from './supervisor-wire.ts';

/** Output kept while nobody listens; older bytes are dropped. */
const maxKeptBytes = 1 << 20;
const maxStdinQueueBytes = 64 << 20;
const stdinPieceBytes = 64 << 10;

type OutputListener = (stream: 'stdout' | 'stderr', data: Uint8Array) => void;

export class ChildHandle implements SandboxChild {
  readonly tag: number;
  readonly pid: number;
  readonly terminal: boolean;
  readonly exited: Promise<number>;
  readonly #send: (frame: Buffer) => void;
  readonly #listeners = new Set<OutputListener>();
  #settle: (code: number) => void = () => {};
  #kept: { stream: 'stdout' | 'stderr'; data: Buffer }[] = [];
  #keptBytes = 0;
  #stdin: Uint8Array[] = [];
  #stdinQueuedBytes = 0;
  #stdinInFlightBytes: number;
  #stdinEnd: 'open' | 'wanted' | 'sent' = 'open';
  #paused = false;

  constructor(description: ChildDescription, send: (frame: Buffer) => void) {
    this.tag = description.tag;
    this.pid = description.pid;
    this.terminal = description.terminal;
    this.#stdinInFlightBytes = description.unconsumedBytes;
    this.#send = send;
    this.exited = new Promise((resolve) => (this.#settle = resolve));
  }

  onOutput(listener: OutputListener): () => void {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#listeners.add(listener);
    for (const { stream, data } of kept) listener(stream, data);
    return () => this.#listeners.delete(listener);
  }

  write(data: Uint8Array): void {
    if (this.#stdinEnd !== 'open') return;
    if (this.#stdinQueuedBytes + data.byteLength > maxStdinQueueBytes) {
      throw new RangeError(`the process does not read: ${this.#stdinQueuedBytes} bytes wait`);
    }
    for (let at = 0; at < data.byteLength; at += stdinPieceBytes) {
      this.#stdin.push(Uint8Array.from(data.subarray(at, at + stdinPieceBytes)));
    }
    this.#stdinQueuedBytes += data.byteLength;
    this.#pump();
  }

  closeStdin(): void {
    if (this.#stdinEnd !== 'open') return;
    this.#stdinEnd = 'wanted';
    this.#pump();
  }

  resize(columns: number, rows: number): void {
    this.#send(encodeFrame(frameKinds.resize, this.tag, encodeSize(columns, rows)));
  }

  kill(signal: NodeJS.Signals): void {
    this.#send(encodeFrame(frameKinds.kill, this.tag, encodeNumber(constants.signals[signal])));
  }

  /** Output arrived. */
  deliver(stream: 'stdout' | 'stderr', data: Buffer): void {
    if (this.#listeners.size > 0) {
      for (const listener of this.#listeners) listener(stream, data);
      return;
    }
    this.#kept.push({ stream, data: Buffer.from(data) });
    this.#keptBytes += data.byteLength;
    while (this.#keptBytes > maxKeptBytes) this.#keptBytes -= this.#kept.shift()?.data.byteLength ?? 0;
  }

  /** The process took stdin bytes: more may follow. */
  consumed(bytes: number): void {
    this.#stdinInFlightBytes = Math.max(0, this.#stdinInFlightBytes - bytes);
    this.#pump();
  }

  /** The connection is going away: stdin waits until `resync`. */
  pause(): void {
    this.#paused = true;
  }

  /** A new connection told how much stdin the supervisor still holds. */
  resync(unconsumedBytes: number): void {
    this.#paused = false;
    this.#stdinInFlightBytes = unconsumedBytes;
    this.#pump();
  }

  /** The process ended; later calls change nothing. */
  settle(code: number): void {
    this.#settle(code);
  }

  #pump(): void {
    while (!this.#paused) {
      const piece = this.#stdin[0];
      if (!piece) break;
      if (this.#stdinInFlightBytes + piece.byteLength > stdinWindowBytes) return;
      this.#stdin.shift();
      this.#stdinQueuedBytes -= piece.byteLength;
      this.#stdinInFlightBytes += piece.byteLength;
      this.#send(encodeFrame(frameKinds.stdin, this.tag, piece));
    }
    if (this.#stdinEnd === 'wanted' && !this.#paused) {
      this.#stdinEnd = 'sent';
      this.#send(encodeFrame(frameKinds.stdinEof, this.tag));
    }
  }
}
