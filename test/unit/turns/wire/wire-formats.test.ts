import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ReplyTap } from '../../../../host-helper/turns/reply-tap.ts';
import { formatOf, wireReaders } from '../../../../host-helper/turns/wire/wire-formats.ts';
import type { WireFormat } from '../../../../host-helper/turns/model-endpoint.ts';
import type { Conversation } from '../../../../host-helper/protocol/state.ts';
import { fixtures } from './fixtures.ts';

const formats = Object.keys(fixtures) as WireFormat[];

function readReply(
  format: WireFormat,
  contentType: string,
  pieces: readonly Uint8Array[],
): { conversation: Conversation; answered: boolean } {
  const reader = wireReaders[format];
  const request = reader.readRequest(fixtures[format].path, {}, fixtures[format].request);
  assert.ok(request);
  const tap = new ReplyTap(reader.createReplyReader(request), 200, { 'content-type': contentType });
  for (const piece of pieces) tap.feed(piece);
  tap.end();
  return { conversation: tap.conversation(), answered: tap.answered };
}

function split(bytes: Uint8Array, sizeBytes: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += sizeBytes) pieces.push(bytes.subarray(at, at + sizeBytes));
  return pieces;
}

for (const format of formats) {
  const fixture = fixtures[format];

  test(`${format}: a streamed reply gives text, tool call, usage and model`, () => {
    const { conversation, answered } = readReply(format, 'text/event-stream', [Buffer.from(fixture.stream)]);
    assert.deepEqual(conversation, fixture.conversation);
    assert.equal(answered, true);
  });

  test(`${format}: a stream cut into pieces of any size reads the same, also in the middle of a character`, () => {
    const bytes = Buffer.from(fixture.stream);
    for (const sizeBytes of [1, 2, 3, 7, 61]) {
      assert.deepEqual(
        readReply(format, 'text/event-stream; charset=utf-8', split(bytes, sizeBytes)).conversation,
        fixture.conversation,
      );
    }
  });

  test(`${format}: a stream with CRLF line ends reads the same`, () => {
    const bytes = Buffer.from(fixture.stream.replaceAll('\n', '\r\n'));
    assert.deepEqual(
      readReply(format, 'text/event-stream', split(bytes, 5)).conversation,
      fixture.conversation,
    );
  });

  test(`${format}: a whole JSON reply reads the same as the stream`, () => {
    const { conversation, answered } = readReply(
      format,
      'application/json',
      split(Buffer.from(fixture.json), 11),
    );
    assert.deepEqual(conversation, fixture.conversation);
    assert.equal(answered, true);
  });

  test(`${format}: a stream that stops in the middle is not answered and says so`, () => {
    const half = Buffer.from(fixture.stream).subarray(0, fixture.stream.length / 2);
    const { conversation, answered } = readReply(format, 'text/event-stream', [half]);
    assert.equal(answered, false);
    assert.match(conversation.error ?? '', /before it was complete/);
  });

  test(`${format}: nonsense in the stream becomes the conversation's error`, () => {
    const { conversation, answered } = readReply(format, 'text/event-stream', [
      Buffer.from('data: {"choices": 7, "type": 3, "candidates": "x"}\n\n'),
    ]);
    assert.equal(answered, false);
    assert.match(conversation.error ?? '', /could not be read/);
  });

  test(`${format}: an error status keeps the provider's message`, () => {
    const reader = wireReaders[format];
    const request = reader.readRequest(fixture.path, {}, fixture.request);
    assert.ok(request);
    const tap = new ReplyTap(reader.createReplyReader(request), 529, { 'content-type': 'application/json' });
    tap.feed(Buffer.from('{"error":{"message":"we are \\"full\\""}}'));
    tap.end();
    assert.equal(tap.answered, false);
    assert.match(tap.conversation().error ?? '', /^HTTP 529 we are/);
  });

  test(`${format}: a request gives user text, calls, results and tools`, () => {
    const request = wireReaders[format].readRequest(fixture.path, {}, fixture.request);
    assert.ok(request);
    assert.equal(request.side, false);
    assert.equal(request.streaming, true);
    assert.deepEqual(
      request.messages.map(({ role, text, calls, results }) => ({
        role,
        text,
        calls: calls.map(({ id }) => id),
        results: results.map(({ id }) => id),
      })),
      fixture.messages,
    );
    assert.deepEqual(
      request.tools.map(({ name }) => name),
      ['bash'],
    );
    assert.equal(formatOf(fixture.path, {}, 'openai-chat'), format);
  });

  test(`${format}: a request without tools is a side call, and another path is none at all`, () => {
    const { tools: _tools, ...bare } = fixture.request;
    assert.equal(wireReaders[format].readRequest(fixture.path, {}, bare)?.side, true);
    assert.equal(wireReaders[format].readRequest('/v1/models', {}, fixture.request), undefined);
    assert.equal(
      wireReaders[format].readRequest('/v1/messages/count_tokens', {}, fixture.request),
      undefined,
    );
  });

  test(`${format}: cache marks and unknown fields do not change a history, another message does`, () => {
    const reader = wireReaders[format];
    const plain = reader.readRequest(fixture.path, {}, fixture.request);
    const marked = JSON.parse(
      JSON.stringify({ ...fixture.request, metadata: { attempt: 2 } }),
      (_key, value: unknown) =>
        typeof value === 'object' && value !== null && 'text' in value
          ? { ...value, cache_control: { type: 'ephemeral' } }
          : value,
    ) as unknown;
    const again = reader.readRequest(fixture.path, {}, marked);
    assert.equal(again?.history, plain?.history);
    const other = reader.readRequest(
      fixture.path,
      {},
      JSON.parse(JSON.stringify(fixture.request).replace('Grüße', 'Hello')),
    );
    assert.notEqual(other?.history, plain?.history);
  });
}

test('anthropic-messages: a suggestion request with tools is a side call', () => {
  const { path, request } = fixtures['anthropic-messages'];
  const suggestion = {
    ...request,
    messages: [{ role: 'user', content: '[SUGGESTION MODE: what would the user type next]' }],
  };
  assert.equal(wireReaders['anthropic-messages'].readRequest(path, {}, suggestion)?.side, true);
});

test('openai-responses: a compaction marked by its header is a side call', () => {
  const { path, request } = fixtures['openai-responses'];
  const reader = wireReaders['openai-responses'];
  assert.equal(reader.readRequest(path, { 'x-openai-subagent': 'compact' }, request)?.side, true);
  assert.equal(reader.readRequest(path, { 'x-openai-subagent': 'review' }, request)?.side, false);
});

test('gemini: a request for JSON is a side call', () => {
  const { path, request } = fixtures.gemini;
  const classifier = { ...request, generationConfig: { responseMimeType: 'application/json' } };
  assert.equal(wireReaders.gemini.readRequest(path, {}, classifier)?.side, true);
});
