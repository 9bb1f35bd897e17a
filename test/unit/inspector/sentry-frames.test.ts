import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  flagBits,
  frameHeaderBytes,
  framePayloadMaxBytes,
  FrameSplitter,
  frameTypes,
  killReasons,
  packFrame,
  packStruct,
  PayloadReader,
  sentryVersion,
  structs,
  verdicts,
} from '../../../host-helper/inspector/sentry-frames.ts';

const header = readFileSync(new URL('../../../bpf/sentry.h', import.meta.url), 'utf8').replace(
  /\/\*[\s\S]*?\*\//g,
  '',
);

const camel = (name: string): string =>
  name.toLowerCase().replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());

const cTypes: Readonly<Record<string, string>> = {
  uint16_t: 'u16',
  uint32_t: 'u32',
  int32_t: 'i32',
  uint64_t: 'u64',
};

function structsOfHeader(): Map<string, { fields: [string, string][]; sizeBytes: number }> {
  const found = new Map<string, { fields: [string, string][]; sizeBytes: number }>();
  for (const [, name = '', body = ''] of header.matchAll(/struct sentry_(\w+) \{([^}]*)\};/g)) {
    const fields: [string, string][] = [];
    for (const line of body.split(';').map((part) => part.trim())) {
      if (line === '') continue;
      const match = /^(\w+) (\w+)$/.exec(line);
      assert.ok(match, `sentry_${name}: "${line}" is not a plain fixed-width member`);
      const type = cTypes[match[1] ?? ''];
      assert.ok(type, `sentry_${name}: ${match[1]} has no fixed width`);
      fields.push([camel(match[2] ?? ''), type]);
    }
    const size = new RegExp(`sizeof\\(struct sentry_${name}\\) == (\\d+)`).exec(header);
    assert.ok(size, `sentry_${name} has no _Static_assert of its size`);
    found.set(camel(name), { fields, sizeBytes: Number(size[1]) });
  }
  return found;
}

function constantsOfHeader(): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, name = '', value = ''] of header.matchAll(/#define SENTRY_(\w+) ([0-9* ()]+)/g)) {
    const factors = value.replace(/[() ]/g, '').split('*').map(Number);
    found.set(
      name,
      factors.reduce((product, factor) => product * factor, 1),
    );
  }
  return found;
}

test('every struct of the C header has the same members in the same order and size here', () => {
  const inHeader = structsOfHeader();
  assert.deepEqual([...inHeader.keys()].sort(), Object.keys(structs).sort());
  for (const [name, layout] of Object.entries(structs)) {
    const expected = inHeader.get(name);
    assert.deepEqual(Object.entries(layout.fields), expected?.fields, name);
    assert.equal(layout.sizeBytes, expected?.sizeBytes, name);
  }
});

test('every member of a wire struct is naturally aligned, so that C adds no padding', () => {
  for (const [name, { fields }] of structsOfHeader()) {
    let offset = 0;
    for (const [field, type] of fields) {
      const size = type === 'u64' ? 8 : type === 'u16' ? 2 : 4;
      assert.equal(offset % size, 0, `${name}.${field}`);
      offset += size;
    }
  }
});

test('message types, flags, verdicts and bounds are those of the C header', () => {
  const constants = constantsOfHeader();
  const named = (prefix: string, values: Readonly<Record<string, number>>): void => {
    for (const [name, value] of Object.entries(values)) {
      const inC = prefix + name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
      assert.equal(constants.get(inC), value, inC);
    }
  };
  named('', frameTypes);
  named('', flagBits);
  named('VERDICT_', verdicts);
  assert.equal(constants.get('VERSION'), sentryVersion);
  assert.equal(constants.get('FRAME_MAX_IN'), framePayloadMaxBytes);
  assert.equal(constants.get('FRAME_MAX_OUT'), framePayloadMaxBytes);
  const reasons = [...constants].filter(([name]) => /^KILLED_/.test(name));
  assert.deepEqual(
    reasons.map(([, value]) => value),
    Object.keys(killReasons).map(Number),
  );
});

test('what is packed is read back, with 64-bit numbers and negative status kept', () => {
  const live = {
    pid: 4_000_000_000,
    parentPid: 1,
    sandboxPid: 2,
    flags: 3,
    startTicks: 2n ** 63n,
    runCount: 7n,
    programLength: 8,
    argvLength: 9,
  };
  assert.deepEqual(new PayloadReader(packStruct(structs.live, live)).struct(structs.live), live);
  const done = { status: -2, messageLength: 0 };
  assert.deepEqual(new PayloadReader(packStruct(structs.done, done)).struct(structs.done), done);
});

test('an argv block keeps empty arguments and the cut-off end of a truncated one', () => {
  const read = (block: string): string[] =>
    new PayloadReader(Buffer.from(block)).argv(Buffer.byteLength(block));
  assert.deepEqual(read(''), []);
  assert.deepEqual(read('\0'), ['']);
  assert.deepEqual(read('a\0\0b\0'), ['a', '', 'b']);
  assert.deepEqual(read('a\0bc'), ['a', 'bc']);
});

test('frames are cut from a stream that arrives byte by byte', () => {
  const stream = Buffer.concat([packFrame(65, 1, 2, ['abc']), packFrame(66, 0, 3)]);
  const splitter = new FrameSplitter();
  const frames = [...stream].flatMap((byte) => splitter.push(Buffer.from([byte])));
  assert.deepEqual(
    frames.map(({ type, request, sandbox, payload }) => [type, request, sandbox, `${payload}`]),
    [
      [65, 1, 2, 'abc'],
      [66, 0, 3, ''],
    ],
  );
});

test('a frame over the bound is refused in both directions', () => {
  const head = packStruct(structs.frame, {
    length: framePayloadMaxBytes + 1,
    type: 65,
    reserved: 0,
    request: 0,
    sandbox: 0,
  });
  assert.equal(head.length, frameHeaderBytes);
  assert.throws(() => new FrameSplitter().push(head), RangeError);
  assert.throws(() => packFrame(1, 0, 0, [Buffer.alloc(framePayloadMaxBytes + 1)]), RangeError);
});

test('a payload that is shorter than its fields say is refused', () => {
  const reader = new PayloadReader(Buffer.alloc(4));
  assert.throws(() => reader.struct(structs.exit), RangeError);
  assert.throws(() => new PayloadReader(Buffer.from('ab')).text(3), RangeError);
});
