/** What is a turn and what is not, in all four wire formats alike: the endpoint between an agent that retries and a provider that fails. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Script } from '../../../host-helper/demo/script.ts';
import { startScriptedModel, type ScriptedFault } from '../../../host-helper/demo/scripted-model.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import type { Conversation } from '../../../host-helper/protocol/state.ts';
import type {
  MainLoopRequest,
  ModelEndpoint,
  WireFormat,
} from '../../../host-helper/turns/model-endpoint.ts';
import { createModelEndpoint } from '../../../host-helper/turns/model-proxy.ts';
import { errands, speakers, type Asked, type Said } from './conversations.ts';

const script: Script = {
  title: 'Work',
  keyword: undefined,
  steps: Array.from({ length: 9 }, () => ({
    say: 'Next.',
    tool: { kind: 'bash' as const, command: 'true' },
  })),
  closings: [{ when: undefined, say: 'Done.' }],
};

const start: readonly Said[] = [{ user: 'go' }];
const second: readonly Said[] = [...start, { calls: ['a'] }, { results: ['a'] }];
const third: readonly Said[] = [...second, { calls: ['b'] }, { results: ['b'] }];

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly cut: boolean;
}

interface Place {
  readonly endpoint: ModelEndpoint;
  readonly boundaries: MainLoopRequest[];
  readonly replies: { readonly number: number; readonly conversation: Conversation }[];
  readonly upstream: { readonly mainLoop: number; readonly side: number; readonly other: number };
  /** Asks and waits for the end; `leave` hangs up when it fires. */
  ask(asked: Asked, options?: { readonly gzip?: boolean; readonly leave?: AbortSignal }): Promise<Answer>;
  /** Until it is called, checkpoints are not safe. */
  readonly hold: () => () => void;
  /** The model does not answer before the promise settles. */
  think(until: Promise<void>): void;
}

async function place(
  context: TestContext,
  fault: (number: number) => ScriptedFault | undefined = () => undefined,
): Promise<Place> {
  let thinking = Promise.resolve();
  let safe = Promise.resolve();
  const model = await startScriptedModel({ scripts: [script], thinkMs: 0, fault, onRequest: () => thinking });
  const directory = mkdtempSync(join(tmpdir(), 'tt-retry-'));
  const [boundaries, replies]: [Place['boundaries'], Place['replies']] = [[], []];
  const { url } = model;
  const endpoint = await createModelEndpoint({
    socketPath: join(directory, 'm.sock'),
    upstream: {
      baseUrls: { 'openai-chat': url, 'openai-responses': url, 'anthropic-messages': url, gemini: url },
      headers: {},
    },
    logger: silentLogger,
    hooks: {
      onBoundary: (request) => {
        boundaries.push(request);
        return safe;
      },
      onReply: ({ number }, conversation) => void replies.push({ number, conversation }),
      onReleased: () => {},
    },
  });
  context.after(async () => {
    await endpoint.close();
    await model.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    endpoint,
    boundaries,
    replies,
    upstream: model.counts,
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      safe = promise;
      return () => {
        safe = Promise.resolve();
        resolve();
      };
    },
    think: (until) => void (thinking = until),
    ask: ({ path, body }, { gzip = false, leave } = {}) =>
      new Promise((resolve) => {
        const gone = { status: 0, body: '', cut: true };
        const request = http.request(
          {
            socketPath: endpoint.socketPath,
            path,
            method: body === '' ? 'GET' : 'POST',
            headers: { 'content-type': 'application/json', ...(gzip ? { 'content-encoding': 'gzip' } : {}) },
            ...(leave ? { signal: leave } : {}),
          },
          (response) => {
            const pieces: Buffer[] = [];
            response.on('data', (piece: Buffer) => pieces.push(piece));
            response.on('error', () => {});
            response.on('close', () =>
              resolve({
                status: response.statusCode ?? 0,
                body: Buffer.concat(pieces).toString(),
                cut: !response.complete,
              }),
            );
          },
        );
        request.on('error', () => resolve(gone));
        request.end(gzip ? gzipSync(body) : body);
      }),
  };
}

/** Until it holds: something happens on another socket. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function numbers(at: Place): number[] {
  return at.boundaries.map(({ number }) => number);
}

for (const [name, speak] of Object.entries(speakers)) {
  const format = name as WireFormat;

  test(`${format}: a step is a turn; titles, counts and embeddings before and between are none`, async (context) => {
    const at = await place(context);
    const side = speak([{ user: 'Write a title.' }], { tools: false });
    const others = errands[format];
    for (const said of [start, second, third]) {
      await at.ask(side);
      for (const errand of others) await at.ask(errand);
      assert.equal((await at.ask(speak(said))).status, 200);
    }
    assert.deepEqual(numbers(at), [1, 2, 3]);
    assert.deepEqual(
      at.boundaries.map(({ toolResults }) =>
        toolResults.map(({ id, text }) => `${id} ${text.includes('did')}`),
      ),
      [[], ['a true'], ['b true']],
    );
    assert.equal(at.upstream.side, 3);
    assert.equal(at.upstream.other, 3 * others.length);
  });

  test(`${format}: a side call is not held by a checkpoint, and does not end the wait of the turn`, async (context) => {
    const at = await place(context);
    const release = at.hold();
    let answered = false;
    const main = at.ask(speak(start)).then((answer) => {
      answered = true;
      return answer;
    });
    await until(() => at.boundaries.length === 1);
    assert.equal((await at.ask(speak([{ user: 'Write a title.' }], { tools: false }))).status, 200);
    assert.equal(answered, false);
    release();
    assert.equal((await main).status, 200);
  });

  test(`${format}: whole replies and compressed requests are turns like streamed and plain ones`, async (context) => {
    const at = await place(context);
    assert.equal((await at.ask(speak(start, { stream: false }))).status, 200);
    assert.equal((await at.ask(speak(second), { gzip: true })).status, 200);
    assert.deepEqual(numbers(at), [1, 2]);
    assert.deepEqual(
      at.replies.map(({ conversation }) => [conversation.toolCalls.length, conversation.error]),
      [
        [1, undefined],
        [1, undefined],
      ],
    );
  });

  test(`${format}: asked again after an error or a reset it is the same turn`, async (context) => {
    // A reset of a kept connection is tried once more by the endpoint itself: the second one shows.
    const faults: Record<number, ScriptedFault> = { 2: 'error', 3: 'reset', 4: 'reset' };
    const at = await place(context, (number) => faults[number]);
    await at.ask(speak(start));
    assert.equal((await at.ask(speak(second))).status, 500);
    assert.equal((await at.ask(speak(second))).status, 502);
    assert.equal((await at.ask(speak(second))).status, 200);
    assert.equal((await at.ask(speak(third))).status, 200);
    assert.deepEqual(numbers(at), [1, 2, 3]);
    assert.deepEqual(
      at.replies.map(({ number, conversation }) => [number, conversation.error !== undefined]),
      [
        [1, false],
        [2, true],
        [2, true],
        [2, false],
        [3, false],
      ],
    );
  });

  test(`${format}: asked again after the reply was cut in the middle it is the same turn`, async (context) => {
    const at = await place(context, (number) => (number === 1 ? 'cut' : undefined));
    assert.equal((await at.ask(speak(start))).cut, true);
    const again = await at.ask(speak(start));
    assert.deepEqual([again.status, again.cut], [200, false]);
    assert.deepEqual(numbers(at), [1]);
    assert.equal(at.replies.at(-1)?.conversation.error, undefined);
  });

  test(`${format}: asked again because the model took too long it is the same turn`, async (context) => {
    const at = await place(context);
    const { promise, resolve } = Promise.withResolvers<void>();
    at.think(promise);
    const leave = new AbortController();
    const first = at.ask(speak(start), { leave: leave.signal });
    await until(() => at.upstream.mainLoop === 1);
    leave.abort();
    assert.equal((await first).status, 0);
    const again = at.ask(speak(start));
    resolve();
    assert.equal((await again).status, 200);
    await at.ask(speak(second));
    assert.deepEqual(numbers(at), [1, 2]);
  });

  test(`${format}: asked again while the checkpoint holds the reply it waits for the same checkpoint`, async (context) => {
    const at = await place(context);
    await at.ask(speak(start));
    const release = at.hold();
    const leave = new AbortController();
    const first = at.ask(speak(second), { leave: leave.signal });
    await until(() => at.upstream.mainLoop === 2);
    // The client gave up on the first, or not: both attempts are of one turn.
    const beside = at.ask(speak(second));
    await until(() => at.upstream.mainLoop === 3);
    leave.abort();
    await first;
    const last = at.ask(speak(second));
    await until(() => at.upstream.mainLoop === 4);
    assert.deepEqual(numbers(at), [1, 2]);
    release();
    assert.deepEqual([(await beside).status, (await last).status], [200, 200]);
    await at.ask(speak(third));
    assert.deepEqual(numbers(at), [1, 2, 3]);
  });

  test(`${format}: a sub-agent beside the main loop belongs to the open turn`, async (context) => {
    const at = await place(context);
    const { promise, resolve } = Promise.withResolvers<void>();
    at.think(promise);
    const main = at.ask(speak(start));
    await until(() => at.upstream.mainLoop === 1);
    const helpers = [1, 2].map((n) => at.ask(speak([{ user: `You are helper ${n}.` }])));
    await until(() => at.upstream.mainLoop === 3);
    resolve();
    for (const answer of await Promise.all([main, ...helpers])) assert.equal(answer.status, 200);
    assert.deepEqual(numbers(at), [1]);
    await at.ask(speak(second));
    assert.deepEqual(numbers(at), [1, 2]);
  });

  test(`${format}: results told in another order are the same question`, async (context) => {
    const at = await place(context, (number) => (number === 2 ? 'error' : undefined));
    const calls: readonly Said[] = [...start, { calls: ['a', 'b', 'c'] }];
    await at.ask(speak(start));
    await at.ask(speak([...calls, { results: ['a', 'b', 'c'] }]));
    await at.ask(speak([...calls, { results: ['c', 'a', 'b'] }]));
    assert.deepEqual(numbers(at), [1, 2]);
    assert.deepEqual(at.boundaries[1]?.toolResults.map(({ id }) => id).sort(), ['a', 'b', 'c']);
  });

  test(`${format}: after compaction the shorter history is a turn, and what it repeats is told once`, async (context) => {
    const at = await place(context);
    for (const said of [start, second, third]) await at.ask(speak(said));
    await at.ask(speak([...third, { user: 'Summarise all this.' }], { tools: false }));
    const compacted: readonly Said[] = [
      { user: 'Summary: a and b are done.' },
      { calls: ['b'] },
      { results: ['b'] },
    ];
    await at.ask(speak(compacted));
    await at.ask(speak([...compacted, { calls: ['c'] }, { results: ['c'] }]));
    assert.deepEqual(numbers(at), [1, 2, 3, 4, 5]);
    assert.deepEqual(
      at.boundaries.slice(3).map(({ toolResults }) => toolResults.map(({ id }) => id)),
      [[], ['c']],
    );
  });

  test(`${format}: an agent that was started again and resends its history begins a turn`, async (context) => {
    const at = await place(context);
    for (const said of [start, second]) await at.ask(speak(said));
    // It died in the middle of the tool call that this reply asked for: what that did belongs to the turn before.
    await at.ask(speak(second));
    await at.ask(speak([...second, { calls: [], text: 'Interrupted.' }, { user: 'Continue.' }]));
    assert.deepEqual(numbers(at), [1, 2, 3, 4]);
    assert.equal(at.boundaries[3]?.userText, 'Continue.');
  });
}
