import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  decodeChild,
  encodeFrame,
  encodeSpawn,
  frameKinds,
  FrameReader,
  headerBytes,
  maxIncomingBytes,
  maxPayloadBytes,
  stdinWindowBytes,
  wireVersion,
} from '../../../../host-helper/sandbox/oci/supervisor-wire.ts';

const header = await readFile(
  join(import.meta.dirname, '../../../../host-helper/sandbox/oci/supervisor/wire.h'),
  'utf8',
);

/** `FRAME_SPAWN_FAILED` → `spawnFailed`. */
function camel(name: string): string {
  return name.toLowerCase().replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase());
}

function defined(name: string): number {
  const text = new RegExp(`#define ${name} \\(?(\\d+)u?(?: << (\\d+)\\))?`).exec(header);
  assert.ok(text, name);
  return Number(text[1]) << Number(text[2] ?? 0);
}

test('every frame kind has the same number on both sides', () => {
  const inC = Object.fromEntries(
    [...header.matchAll(/FRAME_([A-Z_]+) = (\d+)/g)].map((match) => [
      camel(match[1] ?? ''),
      Number(match[2]),
    ]),
  );
  assert.deepEqual(inC, { ...frameKinds });
});

test('limits and version are the same on both sides', () => {
  assert.equal(defined('WIRE_VERSION'), wireVersion);
  assert.equal(defined('WIRE_MAX_PAYLOAD'), maxPayloadBytes);
  assert.equal(defined('WIRE_STDIN_WINDOW'), stdinWindowBytes);
  assert.ok(defined('WIRE_MAX_OUTPUT') <= maxIncomingBytes);
  assert.match(header, new RegExp(`sizeof\\(struct frame_header\\) == ${headerBytes},`));
});

test('frames survive being cut anywhere', () => {
  const stream = Buffer.concat([
    encodeFrame(frameKinds.output, 7, Buffer.from('hello')),
    encodeFrame(frameKinds.ready, 0),
    encodeFrame(frameKinds.exit, 9, Buffer.from([1, 0, 0, 0])),
  ]);
  for (let size = 1; size <= stream.byteLength; size++) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < stream.byteLength; at += size)
      frames.push(...reader.push(stream.subarray(at, at + size)));
    assert.deepEqual(
      frames.map((frame) => [frame.kind, frame.tag, frame.payload.toString('latin1')]),
      [
        [frameKinds.output, 7, 'hello'],
        [frameKinds.ready, 0, ''],
        [frameKinds.exit, 9, '\x01\0\0\0'],
      ],
    );
  }
});

test('a frame larger than anything sensible is refused before it is collected', () => {
  const frame = encodeFrame(frameKinds.output, 1);
  frame.writeUInt32LE(maxIncomingBytes + 1, 0);
  assert.throws(() => new FrameReader().push(frame), RangeError);
});

test('a command with a NUL byte or of absurd size is refused', () => {
  const request = { argv: ['a'], cwd: '/', env: {}, terminal: undefined };
  assert.throws(() => encodeSpawn({ ...request, argv: ['a\0b'] }), RangeError);
  assert.throws(() => encodeSpawn({ ...request, env: { A: 'x'.repeat(maxPayloadBytes) } }), RangeError);
  assert.equal(encodeSpawn(request).toString('latin1').slice(16), '/\0a\0');
});

test('a child description that is too short throws instead of inventing numbers', () => {
  assert.throws(() => decodeChild(Buffer.alloc(15)), RangeError);
});
