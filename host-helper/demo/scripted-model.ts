/**
 * A model that needs no key: an HTTP server that speaks the four wire formats and follows a script. Keeps no state between requests, so
 * a rewound or branched conversation goes on from its own history. For the sample session and for tests.
 */

import { once } from 'node:events';
import http from 'node:http';

import type { WireFormat } from '../turns/model-endpoint.ts';
import { errorBody, formatOf, wireReaders } from '../turns/wire/wire-formats.ts';
import type { WireRequest } from '../turns/wire/wire-message.ts';
import { nextReply, titleFor } from './script.ts';
import type { Script } from './script.ts';
import { streamedReply, wholeReply } from './scripted-replies.ts';
import type { ScriptedReply } from './scripted-replies.ts';
import { callFor } from './script-tools.ts';

/** How a request may go wrong: an error 500, a cut connection before or in the middle of the reply, or no answer at all. */
export type ScriptedFault = 'error' | 'reset' | 'cut' | 'silence';

export interface ScriptedModelOptions {
  readonly scripts: readonly Script[];
  /** How long it "thinks" before the first byte of a main-loop reply, always or by how many tool calls the history holds. */
  readonly thinkMs?: number | ((callsTaken: number) => number);
  /** Awaited when a main-loop request has come, before the thinking: the agent stands still meanwhile. */
  readonly onRequest?: (callsTaken: number) => Promise<void>;
  /** 0 picks a free port. Always on 127.0.0.1. */
  readonly port?: number;
  /** Asked for every main-loop request (numbered from 1, retries too). */
  readonly fault?: (number: number) => ScriptedFault | undefined;
  readonly signal?: AbortSignal;
}

export interface ScriptedModel extends AsyncDisposable {
  /** Base URL for every format, for example http://127.0.0.1:40123. */
  readonly url: string;
  /** Requests answered so far (or failed on purpose). */
  readonly counts: { readonly mainLoop: number; readonly side: number; readonly other: number };
  close(): Promise<void>;
}

const maxRequestBytes = 64 * 1024 * 1024;

/** Listens and answers until closed. */
export async function startScriptedModel(options: ScriptedModelOptions): Promise<ScriptedModel> {
  const counts = { mainLoop: 0, side: 0, other: 0 };
  const server = http.createServer((request, response) => {
    void answer(options, counts, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else
        sendJson(response, 400, {
          error: { message: `the scripted model could not read this: ${String(error)}` },
        });
    });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the scripted model has no port');

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return closed;
  };
  options.signal?.addEventListener('abort', () => void close(), { once: true });
  return { url: `http://127.0.0.1:${address.port}`, counts, close, [Symbol.asyncDispose]: close };
}

async function answer(
  options: ScriptedModelOptions,
  counts: { mainLoop: number; side: number; other: number },
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').replace(/\?.*$/, '');
  const format = formatOf(path, request.headers, 'openai-chat');
  const body = await readBody(request);
  const wire =
    request.method === 'POST'
      ? wireReaders[format].readRequest(path, request.headers, JSON.parse(body))
      : undefined;
  if (wire === undefined) {
    counts.other += 1;
    answerOther(path, format, body, response);
    return;
  }
  if (wire.side) {
    counts.side += 1;
    sendReply(format, wire, sideReply(options.scripts, wire, body), response);
    return;
  }
  counts.mainLoop += 1;
  const fault = options.fault?.(counts.mainLoop);
  if (fault === 'silence') return;
  if (fault === 'reset') {
    response.destroy();
    return;
  }
  const callsTaken = wire.messages.reduce((sum, message) => sum + message.calls.length, 0);
  await options.onRequest?.(callsTaken);
  const { thinkMs = 400 } = options;
  await pause(typeof thinkMs === 'number' ? thinkMs : thinkMs(callsTaken), response);
  if (fault === 'error') {
    response.writeHead(500, { 'content-type': 'application/json' });
    response.end(errorBody(format, 500, 'the scripted model was told to fail'));
    return;
  }
  const reply = mainReply(options.scripts, wire, body);
  if (fault === 'cut') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(streamedReply(format, reply)[0] ?? '', () => response.destroy());
    return;
  }
  sendReply(format, wire, reply, response);
}

function mainReply(scripts: readonly Script[], wire: WireRequest, body: string): ScriptedReply {
  const next = nextReply(scripts, wire);
  const call = next.tool === undefined ? undefined : callFor(next.tool, wire.tools);
  const missing = next.tool !== undefined && call === undefined;
  return {
    model: wire.model ?? 'scripted',
    text: missing ? `${next.say}\n(This agent declared no shell tool that the script knows.)` : next.say,
    // The id carries the position: unique in its conversation, equal when asked again.
    call:
      call === undefined
        ? undefined
        : { ...call, id: `call_${String(next.callNumber + 1).padStart(4, '0')}` },
    inputTokens: Math.ceil(body.length / 4),
    outputTokens: Math.ceil((next.say.length + JSON.stringify(call ?? '').length) / 4),
  };
}

/** Title and other small calls: a title, or an empty object for those that want JSON. */
function sideReply(scripts: readonly Script[], wire: WireRequest, body: string): ScriptedReply {
  const text =
    wire.tools.length > 0 || /json_schema|json_object|application\/json/.test(body)
      ? '{}'
      : titleFor(scripts, wire);
  return {
    model: wire.model ?? 'scripted',
    text,
    call: undefined,
    inputTokens: Math.ceil(body.length / 4),
    outputTokens: 4,
  };
}

function answerOther(path: string, format: WireFormat, body: string, response: http.ServerResponse): void {
  if (/\/count_tokens$/.test(path)) sendJson(response, 200, { input_tokens: Math.ceil(body.length / 4) });
  else if (/:countTokens$/.test(path)) sendJson(response, 200, { totalTokens: Math.ceil(body.length / 4) });
  else if (/\/models$/.test(path)) {
    const models = [{ id: 'scripted', object: 'model', name: 'models/scripted' }];
    sendJson(response, 200, { object: 'list', data: models, models });
  } else {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(errorBody(format, 404, `the scripted model has nothing at ${path}`));
  }
}

function sendReply(
  format: WireFormat,
  wire: WireRequest,
  reply: ScriptedReply,
  response: http.ServerResponse,
): void {
  if (!wire.streaming) {
    sendJson(response, 200, wholeReply(format, reply));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (const event of streamedReply(format, reply)) response.write(event);
  response.end();
}

function sendJson(response: http.ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

async function readBody(request: http.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    sizeBytes += piece.byteLength;
    if (sizeBytes > maxRequestBytes) throw new Error('the request is too large');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function pause(ms: number, response: http.ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    response.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
