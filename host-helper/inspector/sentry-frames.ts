/**
 * The sentry's wire: mirrors bpf/sentry.h byte for byte (a unit test compares the two). Knows bytes, not meanings:
 * what a frame does belongs to sentry-process.ts.
 */

export const sentryVersion = 3;
export const frameHeaderBytes = 16;
/** Payload bounds of both directions; a longer one means that the stream is damaged. */
export const framePayloadMaxBytes = 512 * 1024;

export const frameTypes = {
  watch: 1,
  unwatch: 2,
  fence: 3,
  guard: 4,
  reguard: 5,
  answer: 6,
  forget: 7,
  states: 8,
  ready: 64,
  done: 65,
  exec: 66,
  exit: 67,
  root: 68,
  live: 69,
  fenceEnd: 70,
  reguarded: 71,
  execAsk: 72,
  execGone: 73,
  execKilled: 74,
  statesAre: 75,
} as const;

export const flagBits = {
  hasLifecycle: 1,
  hasHints: 2,
  hasVerify: 4,
  execArgvTruncated: 1,
  rootDirty: 1,
  rootOverflow: 2,
  liveSharedWritable: 1,
  fenceNow: 1,
  stateUncertain: 1,
  askArgvTruncated: 1,
  askScript: 2,
  askArgument: 4,
} as const;

export const verdicts = { deny: 0, allow: 1 } as const;

export const killReasons: Readonly<Record<number, string>> = {
  1: 'nobody had approved it',
  2: 'another file than the approved one was executed',
  3: 'the approved file was changed before it ran',
  4: 'other arguments than the approved ones were passed',
};

export type FieldType = 'u16' | 'u32' | 'i32' | 'u64';
export type StructFields = Readonly<Record<string, FieldType>>;
export type StructValue<F extends StructFields> = {
  readonly [K in keyof F]: F[K] extends 'u64' ? bigint : number;
};

const sizes: Record<FieldType, number> = { u16: 2, u32: 4, i32: 4, u64: 8 };

/** A C struct of fixed-width members whose padding is explicit: each member follows the one before. */
export interface Struct<F extends StructFields> {
  readonly fields: F;
  readonly sizeBytes: number;
}

function struct<const F extends StructFields>(fields: F): Struct<F> {
  return { fields, sizeBytes: Object.values(fields).reduce((sum, type) => sum + sizes[type], 0) };
}

export const structs = {
  frame: struct({ length: 'u32', type: 'u16', reserved: 'u16', request: 'u32', sandbox: 'u32' }),
  watch: struct({ cgroupId: 'u64', cgroupPathLength: 'u32', rootCount: 'u32' }),
  watchRoot: struct({ root: 'u32', pathLength: 'u32' }),
  fence: struct({ flags: 'u32', reserved: 'u32' }),
  answer: struct({ ask: 'u64', verdict: 'u32', remember: 'u32' }),
  ready: struct({
    version: 'u32',
    features: 'u32',
    hintsDetailLength: 'u32',
    verifyDetailLength: 'u32',
  }),
  done: struct({ status: 'i32', messageLength: 'u32' }),
  exec: struct({
    pid: 'u32',
    sandboxPid: 'u32',
    atMs: 'u64',
    flags: 'u32',
    programLength: 'u32',
    argvLength: 'u32',
    reserved: 'u32',
  }),
  exit: struct({ pid: 'u32', exitCode: 'i32' }),
  root: struct({ root: 'u32', flags: 'u32', inodeCount: 'u32', reserved: 'u32' }),
  live: struct({
    pid: 'u32',
    parentPid: 'u32',
    sandboxPid: 'u32',
    flags: 'u32',
    startTicks: 'u64',
    runCount: 'u64',
    programLength: 'u32',
    argvLength: 'u32',
  }),
  fenceEnd: struct({
    unassigned: 'u64',
    executed: 'u64',
    forked: 'u64',
    dropped: 'u64',
    reached: 'u64',
  }),
  state: struct({ pid: 'u32', flags: 'u32', startTicks: 'u64', own: 'u64', files: 'u64' }),
  states: struct({ count: 'u32', reserved: 'u32' }),
  reguarded: struct({ count: 'u32', reserved: 'u32' }),
  execAsk: struct({
    ask: 'u64',
    tid: 'u32',
    pid: 'u32',
    flags: 'u32',
    programLength: 'u32',
    interpreterLength: 'u32',
    argumentLength: 'u32',
    argvLength: 'u32',
    cwdLength: 'u32',
  }),
  execGone: struct({ ask: 'u64' }),
  execKilled: struct({ pid: 'u32', reason: 'u32', programLength: 'u32', reserved: 'u32' }),
} as const;

/** Reads a payload from its start to its end. @throws RangeError when it is shorter than it says. */
export class PayloadReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  struct<F extends StructFields>(layout: Struct<F>): StructValue<F> {
    const value: Record<string, number | bigint> = {};
    for (const [name, type] of Object.entries(layout.fields)) value[name] = this.#field(type);
    // Built from the very fields that name its type; TypeScript cannot follow the loop.
    return value as StructValue<F>;
  }

  text(lengthBytes: number): string {
    return this.#take(lengthBytes).toString('utf8');
  }

  /** A block of NUL-terminated strings; a last one that was cut off is kept as far as it goes. */
  argv(lengthBytes: number): string[] {
    if (lengthBytes === 0) return [];
    const block = this.text(lengthBytes);
    return (block.endsWith('\0') ? block.slice(0, -1) : block).split('\0');
  }

  u64s(count: number): bigint[] {
    return Array.from({ length: count }, () => this.#take(8).readBigUInt64LE());
  }

  u32s(count: number): number[] {
    return Array.from({ length: count }, () => this.#take(4).readUInt32LE());
  }

  #field(type: FieldType): number | bigint {
    const bytes = this.#take(sizes[type]);
    if (type === 'u16') return bytes.readUInt16LE();
    if (type === 'u32') return bytes.readUInt32LE();
    if (type === 'i32') return bytes.readInt32LE();
    return bytes.readBigUInt64LE();
  }

  #take(lengthBytes: number): Buffer {
    const end = this.#at + lengthBytes;
    if (end > this.#bytes.length) throw new RangeError('a frame is shorter than its fields say');
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

/** The bytes of one struct. */
export function packStruct<F extends StructFields>(layout: Struct<F>, value: StructValue<F>): Buffer {
  const bytes = Buffer.alloc(layout.sizeBytes);
  const numbers: Readonly<Record<string, number | bigint>> = value;
  let at = 0;
  for (const [name, type] of Object.entries(layout.fields)) {
    const number = numbers[name] ?? 0;
    if (type === 'u64') bytes.writeBigUInt64LE(BigInt(number), at);
    else if (type === 'u32') bytes.writeUInt32LE(Number(number), at);
    else if (type === 'i32') bytes.writeInt32LE(Number(number), at);
    else bytes.writeUInt16LE(Number(number), at);
    at += sizes[type];
  }
  return bytes;
}

/** A whole frame, ready to be written. @throws RangeError over the bound. */
export function packFrame(
  type: number,
  request: number,
  sandbox: number,
  parts: readonly (Buffer | string)[] = [],
): Buffer {
  const payload = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  if (payload.length > framePayloadMaxBytes)
    throw new RangeError(`a frame of ${payload.length} bytes is over the sentry's bound`);
  const header = { length: payload.length, type, reserved: 0, request, sandbox };
  return Buffer.concat([packStruct(structs.frame, header), payload]);
}

export interface ReceivedFrame {
  readonly type: number;
  readonly request: number;
  readonly sandbox: number;
  readonly payload: Buffer;
}

/** Cuts a byte stream into frames, whatever the pieces it arrives in. */
export class FrameSplitter {
  #pieces: Buffer[] = [];
  #length = 0;

  /** @throws RangeError when a frame is over the bound: the stream cannot be used any more. */
  push(piece: Buffer): ReceivedFrame[] {
    this.#pieces.push(piece);
    this.#length += piece.length;
    if (this.#length < frameHeaderBytes) return [];
    const bytes = Buffer.concat(this.#pieces);
    const frames: ReceivedFrame[] = [];
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const header = new PayloadReader(bytes.subarray(at)).struct(structs.frame);
      if (header.length > framePayloadMaxBytes)
        throw new RangeError(`the sentry sent a frame of ${header.length} bytes`);
      const end = at + frameHeaderBytes + header.length;
      if (end > bytes.length) break;
      const payload = bytes.subarray(at + frameHeaderBytes, end);
      frames.push({ type: header.type, request: header.request, sandbox: header.sandbox, payload });
      at = end;
    }
    const rest = bytes.subarray(at);
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
    return frames;
  }
}
