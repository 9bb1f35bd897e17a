/**
 * The frames between the helper and the supervisor, as bytes. Mirrors supervisor/wire.h; a unit test compares the numbers.
 * The other end runs in the sandbox and may be anything: whatever comes in is bounded and checked here.
 */

export const wireVersion = 1;
export const headerBytes = 12;
/** Largest payload towards the supervisor. */
export const maxPayloadBytes = 2 << 20;
/** Largest payload that is believed from it. */
export const maxIncomingBytes = 256 << 10;
/** Stdin bytes that may be on their way unconsumed, per child. */
export const stdinWindowBytes = 256 << 10;

export const frameKinds = {
  spawn: 1,
  stdin: 2,
  stdinEof: 3,
  resize: 4,
  kill: 5,
  exitAck: 6,
  detach: 7,
  hello: 64,
  child: 65,
  ready: 66,
  spawned: 67,
  spawnFailed: 68,
  output: 69,
  dropped: 70,
  exit: 71,
  stdinConsumed: 72,
} as const;

export interface Frame {
  readonly kind: number;
  readonly stream: number;
  readonly tag: number;
  readonly payload: Buffer;
}

/** What CHILD and SPAWNED carry. */
export interface ChildDescription {
  readonly tag: number;
  readonly pid: number;
  readonly terminal: boolean;
  readonly unconsumedBytes: number;
}

/** One frame, ready to be written. */
export function encodeFrame(kind: number, tag: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.alloc(headerBytes + payload.byteLength);
  frame.writeUInt32LE(payload.byteLength, 0);
  frame.writeUInt8(kind, 4);
  frame.writeUInt32LE(tag, 8);
  frame.set(payload, headerBytes);
  return frame;
}

/** The payload of SPAWN. Throws RangeError when a string holds NUL or everything together is too large. */
export function encodeSpawn(request: {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly terminal: { readonly columns: number; readonly rows: number } | undefined;
}): Buffer {
  const environment = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
  const strings = [request.cwd, ...request.argv, ...environment];
  if (strings.some((text) => text.includes('\0'))) throw new RangeError('a NUL byte in a command');
  const header = Buffer.alloc(16);
  header.writeUInt32LE(request.terminal ? 1 : 0, 0);
  header.writeUInt16LE(clampSize(request.terminal?.columns ?? 0), 4);
  header.writeUInt16LE(clampSize(request.terminal?.rows ?? 0), 6);
  header.writeUInt32LE(request.argv.length, 8);
  header.writeUInt32LE(environment.length, 12);
  const payload = Buffer.concat([header, ...strings.map((text) => Buffer.from(text + '\0'))]);
  if (payload.byteLength > maxPayloadBytes) {
    throw new RangeError(`a command of ${payload.byteLength} bytes; ${maxPayloadBytes} are possible`);
  }
  return payload;
}

export function encodeSize(columns: number, rows: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16LE(clampSize(columns), 0);
  payload.writeUInt16LE(clampSize(rows), 2);
  return payload;
}

export function encodeNumber(value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(value, 0);
  return payload;
}

/** Throws RangeError when the payload is too short. */
export function decodeChild(payload: Buffer): ChildDescription {
  return {
    tag: payload.readUInt32LE(0),
    pid: payload.readUInt32LE(4),
    terminal: (payload.readUInt32LE(8) & 1) === 1,
    unconsumedBytes: payload.readUInt32LE(12),
  };
}

/** Cuts a byte stream into frames. Throws RangeError on a frame that is too large: the connection is then useless. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  push(data: Buffer): Frame[] {
    this.#pending = this.#pending.byteLength === 0 ? data : Buffer.concat([this.#pending, data]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#pending.byteLength - at >= headerBytes) {
      const length = this.#pending.readUInt32LE(at);
      if (length > maxIncomingBytes) throw new RangeError(`a frame of ${length} bytes`);
      const end = at + headerBytes + length;
      if (this.#pending.byteLength < end) break;
      frames.push({
        kind: this.#pending.readUInt8(at + 4),
        stream: this.#pending.readUInt8(at + 5),
        tag: this.#pending.readUInt32LE(at + 8),
        payload: this.#pending.subarray(at + headerBytes, end),
      });
      at = end;
    }
    this.#pending = this.#pending.subarray(at);
    return frames;
  }
}

function clampSize(value: number): number {
  return Math.max(0, Math.min(65_535, Math.trunc(value) || 0));
}
