/**
 * The archive of a session as bytes: a magic number, then frames of a type, each compressed on its own, the last one with a
 * digest of all before. Owns limits and the order of bytes; what a frame means stands in archive-schema.ts.
 *
 *   "turntable" 0x1a, u16 version; then u8 type, u8 codec (0 plain, 1 zstd), u16 0, u32 size, u32 stored size, data
 */

import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { archiveInvalid, archiveTooLarge } from '../store/transfer-errors.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

export const archiveVersion = 1;
const magic = Buffer.from('turntable\u001a', 'latin1');
const prefixBytes = magic.length + 2;
const headBytes = 12;
/** A folder of half a million entries is one object, and that one frame. */
const maxFrameBytes = 128 << 20;
const compressFromBytes = 128;

export const frameType = { header: 1, objects: 2, version: 3, image: 4, base: 5, turn: 6, end: 7 } as const;

export interface Frame {
  readonly type: number;
  readonly data: Buffer;
  /** Of everything before this frame; hex. */
  readonly digestBefore: string;
}

export class FrameEncoder {
  readonly #digest = createHash('sha256');
  #started = false;

  /** Of every byte so far; hex. */
  get digest(): string {
    return this.#digest.copy().digest('hex');
  }

  /** The bytes of one frame; the first one brings the magic number along. Throws `archiveTooLarge`. */
  async encode(type: number, data: Buffer): Promise<Buffer> {
    if (data.length > maxFrameBytes)
      throw archiveTooLarge(
        `something in it takes ${data.length} bytes in one piece, of at most ${maxFrameBytes}`,
      );
    const packed = data.length >= compressFromBytes ? await compress(data) : data;
    const saves = packed.length < data.length;
    const stored = saves ? packed : data;
    const head = Buffer.alloc(headBytes);
    head.writeUInt8(type, 0);
    head.writeUInt8(saves ? 1 : 0, 1);
    head.writeUInt32LE(data.length, 4);
    head.writeUInt32LE(stored.length, 8);
    const prefix = this.#started ? [] : [prefix16()];
    this.#started = true;
    const bytes = Buffer.concat([...prefix, head, stored]);
    this.#digest.update(bytes);
    return bytes;
  }
}

/** Takes the bytes of an archive in any portions and gives its frames. Throws `archiveInvalid`. */
export class FrameDecoder {
  readonly #digest = createHash('sha256');
  #held: Buffer[] = [];
  #heldBytes = 0;
  #started = false;

  async *push(data: Buffer): AsyncGenerator<Frame> {
    this.#held.push(data);
    this.#heldBytes += data.length;
    if (!this.#started) {
      const prefix = this.#take(prefixBytes);
      if (!prefix) return;
      if (!prefix.subarray(0, magic.length).equals(magic))
        throw archiveInvalid('it is no archive of a session');
      const version = prefix.readUInt16LE(magic.length);
      if (version !== archiveVersion)
        throw archiveInvalid(`it has format ${version}, and this helper reads format ${archiveVersion}`);
      this.#started = true;
    }
    for (;;) {
      const head = this.#peek(headBytes);
      if (!head) return;
      const [type, codec, zero] = [head.readUInt8(0), head.readUInt8(1), head.readUInt16LE(2)];
      const [size, stored] = [head.readUInt32LE(4), head.readUInt32LE(8)];
      if (
        codec > 1 ||
        zero !== 0 ||
        size > maxFrameBytes ||
        stored > size ||
        (codec === 0 && stored !== size)
      )
        throw archiveInvalid('it is damaged');
      if (this.#heldBytes < headBytes + stored) return;
      const digestBefore = this.#digest.copy().digest('hex');
      this.#take(headBytes);
      const body = this.#take(stored) ?? Buffer.alloc(0);
      yield { type, data: codec === 1 ? await unpack(body, size) : body, digestBefore };
    }
  }

  /** Bytes that no frame has used. */
  get rest(): number {
    return this.#heldBytes;
  }

  #peek(bytes: number): Buffer | undefined {
    if (this.#heldBytes < bytes) return undefined;
    const [first] = this.#held;
    if (first && first.length >= bytes) return first;
    const all = Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [all];
    return all;
  }

  #take(bytes: number): Buffer | undefined {
    const data = this.#peek(bytes);
    if (!data) return undefined;
    const taken = data.subarray(0, bytes);
    const left = data.subarray(bytes);
    this.#held = [...(left.length > 0 ? [left] : []), ...this.#held.slice(1)];
    this.#heldBytes -= bytes;
    this.#digest.update(taken);
    return taken;
  }
}

async function unpack(body: Buffer, size: number): Promise<Buffer> {
  let data: Buffer;
  try {
    data = await decompress(body, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw archiveInvalid('it is damaged', cause);
  }
  if (data.length !== size) throw archiveInvalid('it is damaged');
  return data;
}

function prefix16(): Buffer {
  const version = Buffer.alloc(2);
  version.writeUInt16LE(archiveVersion);
  return Buffer.concat([magic, version]);
}

const objectHeadBytes = 36;

/** Objects in one frame: hash, u32 size, data, one behind the other. */
export function encodeObjects(objects: readonly { readonly hash: string; readonly data: Buffer }[]): Buffer {
  const parts: Buffer[] = [];
  for (const { hash, data } of objects) {
    const head = Buffer.alloc(objectHeadBytes);
    head.write(hash, 0, 'latin1');
    head.writeUInt32LE(data.length, 32);
    parts.push(head, data);
  }
  return Buffer.concat(parts);
}

export function* decodeObjects(data: Buffer): Generator<{ readonly hash: string; readonly data: Buffer }> {
  for (let at = 0; at < data.length;) {
    if (at + objectHeadBytes > data.length) throw archiveInvalid('it is damaged');
    const size = data.readUInt32LE(at + 32);
    const start = at + objectHeadBytes;
    if (start + size > data.length) throw archiveInvalid('it is damaged');
    yield { hash: data.toString('latin1', at, at + 32), data: data.subarray(start, start + size) };
    at = start + size;
  }
}
