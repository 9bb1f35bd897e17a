import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BoundaryTracker } from '../../../host-helper/turns/boundaries.ts';
import type { Arrival, Exchange } from '../../../host-helper/turns/boundaries.ts';
import type { MainLoopRequest } from '../../../host-helper/turns/model-endpoint.ts';
import type { WireMessage, WireRequest } from '../../../host-helper/turns/wire/wire-message.ts';

const user = (text: string): WireMessage => ({ role: 'user', text, calls: [], results: [] });
const call = (id: string): WireMessage => ({
  role: 'assistant',
  text: '',
  calls: [{ id, name: 'bash' }],
  results: [],
});
const result = (id: string): WireMessage => ({
  role: 'tool',
  text: '',
  calls: [],
  results: [{ id, text: 'ok', failed: false }],
});

function wire(messages: readonly WireMessage[], side = false): WireRequest {
  return { model: 'm', streaming: true, messages, tools: [], side, history: JSON.stringify(messages) };
}

function tracker(): {
  boundaries: MainLoopRequest[];
  tracked: BoundaryTracker;
  arrive: (messages: readonly WireMessage[]) => Arrival;
} {
  const boundaries: MainLoopRequest[] = [];
  const tracked = new BoundaryTracker((request) => {
    boundaries.push(request);
    return Promise.resolve();
  });
  return { boundaries, tracked, arrive: (messages) => tracked.arrive('openai-chat', wire(messages)) };
}

function exchangeOf(arrival: Arrival): Exchange {
  assert.ok(arrival.kind === 'boundary' || arrival.kind === 'resent');
  return arrival.exchange;
}

const first = [user('go')];
const second = [...first, call('a'), result('a')];
const third = [...second, call('b'), result('b')];

test('each step of the main loop is a boundary and names its new results only', () => {
  const { boundaries, tracked, arrive } = tracker();
  for (const messages of [first, second, third]) tracked.settle(exchangeOf(arrive(messages)), true);
  assert.deepEqual(
    boundaries.map(({ number }) => number),
    [1, 2, 3],
  );
  assert.deepEqual(
    boundaries.map(({ toolResults }) => toolResults.map(({ id }) => id)),
    [[], ['a'], ['b']],
  );
  assert.deepEqual(
    boundaries.map(({ userText }) => userText),
    ['go', undefined, undefined],
  );
});

test('a side call is no boundary', () => {
  const { boundaries, tracked } = tracker();
  assert.equal(tracked.arrive('openai-chat', wire(first, true)).kind, 'side');
  assert.equal(boundaries.length, 0);
});

test('a request sent again after a failure is the same turn', () => {
  const { boundaries, tracked, arrive } = tracker();
  const failed = exchangeOf(arrive(first));
  tracked.settle(failed, false);
  const again = arrive(first);
  assert.equal(again.kind, 'resent');
  assert.equal(exchangeOf(again), failed);
  assert.equal(boundaries.length, 1);
});

test('a request sent again while the first is still open is the same turn', () => {
  const { boundaries, tracked, arrive } = tracker();
  arrive(first);
  assert.equal(arrive(first).kind, 'resent');
  assert.equal(boundaries.length, 1);
  assert.equal(tracked.pending, 1);
});

test('the same question asked again after its answer is a new turn', () => {
  const { boundaries, tracked, arrive } = tracker();
  tracked.settle(exchangeOf(arrive(first)), true);
  assert.equal(arrive(first).kind, 'boundary');
  assert.equal(boundaries.length, 2);
});

test('another conversation beside an open request belongs to the open turn', () => {
  const { boundaries, tracked, arrive } = tracker();
  const main = exchangeOf(arrive(second));
  assert.equal(arrive([user('you are a helper agent')]).kind, 'parallel');
  assert.equal(boundaries.length, 1);
  tracked.settle(main, true);
  assert.equal(arrive([user('you are another helper agent')]).kind, 'boundary');
});

test('the next step that comes before the stream of the last reply is over is a boundary', () => {
  const { boundaries, arrive } = tracker();
  arrive(first);
  assert.equal(arrive(second).kind, 'boundary');
  assert.equal(boundaries.length, 2);
});

test('after a reset, a request that was asked before is a boundary again', () => {
  const { boundaries, tracked, arrive } = tracker();
  for (const messages of [first, second, third]) tracked.settle(exchangeOf(arrive(messages)), true);
  arrive([...third, user('more')]);
  tracked.reset();
  assert.equal(arrive(second).kind, 'boundary');
  assert.equal(boundaries.at(-1)?.number, 5);
  assert.deepEqual(
    boundaries.at(-1)?.toolResults.map(({ id }) => id),
    ['a'],
  );
});

test("what an agent puts before a person's words is not taken for them", () => {
  const { boundaries, tracked, arrive } = tracker();
  const context = '<session_context>\nToday is Monday.\n</session_context>\n';
  tracked.settle(exchangeOf(arrive([user(`${context}Fix it.`)])), true);
  tracked.settle(exchangeOf(arrive([user(context)])), true);
  assert.deepEqual(
    boundaries.map(({ userText }) => userText),
    ['Fix it.', undefined],
  );
});
