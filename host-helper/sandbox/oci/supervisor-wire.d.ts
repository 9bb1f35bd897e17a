/**
 * The frames between the helper and the supervisor, as bytes. Mirrors supervisor/wire.h; a unit test compares the numbers.
 * The other end runs in the sandbox and may be anything: whatever comes in is bounded and checked here.
 */
export declare const wireVersion = 1;
export declare const headerBytes = 12;
/** Largest payload towards the supervisor. */
export declare const maxPayloadBytes: number;
/** Largest payload that is believed from it. */
export declare const maxIncomingBytes: number;
/** Stdin bytes that may be on their way unconsumed, per child. */
export declare const stdinWindowBytes: number;
export declare const frameKinds: {
  readonly spawn: 1;
  readonly stdin: 2;
  readonly stdinEof: 3;
  readonly resize: 4;
  readonly kill: 5;
  readonly exitAck: 6;
  readonly detach: 7;
  readonly hello: 64;
  readonly child: 65;
  readonly ready: 66;
  readonly spawned: 67;
  readonly spawnFailed: 68;
  readonly output: 69;
  readonly dropped: 70;
  readonly exit: 71;
  readonly stdinConsumed: 72;
};
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
export declare function encodeFrame(kind: number, tag: number, payload?: Uint8Array): Buffer;
/** The payload of SPAWN. Throws RangeError when a string holds NUL or everything together is too large. */
export declare function encodeSpawn(request: {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly terminal:
    | {
        readonly columns: number;
        readonly rows: number;
      }
    | undefined;
}): Buffer;
export declare function encodeSize(columns: number, rows: number): Buffer;
export declare function encodeNumber(value: number): Buffer;
/** Throws RangeError when the payload is too short. */
export declare function decodeChild(payload: Buffer): ChildDescription;
/** Cuts a byte stream into frames. Throws RangeError on a frame that is too large: the connection is then useless. */
export declare class FrameReader {
  #private;
  push(data: Buffer): Frame[];
}
