/**
 * The frames of the tree worker (treefs/treefs.h says the same in C): how requests are written and replies are read.
 * Paths and names are byte strings: kept here as latin1 text, so that a name that is not UTF-8 survives.
 */

import { TurntableError } from '../protocol/errors.ts';

export const headerBytes = 12;
export const maxPayloadBytes = 2 << 20;
export const maxPathBytes = 4000;
/** Contents longer than this are kept as a list of blocks of this size. */
export const blockBytes = 256 << 10;
export const statBytes = 64;
const scanRecordBytes = 72;
const detailRecordBytes = 88;

export const requestType = {
  scan: 1,
  detail: 2,
  stream: 3,
  sync: 4,
  lock: 5,
  punch: 6,
  strip: 7,
  apply: 8,
  applyEnd: 9,
  copyUp: 10,
  directory: 32,
  fileBegin: 33,
  fileData: 34,
  fileZero: 35,
  fileEnd: 36,
  symlink: 37,
  node: 38,
  link: 39,
  remove: 40,
  meta: 41,
} as const;

export const replyType = {
  done: 128,
  failed: 129,
  scan: 130,
  warning: 131,
  detail: 132,
  block: 133,
  stat: 134,
} as const;

/** What lies on another device is named, not entered. */
export const scanStayOnDevice = 1;
/** Only `start` and what is in it. */
export const scanShallow = 2;
export const fileInPlace = 1;
export const fileFsync = 2;
export const fileExpect = 4;
export const removeExpect = 1;
export const removeOnlyEmpty = 2;
export const removeFsync = 4;

/** What `statx` says of an entry. `signature` is the whole record as text: equal when nothing the kernel tells has changed. */
export interface EntryStat {
  readonly signature: string;
  readonly ino: bigint;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  /** With the type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
}

/** The inode number as the first bytes of a signature have it. */
export function inodeOf(signature: string): string {
  return signature.slice(0, 8);
}

export function inodeFrom(number: bigint): string {
  const data = Buffer.alloc(8);
  data.writeBigUInt64LE(number);
  return data.toString('latin1');
}

export interface ScanRecord {
  readonly depth: number;
  readonly name: string;
  /** Its directory could not be listed, or lies on another device. */
  readonly unlisted: boolean;
  readonly signature: string;
}

export interface Detail {
  readonly index: number;
  /** errno, 0 when all went well. */
  readonly error: number;
  readonly stat: EntryStat;
  readonly unstable: boolean;
  readonly xattrs: readonly Xattr[];
  readonly target: string;
  /** Undefined for what is no regular file, or is longer than asked for. */
  readonly content: Buffer | undefined;
}

export interface Xattr {
  readonly name: string;
  readonly value: Buffer;
}

/** Everything about an entry but its content. Times are left alone when `mtimeSec` is undefined, xattrs when `xattrs` is. */
export interface EntryMeta {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number | undefined;
  readonly mtimeNsec: number;
  readonly xattrs: readonly Xattr[] | undefined;
}

/** What must be there when an entry is replaced: undefined, nothing. */
export interface Expectation {
  readonly ino: bigint;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

/** Builds one request's payload. */
export class PayloadWriter {
  #parts: Buffer[] = [];

  u32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value >>> 0);
    this.#parts.push(part);
    return this;
  }

  u64(value: number | bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    this.#parts.push(part);
    return this;
  }

  text(value: string): this {
    const part = Buffer.from(value, 'latin1');
    return this.u32(part.length).bytes(part);
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(
      Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length),
    );
    return this;
  }

  path(value: string): this {
    if (value.length > maxPathBytes) {
      throw new TurntableError(
        'internal',
        `The path is longer than ${maxPathBytes} bytes: ${displayName(value.slice(0, 200))}…`,
      );
    }
    return this.text(value);
  }

  meta(meta: EntryMeta): this {
    const xattrs = meta.xattrs ? encodeXattrs(meta.xattrs) : Buffer.alloc(0);
    const flags = (meta.mtimeSec === undefined ? 1 : 0) | (meta.xattrs === undefined ? 2 : 0);
    this.u32(meta.mode)
      .u32(meta.uid)
      .u32(meta.gid)
      .u64(meta.mtimeSec ?? 0)
      .u32(meta.mtimeNsec);
    return this.u32(flags).u32(xattrs.length).bytes(xattrs);
  }

  expectation(expected: Expectation | undefined): this {
    return this.u64(expected?.ino ?? 0)
      .u64(expected?.ctimeSec ?? 0)
      .u32(expected?.ctimeNsec ?? 0);
  }

  build(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The worker's own form of a list of extended attributes. */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer {
  const writer: Buffer[] = [];
  for (const { name, value } of xattrs) {
    const head = Buffer.alloc(8);
    const nameBytes = Buffer.from(name, 'latin1');
    head.writeUInt16LE(nameBytes.length, 0);
    head.writeUInt32LE(value.length, 4);
    writer.push(head, nameBytes, value);
  }
  return Buffer.concat(writer);
}

/** Sorted by name, so that equal sets are equal bytes. */
export function decodeXattrs(data: Buffer): Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = 0; at + 8 <= data.length;) {
    const nameLength = data.readUInt16LE(at);
    const valueLength = data.readUInt32LE(at + 4);
    const name = data.toString('latin1', at + 8, at + 8 + nameLength);
    xattrs.push({
      name,
      value: Buffer.from(data.subarray(at + 8 + nameLength, at + 8 + nameLength + valueLength)),
    });
    at += 8 + nameLength + valueLength;
  }
  return xattrs.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export function decodeStat(signature: string): EntryStat {
  const data = Buffer.from(signature, 'latin1');
  return {
    signature,
    ino: data.readBigUInt64LE(0),
    size: Number(data.readBigUInt64LE(8)),
    mtimeSec: Number(data.readBigInt64LE(16)),
    ctimeSec: Number(data.readBigInt64LE(24)),
    mtimeNsec: data.readUInt32LE(32),
    ctimeNsec: data.readUInt32LE(36),
    mode: data.readUInt32LE(40),
    uid: data.readUInt32LE(44),
    gid: data.readUInt32LE(48),
    nlink: data.readUInt32LE(52),
    rdevMajor: data.readUInt32LE(56),
    rdevMinor: data.readUInt32LE(60),
  };
}

export function* decodeScan(payload: Buffer): Generator<ScanRecord> {
  for (let at = 0; at < payload.length;) {
    if (at + scanRecordBytes > payload.length) throw malformed('scan record');
    const nameLength = payload.readUInt16LE(at + statBytes + 2);
    const end = at + scanRecordBytes + nameLength;
    if (end > payload.length) throw malformed('scan name');
    yield {
      signature: payload.toString('latin1', at, at + statBytes),
      depth: payload.readUInt16LE(at + statBytes),
      unlisted: payload.readUInt16LE(at + statBytes + 4) !== 0,
      name: payload.toString('latin1', at + scanRecordBytes, end),
    };
    at = end;
  }
}

export function decodeDetail(payload: Buffer): Detail {
  if (payload.length < detailRecordBytes) throw malformed('detail record');
  const flags = payload.readUInt32LE(72);
  const xattrEnd = detailRecordBytes + payload.readUInt32LE(76);
  const targetEnd = xattrEnd + payload.readUInt32LE(80);
  const contentEnd = targetEnd + payload.readUInt32LE(84);
  if (contentEnd !== payload.length) throw malformed('detail lengths');
  return {
    index: payload.readUInt32LE(0),
    error: payload.readInt32LE(4),
    stat: decodeStat(payload.toString('latin1', 8, 8 + statBytes)),
    unstable: (flags & 2) !== 0,
    xattrs: decodeXattrs(payload.subarray(detailRecordBytes, xattrEnd)),
    target: payload.toString('latin1', xattrEnd, targetEnd),
    content: flags & 1 ? Buffer.from(payload.subarray(targetEnd, contentEnd)) : undefined,
  };
}

export function decodeStatFrame(payload: Buffer): EntryStat {
  if (payload.length !== statBytes) throw malformed('stat');
  return decodeStat(payload.toString('latin1', 0, statBytes));
}

/** errno and the text of a failure or warning. */
export function decodeFailure(payload: Buffer): { readonly errno: number; readonly text: string } {
  if (payload.length < 8) throw malformed('failure');
  return { errno: payload.readInt32LE(0), text: payload.subarray(8).toString('utf8') };
}

/** A byte-string name for people: UTF-8 where it is. */
export function displayName(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

/** The byte-string form of ordinary text. */
export function byteName(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function malformed(what: string): TurntableError {
  return new TurntableError(
    'internal',
    `The tree worker sent a malformed ${what}. Rebuild it: make -C host-helper/store/treefs`,
  );
}
