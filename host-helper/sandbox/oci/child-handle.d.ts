import type { SandboxChild } from '../sandbox.ts';
import { type ChildDescription } from './supervisor-wire.ts';
type OutputListener = (stream: 'stdout' | 'stderr', data: Uint8Array) => void;
export declare class ChildHandle implements SandboxChild {
  #private;
  readonly tag: number;
  readonly pid: number;
  readonly terminal: boolean;
  readonly exited: Promise<number>;
  constructor(description: ChildDescription, send: (frame: Buffer) => void);
  onOutput(listener: OutputListener): () => void;
  write(data: Uint8Array): void;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  kill(signal: NodeJS.Signals): void;
  /** Output arrived. */
  deliver(stream: 'stdout' | 'stderr', data: Buffer): void;
  /** The process took stdin bytes: more may follow. */
  consumed(bytes: number): void;
  /** The connection is going away: stdin waits until `resync`. */
  pause(): void;
  /** A new connection told how much stdin the supervisor still holds. */
  resync(unconsumedBytes: number): void;
  /** The process ended; later calls change nothing. */
  settle(code: number): void;
}
export {};
