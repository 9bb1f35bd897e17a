import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { silentLogger } from '../../../host-helper/log.ts';
import type { Conversation } from '../../../host-helper/protocol/state.ts';
import type {
  MainLoopRequest,
  ModelEndpoint,
  ModelEndpointHooks,
  Upstream,
} from '../../../host-helper/turns/model-endpoint.ts';
import { createModelEndpoint } from '../../../host-helper/turns/model-proxy.ts';
import type { ModelEndpointOptions } from '../../../host-helper/turns/model-proxy.ts';
import { placeholderKey } from '../../../host-helper/turns/upstream-request.ts';
import { fixtures } from './wire/fixtures.ts';

type Handler = (request: http.IncomingMessage, body: Buffer, response: http.ServerResponse) => void;

interface Seen {
  readonly boundaries: MainLoopRequest[];
  readonly replies: { number: number; conversation: Conversation }[];
  readonly released: { number: number; heldMs: number; capped: boolean }[];
}

interface Setup {
  readonly endpoint: ModelEndpoint;
  readonly seen: Seen;
  readonly requests: { url: string; headers: http.IncomingHttpHeaders; body: Buffer }[];
  send(options: {
    path?: string;
    method?: string;
    headers?: http.OutgoingHttpHeaders;
    body?: string | Buffer;
  }): Promise<Answer>;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly cut: boolean;
}

const chat = fixtures['openai-chat'];
const chatBody = JSON.stringify(chat.request);

async function setup(
  t: TestContext,
  handler: Handler,
  options: Partial<Omit<ModelEndpointOptions, 'hooks' | 'upstream'>> & {
    hooks?: Partial<ModelEndpointHooks>;
    upstream?: Partial<Upstream>;
    basePath?: string;
  } = {},
): Promise<Setup> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-proxy-'));
  const requests: Setup['requests'] = [];
  const upstream = http.createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces);
      requests.push({ url: request.url ?? '', headers: request.headers, body });
      handler(request, body, response);
    });
    request.on('error', () => {});
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}${options.basePath ?? ''}`;
  const seen: Seen = { boundaries: [], replies: [], released: [] };
  const endpoint = await createModelEndpoint({
    logger: silentLogger,
    ...options,
    socketPath: join(directory, 'model.sock'),
    upstream: {
      baseUrls: { 'openai-chat': url, 'anthropic-messages': url, gemini: url },
      headers: {},
      ...options.upstream,
    },
    hooks: {
      onBoundary: (request) => {
        seen.boundaries.push(request);
        return options.hooks?.onBoundary?.(request) ?? Promise.resolve();
      },
      onReply: (request, conversation) => {
        seen.replies.push({ number: request.number, conversation });
        options.hooks?.onReply?.(request, conversation);
      },
      onReleased: (request, heldMs, capped) =>
        void seen.released.push({ number: request.number, heldMs, capped }),
    },
  });
  t.after(async () => {
    await endpoint.close();
    upstream.close();
    upstream.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    endpoint,
    seen,
    requests,
    send: ({ path, method, headers, body }) =>
      new Promise((resolve, reject) => {
        const request = http.request(
          {
            socketPath: endpoint.socketPath,
            path: path ?? chat.path,
            method: method ?? 'POST',
            headers: { 'content-type': 'application/json', ...headers },
          },
          (response) => {
            const pieces: Buffer[] = [];
            response.on('data', (piece: Buffer) => pieces.push(piece));
            response.on('error', () => {});
            response.on('close', () =>
              resolve({
                status: response.statusCode ?? 0,
                headers: response.headers,
                body: Buffer.concat(pieces).toString('utf8'),
                cut: !response.complete,
              }),
            );
          },
        );
        request.on('error', reject);
        request.end(body);
      }),
  };
}

const streamChat: Handler = (_request, _body, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'r-1' });
  response.end(chat.stream);
};

test('request and reply pass byte for byte, and the conversation is read on the side', async (t) => {
  const { send, requests, seen } = await setup(t, streamChat);
  const answer = await send({
    path: `${chat.path}?beta=true&x=%2F`,
    body: chatBody,
    headers: { 'x-agent': 'a', connection: 'close, x-agent-hop', 'x-agent-hop': '1' },
  });
  assert.equal(answer.body, chat.stream);
  assert.equal(answer.headers['x-request-id'], 'r-1');
  assert.equal(requests[0]?.url, `${chat.path}?beta=true&x=%2F`);
  assert.equal(requests[0]?.body.toString(), chatBody);
  assert.equal(requests[0]?.headers['x-agent'], 'a');
  assert.equal(requests[0]?.headers['x-agent-hop'], undefined);
  assert.deepEqual(seen.replies, [{ number: 1, conversation: chat.conversation }]);
  assert.equal(seen.boundaries[0]?.format, 'openai-chat');
  assert.deepEqual(seen.boundaries[0]?.toolResults, [{ id: 'a1', text: 'ok', failed: false }]);
  assert.equal(seen.released.length, 1);
});

test('credentials are set outside and placeholder keys never leave', async (t) => {
  const { send, requests } = await setup(t, streamChat, {
    upstream: {
      headers: { 'x-team': 'shop' },
      credentials: {
        'openai-chat': { authorization: 'Bearer real' },
        gemini: { 'x-goog-api-key': 'real-g' },
      },
    },
  });
  await send({ body: chatBody, headers: { authorization: `Bearer ${placeholderKey}`, 'x-api-key': 'mine' } });
  assert.equal(requests[0]?.headers.authorization, 'Bearer real');
  assert.equal(requests[0]?.headers['x-api-key'], undefined);
  assert.equal(requests[0]?.headers['x-team'], 'shop');
  await send({
    path: `${fixtures.gemini.path}?key=${placeholderKey}&alt=sse`,
    body: JSON.stringify(fixtures.gemini.request),
  });
  assert.equal(requests[1]?.url, `${fixtures.gemini.path}?alt=sse`);
  assert.equal(requests[1]?.headers['x-goog-api-key'], 'real-g');
  assert.equal(requests[1]?.headers.authorization, undefined);
  await send({
    path: '/v1/messages',
    body: '{}',
    headers: { 'x-api-key': placeholderKey, authorization: 'Bearer of-the-developer' },
  });
  assert.equal(requests[2]?.headers['x-api-key'], undefined);
  assert.equal(requests[2]?.headers.authorization, 'Bearer of-the-developer');
});

test("a base URL's path is kept and its version not doubled", async (t) => {
  const { send, requests } = await setup(t, streamChat, { basePath: '/openai/v1/' });
  await send({ body: chatBody });
  assert.equal(requests[0]?.url, '/openai/v1/chat/completions');
});

test('the first byte waits for the checkpoint, while the request is already upstream', async (t) => {
  const checkpoint = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const { send, requests, seen } = await setup(
    t,
    (request, body, response) => {
      streamChat(request, body, response);
      response.on('finish', () => answered.resolve());
    },
    { hooks: { onBoundary: () => checkpoint.promise } },
  );
  let arrived = false;
  const answer = send({ body: chatBody }).finally(() => {
    arrived = true;
  });
  await answered.promise;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(requests.length, 1);
  assert.equal(arrived, false);
  assert.equal(seen.released.length, 0);
  checkpoint.resolve();
  assert.equal((await answer).body, chat.stream);
  assert.ok((seen.released[0]?.heldMs ?? 0) > 0);
  assert.equal(seen.released[0]?.capped, false);
});

test('a checkpoint that is done before the model answers holds nothing back', async (t) => {
  const head = Promise.withResolvers<http.ServerResponse>();
  const { send, seen } = await setup(t, (_request, _body, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    head.resolve(response);
  });
  const answer = send({ body: chatBody });
  const response = await head.promise;
  while (seen.released.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  response.end(chat.stream);
  assert.equal((await answer).body, chat.stream);
  assert.deepEqual(seen.released, [{ number: 1, heldMs: 0, capped: false }]);
});

test('a checkpoint that never completes is waited for no longer than the cap', async (t) => {
  const { send, seen } = await setup(t, streamChat, {
    holdCapMs: 30,
    hooks: { onBoundary: () => new Promise(() => {}) },
  });
  assert.equal((await send({ body: chatBody })).body, chat.stream);
  assert.equal(seen.released[0]?.capped, true);
});

test('a boundary that fails lets the reply go on', async (t) => {
  const { send } = await setup(t, streamChat, {
    hooks: { onBoundary: () => Promise.reject(new Error('disk full')) },
  });
  assert.equal((await send({ body: chatBody })).body, chat.stream);
});

test('the reply is reported before the agent can see its end', async (t) => {
  let reportedFirst: boolean | undefined;
  let ended = false;
  const { send } = await setup(
    t,
    (_request, _body, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // The connection stays open after the last event.
      response.write(chat.stream);
      setTimeout(() => {
        ended = true;
        response.end();
      }, 50);
    },
    { hooks: { onReply: () => (reportedFirst ??= !ended) } },
  );
  const answer = await send({ body: chatBody });
  assert.equal(answer.body, chat.stream);
  assert.equal(reportedFirst, true);
});

test('a provider error passes unchanged, and the retry is the same turn', async (t) => {
  let asked = 0;
  const { send, seen } = await setup(t, (request, body, response) => {
    asked += 1;
    if (asked === 1) {
      response.writeHead(500, { 'content-type': 'application/json', 'retry-after': '1' });
      response.end('{"error":{"message":"boom"}}');
    } else streamChat(request, body, response);
  });
  const failed = await send({ body: chatBody });
  assert.equal(failed.status, 500);
  assert.equal(failed.body, '{"error":{"message":"boom"}}');
  assert.equal(failed.headers['retry-after'], '1');
  assert.equal((await send({ body: chatBody })).status, 200);
  assert.equal(seen.boundaries.length, 1);
  assert.deepEqual(
    seen.replies.map(({ number, conversation }) => [number, conversation.error]),
    [
      [1, 'HTTP 500 boom'],
      [1, undefined],
    ],
  );
});

test('a provider that resets, and one that is not there, give a 502 in the shape of the API', async (t) => {
  const { send, seen } = await setup(t, (_request, _body, response) => void response.destroy());
  const reset = await send({
    path: '/v1/messages',
    body: JSON.stringify(fixtures['anthropic-messages'].request),
  });
  assert.equal(reset.status, 502);
  assert.match(
    reset.body,
    /^\{"type":"error","error":\{"type":"api_error","message":"The model provider at http/,
  );
  assert.match(seen.replies[0]?.conversation.error ?? '', /failed/);
  const gone = await setup(t, streamChat, {
    upstream: { baseUrls: { 'openai-chat': 'http://127.0.0.1:9' } },
  });
  const refused = await gone.send({ body: chatBody });
  assert.equal(refused.status, 502);
  assert.match(refused.body, /Check the upstream base URL/);
});

test('a failure is reported only after the boundary was dealt with', async (t) => {
  const checkpoint = Promise.withResolvers<void>();
  const { send, seen } = await setup(t, (_request, _body, response) => void response.destroy(), {
    hooks: { onBoundary: () => checkpoint.promise },
  });
  const answer = send({ body: chatBody });
  while (seen.boundaries.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(seen.replies, []);
  checkpoint.resolve();
  assert.equal((await answer).status, 502);
  assert.equal(seen.replies.length, 1);
});

test('a provider that says nothing gives a 504', async (t) => {
  const { send } = await setup(t, () => {}, { silenceMs: 40 });
  const answer = await send({ body: chatBody });
  assert.equal(answer.status, 504);
  assert.match(answer.body, /no answer within/);
});

test('a reply that breaks off is cut for the agent too, and the retry is the same turn', async (t) => {
  let asked = 0;
  const { send, seen, endpoint } = await setup(t, (request, body, response) => {
    asked += 1;
    if (asked > 1) return streamChat(request, body, response);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chat.stream.slice(0, 120), () => response.destroy());
  });
  assert.equal((await send({ body: chatBody })).cut, true);
  assert.match(seen.replies[0]?.conversation.error ?? '', /broke off/);
  assert.equal(endpoint.pending, 0);
  assert.equal((await send({ body: chatBody })).cut, false);
  assert.equal(seen.boundaries.length, 1);
});

test('a reply that breaks off after its last word is no answer yet, and the retry is the same turn', async (t) => {
  let requests = 0;
  const at = await setup(t, (_request, _body, response) => {
    requests += 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const last = 'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}\n\n';
    if (requests === 1) response.write(last, () => response.destroy());
    else response.end(`${last}data: [DONE]\n\n`);
  });
  assert.equal((await at.send({ body: chatBody })).cut, true);
  assert.equal((await at.send({ body: chatBody })).status, 200);
  assert.deepEqual(
    at.seen.boundaries.map(({ number }) => number),
    [1],
  );
});

test('an agent that goes away aborts the provider, also while its reply is held', async (t) => {
  const checkpoint = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const { endpoint, seen } = await setup(
    t,
    (_request, _body, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {}\n\n');
      response.on('close', () => aborted.resolve());
      reached.resolve();
    },
    { hooks: { onBoundary: () => checkpoint.promise } },
  );
  const request = http.request({ socketPath: endpoint.socketPath, path: chat.path, method: 'POST' });
  request.on('error', () => {});
  request.end(chatBody);
  await reached.promise;
  assert.equal(endpoint.pending, 1);
  request.destroy();
  await aborted.promise;
  while (endpoint.pending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  checkpoint.resolve();
  while (seen.replies.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(seen.replies[0]?.conversation.error ?? '', /agent closed the connection/);
});

test('side calls, model lists and token counts pass and are no boundaries', async (t) => {
  const { send, seen, requests } = await setup(t, (_request, _body, response) => void response.end('{}'));
  const { tools: _tools, ...title } = chat.request;
  await send({ body: JSON.stringify(title) });
  await send({ path: '/v1/models', method: 'GET' });
  await send({
    path: '/v1/messages/count_tokens',
    body: JSON.stringify(fixtures['anthropic-messages'].request),
  });
  assert.equal(requests.length, 3);
  assert.deepEqual(seen, { boundaries: [], replies: [], released: [] });
});

test('a request that cannot be read passes and is no boundary', async (t) => {
  const { send, seen, requests } = await setup(t, streamChat);
  assert.equal((await send({ body: '{"messages": 7' })).body, chat.stream);
  assert.equal(requests[0]?.body.toString(), '{"messages": 7');
  assert.equal(seen.boundaries.length, 0);
});

test('a compressed request is a boundary and travels compressed', async (t) => {
  const { send, seen, requests } = await setup(t, streamChat);
  const zstd = zstdCompressSync(chatBody);
  await send({ body: zstd, headers: { 'content-encoding': 'zstd' } });
  await send({ body: gzipSync(chatBody), headers: { 'content-encoding': 'gzip' } });
  assert.deepEqual(requests[0]?.body, zstd);
  assert.equal(seen.boundaries.length, 2);
});

test('a format without a provider answers 501 and names it; an oversized request 413', async (t) => {
  const { send, requests } = await setup(t, streamChat, { maxRequestBytes: 1_000 });
  const none = await send({ path: '/v1/responses', body: '{}' });
  assert.equal(none.status, 501);
  assert.match(none.body, /openai-responses/);
  const large = 'x'.repeat(2_000);
  assert.equal((await send({ body: large, headers: { 'content-length': '2000' } })).status, 413);
  assert.equal((await send({ body: large, headers: { 'transfer-encoding': 'chunked' } })).status, 413);
  assert.equal(requests.length, 0);
});

test('a large reply to a slow reader passes whole', async (t) => {
  const large = Buffer.alloc(24 * 1024 * 1024, 'abcdefgh');
  const { endpoint } = await setup(t, (_request, _body, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(large);
  });
  const request = http.request({ socketPath: endpoint.socketPath, path: chat.path, method: 'POST' });
  request.end(chatBody);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let sizeBytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    sizeBytes += piece.byteLength;
    if (sizeBytes < 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(sizeBytes, large.byteLength);
});
