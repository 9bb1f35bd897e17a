/**
 * Which files the processes of a CRIU image have open or mapped: reads files.img (two magic numbers, then u32 size and a
 * protobuf message each; images/fdinfo.proto and regfile.proto of CRIU say which field is which). Tells names, nothing else.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const commonMagic = 0x54564319;
const filesMagic = 0x56303138;
/** Field numbers. */
const fileEntryReg = 3;
const regEntryName = 6;
const bytesWire = 2;

/** Absolute paths, each once; empty for an image of another form. */
export async function imageFiles(imageDirectory: string): Promise<readonly string[]> {
  const data = await readFile(join(imageDirectory, 'files.img')).catch(() => Buffer.alloc(0));
  if (data.length < 8 || data.readUInt32LE(0) !== commonMagic || data.readUInt32LE(4) !== filesMagic)
    return [];
  const paths = new Set<string>();
  for (let at = 8; at + 4 <= data.length;) {
    const size = data.readUInt32LE(at);
    const reg = bytesField(data.subarray(at + 4, at + 4 + size), fileEntryReg);
    const name = reg && bytesField(reg, regEntryName);
    if (name) paths.add(`/${name.toString('utf8').replace(/^\/+/, '')}`);
    at += 4 + size;
  }
  return [...paths];
}

/** The first field of that number which holds bytes; undefined when there is none or the message is malformed. */
function bytesField(message: Buffer, wanted: number): Buffer | undefined {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const key = varint();
    const [field, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === bytesWire) {
      const length = varint();
      if (field === wanted) return message.subarray(at, at + length);
      at += length;
    } else return undefined;
  }
  return undefined;
}
