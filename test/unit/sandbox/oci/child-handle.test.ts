import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChildHandle } from '../../../../host-helper/sandbox/oci/child-handle.ts';
import {
  frameKinds,
  FrameReader,
  stdinWindowBytes,
  type Frame,
} from '../../../../host-helper/sandbox/oci/supervisor-wire.ts';

function setUp(): { child: ChildHandle; sent: Frame[]; stdinBytes: () => number } {
  const sent: Frame[] = [];
  const reader = new FrameReader();
  const child = new ChildHandle({ tag: 3, pid: 10, terminal: false, unconsumedBytes: 0 }, (frame) =>
    sent.push(...reader.push(frame)),
  );
  const stdinBytes = (): number =>
    sent
      .filter((frame) => frame.kind === frameKinds.stdin)
      .reduce((sum, frame) => sum + frame.payload.byteLength, 0);
  return { child, sent, stdinBytes };
}

test('output without a listener is kept and given to the first one only', () => {
  const { child } = setUp();
  child.deliver('stdout', Buffer.from('a'));
  child.deliver('stderr', Buffer.from('b'));
  const heard: string[] = [];
  child.onOutput((stream, data) => heard.push(`${stream} ${Buffer.from(data).toString()}`));
  assert.deepEqual(heard, ['stdout a', 'stderr b']);
  const late: string[] = [];
  child.onOutput((_stream, data) => late.push(Buffer.from(data).toString()));
  child.deliver('stdout', Buffer.from('c'));
  assert.deepEqual(late, ['c']);
});

test('what is kept without a listener is bounded: the oldest goes', () => {
  const { child } = setUp();
  for (let index = 0; index < 40; index++) child.deliver('stdout', Buffer.alloc(64 << 10, index));
  let bytes = 0;
  let last = -1;
  child.onOutput((_stream, data) => {
    bytes += data.byteLength;
    last = data[0] ?? -1;
  });
  assert.equal(bytes, 1 << 20);
  assert.equal(last, 39);
});

test('stdin never exceeds the window and its end comes after the last byte', () => {
  const { child, sent, stdinBytes } = setUp();
  child.write(Buffer.alloc(stdinWindowBytes * 2));
  child.closeStdin();
  assert.equal(stdinBytes(), stdinWindowBytes);
  child.consumed(stdinWindowBytes);
  assert.equal(stdinBytes(), stdinWindowBytes * 2);
  assert.equal(sent.at(-1)?.kind, frameKinds.stdinEof);
  child.write(Buffer.from('too late'));
  child.closeStdin();
  assert.equal(sent.filter((frame) => frame.kind === frameKinds.stdinEof).length, 1);
});

test('stdin written during a dump waits for the new connection', () => {
  const { child, stdinBytes } = setUp();
  child.pause();
  child.write(Buffer.alloc(10));
  assert.equal(stdinBytes(), 0);
  child.resync(stdinWindowBytes - 5);
  assert.equal(stdinBytes(), 0, 'the supervisor still holds nearly a window full');
  child.consumed(stdinWindowBytes - 5);
  assert.equal(stdinBytes(), 10);
});

test('the first exit code stays', async () => {
  const { child } = setUp();
  child.settle(4);
  child.settle(137);
  assert.equal(await child.exited, 4);
});
