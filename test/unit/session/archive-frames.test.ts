import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeObjects,
  encodeObjects,
  FrameDecoder,
  FrameEncoder,
  frameType,
} from '../../../host-helper/session/archive-frames.ts';
import { ArchiveOutput } from '../../../host-helper/session/archive-output.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';

/** A small archive: two frames and an end that names the digest of both. */
async function archive(): Promise<Buffer> {
  const encoder = new FrameEncoder();
  const parts = [
    await encoder.encode(frameType.header, Buffer.from('{"head":1}')),
    await encoder.encode(frameType.objects, Buffer.from('same words again and again '.repeat(30))),
  ];
  parts.push(await encoder.encode(frameType.end, Buffer.from(encoder.digest)));
  return Buffer.concat(parts);
}

/** Whether the bytes are a whole archive; throws what the decoder throws. */
async function accepted(bytes: Buffer, portion = bytes.length): Promise<boolean> {
  const decoder = new FrameDecoder();
  let whole = false;
  for (let at = 0; at < bytes.length; at += Math.max(1, portion)) {
    for await (const { type, data, digestBefore } of decoder.push(bytes.subarray(at, at + portion))) {
      assert.equal(whole, false, 'nothing follows the end');
      whole = type === frameType.end && data.toString() === digestBefore;
    }
  }
  return whole && decoder.rest === 0;
}

test('an archive is read in portions of any size', async () => {
  const bytes = await archive();
  for (const portion of [1, 2, 7, 64, bytes.length]) assert.equal(await accepted(bytes, portion), true);
});

test('an archive that is cut short at any byte is not whole', async () => {
  const bytes = await archive();
  for (let length = 0; length < bytes.length; length += 1)
    assert.equal(await accepted(bytes.subarray(0, length)), false, `cut at ${length}`);
});

test('an archive with any byte changed is not whole', async () => {
  const bytes = await archive();
  for (let at = 0; at < bytes.length; at += 1) {
    for (const flip of [1, 0x80, 0xff]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ flip;
      const whole = await accepted(changed).catch((error: unknown) => {
        assert.ok(error instanceof TurntableError && error.code === 'archiveInvalid', String(error));
        return false;
      });
      assert.equal(whole, false, `byte ${at} changed by ${flip}`);
    }
  }
});

test('a frame that claims more than it may unpacks to nothing', async () => {
  const bytes = await archive();
  const huge = Buffer.from(bytes);
  huge.writeUInt32LE(0xffffffff, 12 + 4);
  await assert.rejects(accepted(huge), { code: 'archiveInvalid' });
  const encoder = new FrameEncoder();
  const bomb = await encoder.encode(frameType.objects, Buffer.alloc(4 << 20));
  // The head says a thousandth of what is in it.
  bomb.writeUInt32LE(bomb.readUInt32LE(12 + 8) + 1000, 12 + 4);
  await assert.rejects(accepted(bomb), { code: 'archiveInvalid' });
});

test('objects come back as they were, and a cut one is refused', () => {
  const objects = [
    { hash: 'a'.repeat(32), data: Buffer.from('first') },
    { hash: '\u00ff'.repeat(32), data: Buffer.alloc(0) },
  ];
  const data = encodeObjects(objects);
  assert.deepEqual([...decodeObjects(data)], objects);
  for (let length = 1; length < data.length; length += 1) {
    // Between two objects is a place where a list may end.
    if (length === 36 + 5) continue;
    assert.throws(() => [...decodeObjects(data.subarray(0, length))], { code: 'archiveInvalid' });
  }
});

test('no frame is written that would not be read', async () => {
  const encoder = new FrameEncoder();
  await assert.rejects(encoder.encode(frameType.objects, Buffer.alloc((128 << 20) + 1)), {
    code: 'archiveTooLarge',
  });
  const output = new ArchiveOutput(new AbortController().signal);
  const sizes = [70_000, 2 << 20, 500_000, 400_000];
  for (const [at, size] of sizes.entries())
    await output.take({ hash: `${at}`.padEnd(32, '-'), data: Buffer.alloc(size) });
  await output.end([]);
  const frames: number[][] = [];
  for await (const { type, data } of new FrameDecoder().push((await output.read(8 << 20)).data))
    if (type === frameType.objects) frames.push([...decodeObjects(data)].map((object) => object.data.length));
  assert.deepEqual(frames, [[70_000], [2 << 20], [500_000, 400_000]], 'a large object is alone');
});
