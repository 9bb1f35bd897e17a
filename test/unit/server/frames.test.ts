/** Frames, good and bad, over a real Unix socket. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { errorCodes, TurntableError, type ErrorName } from '../../../host-helper/protocol/errors.ts';
import { limits } from '../../../host-helper/protocol/state.ts';
import { aSession, RawClient, startFakeHelper } from './fake-helper.ts';

function assertError(frame: unknown, code: ErrorName, message: RegExp = /./): void {
  assert.ok(typeof frame === 'object' && frame !== null && 'error' in frame, JSON.stringify(frame));
  const { error } = frame;
  assert.ok(typeof error === 'object' && error !== null && 'code' in error && 'message' in error);
  assert.equal(error.code, errorCodes[code]);
  assert.match(String(error.message), message);
}

const isConnectionError = (frame: unknown): boolean =>
  typeof frame === 'object' && frame !== null && 'id' in frame && frame.id === null;

describe('frames', () => {
  test('hello comes first, and once', async () => {
    await using helper = await startFakeHelper();
    using client = await RawClient.open(helper.socketPath);
    assertError(await client.ask('subscribe', {}, 1), 'outOfOrder', /hello/);
    const hello = await client.hello();
    assert.deepEqual(hello, {
      jsonrpc: '2.0',
      id: 'hello',
      result: { protocol: 1, helperVersion: '0.1.0-test', helperPid: process.pid },
    });
    const again = await client.ask(
      'hello',
      { client: { name: 'x', version: '1' }, protocol: { minimum: 1, current: 1 } },
      2,
    );
    assertError(again, 'outOfOrder', /once/);
    assert.ok(await client.ask('subscribe', {}, 3), 'and the connection goes on');
  });

  test('a client of another version is told which side to update, and let go', async () => {
    await using helper = await startFakeHelper();
    for (const [protocol, older] of [
      [{ minimum: 99, current: 99 }, 'helper'],
      [{ minimum: 0, current: 0 }, 'client'],
    ] as const) {
      using client = await RawClient.open(helper.socketPath);
      assertError(
        await client.ask('hello', { client: { name: 'x', version: '1' }, protocol }, 1),
        'versionMismatch',
        new RegExp(`update the ${older}`),
      );
      assert.equal((await client.untilClosed()).code, 1008);
    }
  });

  test('a client that never says hello is let go', async () => {
    await using helper = await startFakeHelper({ limits: { helloTimeoutMs: 20 } });
    using client = await RawClient.open(helper.socketPath);
    assertError(await client.until(isConnectionError), 'timedOut', /hello/);
    await client.untilClosed();
  });

  test('what is not JSON, no request, unknown or badly filled gets a clear error and changes nothing', async () => {
    const calls: unknown[] = [];
    await using helper = await startFakeHelper({
      handlers: { 'session/stop': (params) => (calls.push(params), Promise.resolve({})) },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    const before = helper.server.state;

    client.send('{"jsonrpc": "2.0", "id": 1');
    assertError(await client.until(isConnectionError), 'parseError');
    for (const frame of [
      [],
      'null',
      42,
      { id: 1, method: 'doctor' },
      { jsonrpc: '2.0', id: { a: 1 }, method: 'doctor' },
    ]) {
      client.received.length = 0;
      client.send(frame === 42 ? '42' : frame);
      assertError(await client.until(isConnectionError), 'invalidRequest');
    }
    assertError(await client.ask('session/explode', {}, 10), 'methodNotFound', /session\/explode/);
    assertError(await client.ask('constructor', {}, 11), 'methodNotFound');
    assertError(await client.ask('session/stop', { sessionId: 7 }, 12), 'invalidParams', /sessionId/);
    assertError(await client.ask('session/stop', undefined, 13), 'invalidParams');
    assertError(
      await client.ask('file/read', { sessionId: 's', turn: -1, path: 'relative' }, 14),
      'invalidParams',
      /path/,
    );

    assert.deepEqual(calls, []);
    assert.equal(helper.server.state, before);
    assert.deepEqual(await client.ask('session/stop', { sessionId: 's' }, 15), {
      jsonrpc: '2.0',
      id: 15,
      result: {},
    });
  });

  test('an oversized frame ends the connection and reaches nobody', async () => {
    const calls: unknown[] = [];
    await using helper = await startFakeHelper({
      handlers: { 'session/prompt': (params) => (calls.push(params), Promise.resolve({})) },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    client.send({
      jsonrpc: '2.0',
      id: 1,
      method: 'session/prompt',
      params: { sessionId: 's', prompt: 'x'.repeat(limits.frameBytes) },
    });
    assert.equal((await client.untilClosed()).code, 1009);
    assert.deepEqual(calls, []);
    using next = await RawClient.open(helper.socketPath);
    assert.ok(await next.hello(), 'others are served');
  });

  test('a binary frame ends the connection with its reason', async () => {
    await using helper = await startFakeHelper();
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    client.send(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"subscribe"}'));
    assertError(await client.until(isConnectionError), 'invalidRequest', /binary/);
    assert.equal((await client.untilClosed()).code, 1003);
  });

  test('the answer to an error of ours keeps its code and data; any other is told without its text', async () => {
    await using helper = await startFakeHelper({
      handlers: {
        doctor: () => Promise.reject(new Error('secret path /root/.key')),
        'session/stop': () =>
          Promise.reject(
            new TurntableError('sessionBusy', 'Wait for the rewind.', { data: { by: 'rewind' } }),
          ),
        'session/remove': () => {
          throw new RangeError('thrown, not rejected');
        },
      },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    const internal = await client.ask('doctor', {}, 1);
    assertError(internal, 'internal', /log/);
    assert.doesNotMatch(JSON.stringify(internal), /secret|at .*\.ts/);
    assert.match(helper.log.join('\n'), /secret path/);
    const busy = await client.ask('session/stop', { sessionId: 's' }, 2);
    assertError(busy, 'sessionBusy', /rewind/);
    assert.match(JSON.stringify(busy), /"data":{"by":"rewind"}/);
    assertError(await client.ask('session/remove', { sessionId: 's' }, 3), 'internal');
  });

  test('a result that breaks the schema is a bug of the helper: logged, and told as internal', async () => {
    await using helper = await startFakeHelper({
      handlers: {
        doctor: () =>
          Promise.resolve({
            features: [{ name: 'x', status: 'ok', detail: Number.NaN as unknown as string }],
          }),
      },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    assertError(await client.ask('doctor', {}, 1), 'internal');
    assert.match(helper.log.join('\n'), /breaks the protocol/);
  });

  test('requests in flight are bounded, and an id in flight is not taken twice', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    await using helper = await startFakeHelper({
      limits: { requestsInFlight: 2 },
      handlers: { doctor: () => promise.then(() => ({ features: [] })) },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    const first = client.ask('doctor', {}, 1);
    client.send({ jsonrpc: '2.0', id: 1, method: 'doctor', params: {} });
    assertError(await first, 'invalidRequest', /new id/);
    client.received.length = 0;
    const second = client.ask('doctor', {}, 2);
    assertError(await client.ask('doctor', {}, 3), 'overloaded');
    resolve(undefined);
    assert.ok(await second);
    assert.ok(await client.ask('doctor', {}, 4), 'room again');
  });

  test('a cancelled request sees its signal fire; so does one whose client is gone', async () => {
    const aborted: string[] = [];
    const { promise: bothIn, resolve: told } = Promise.withResolvers<undefined>();
    const gone = Promise.withResolvers<undefined>();
    await using helper = await startFakeHelper({
      handlers: {
        'session/stop': async ({ sessionId }, { signal, clientClosed }) => {
          clientClosed.addEventListener('abort', () => aborted.push(`client of ${sessionId}`));
          if (sessionId === 'two') told(undefined);
          await once(signal, 'abort');
          aborted.push(sessionId);
          if (sessionId === 'two') gone.resolve(undefined);
          throw new DOMException('given up', 'AbortError');
        },
      },
    });
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    const first = client.ask('session/stop', { sessionId: 'one' }, 1);
    void client.ask('session/stop', { sessionId: 'two' }, 2).catch(() => {});
    await bothIn;
    assert.deepEqual(await client.ask('request/cancel', { id: 1 }, 3), { jsonrpc: '2.0', id: 3, result: {} });
    assertError(await first, 'cancelled');
    assert.deepEqual(aborted, ['one']);
    assert.ok(await client.ask('request/cancel', { id: 99 }, 4), 'an answered request is no error');
    client.socket.terminate();
    await gone.promise;
    assert.deepEqual(aborted.toSorted(), ['client of one', 'client of two', 'one', 'two']);
  });

  test('actions reach subscribers alone, numbered from the snapshot on, and a bad one reaches nobody', async () => {
    await using helper = await startFakeHelper();
    using subscriber = await RawClient.open(helper.socketPath);
    using other = await RawClient.open(helper.socketPath);
    await subscriber.hello();
    await other.hello();
    helper.server.dispatch({ type: 'session/added', session: aSession() });
    const snapshot = await subscriber.ask('subscribe', {}, 1);
    assert.match(JSON.stringify(snapshot), /"sequence":1,.*Mend the parser/);
    helper.server.dispatch({
      type: 'session/added',
      session: aSession({ id: 'bad', createdAt: Number.NaN }),
    });
    helper.server.dispatch({ type: 'head/moved', sessionId: 's-abcdefgh', head: 3 });
    const action = await subscriber.until((frame) => JSON.stringify(frame).includes('state/action'));
    assert.deepEqual(action, {
      jsonrpc: '2.0',
      method: 'state/action',
      params: { sequence: 2, action: { type: 'head/moved', sessionId: 's-abcdefgh', head: 3 } },
    });
    assert.equal(helper.server.state.sessions['bad'], undefined);
    assert.match(helper.log.join('\n'), /dropped an action/);
    await other.ask('request/cancel', { id: 1 }, 2);
    assert.doesNotMatch(JSON.stringify(other.received), /state\/action/);
  });

  test('a client that reads too slowly is cut with overloaded, others go on, and it may come back for a snapshot', async () => {
    await using helper = await startFakeHelper({ limits: { queuedBytes: 64 * 1024, closeTimeoutMs: 5_000 } });
    using slow = await RawClient.open(helper.socketPath);
    using quick = await RawClient.open(helper.socketPath);
    for (const client of [slow, quick]) {
      await client.hello();
      await client.ask('subscribe', {}, 1);
    }
    slow.socket.pause();
    // Past what the kernel buffers on the way.
    let sent = 0;
    while (!helper.log.some((line) => line.includes('expelled'))) {
      sent += 1;
      assert.ok(sent < 500, 'cut in time');
      helper.server.dispatch({ type: 'progress/set', progress: { id: 'p', label: 'x'.repeat(50_000) } });
      await quick.until((frame) => JSON.stringify(frame).includes(`"sequence":${sent},`));
      quick.received.length = 0;
    }
    slow.socket.resume();
    assertError(await slow.until(isConnectionError), 'overloaded', /snapshot/);
    assert.equal((await slow.untilClosed()).code, 1013);
    using back = await RawClient.open(helper.socketPath);
    await back.hello();
    assert.match(JSON.stringify(await back.ask('subscribe', {}, 1)), new RegExp(`"sequence":${sent},`));
  });

  test('a client that no longer answers pings is dropped', async () => {
    await using helper = await startFakeHelper({ limits: { pingIntervalMs: 200 } });
    using dead = await RawClient.open(helper.socketPath);
    using alive = await RawClient.open(helper.socketPath);
    await dead.hello();
    await alive.hello();
    dead.socket.pause();
    while (helper.server.clientCount > 1) await once(alive.socket, 'ping');
    assert.equal(alive.closed, undefined);
  });

  test('too many clients are turned away', async () => {
    await using helper = await startFakeHelper({ limits: { clients: 1 } });
    using first = await RawClient.open(helper.socketPath);
    await first.hello();
    await assert.rejects(RawClient.open(helper.socketPath), /503/);
  });

  test('a helper that stops says goodbye', async () => {
    const helper = await startFakeHelper();
    using client = await RawClient.open(helper.socketPath);
    await client.hello();
    await helper[Symbol.asyncDispose]();
    assert.deepEqual(client.closed ?? (await client.untilClosed()), {
      code: 1001,
      reason: 'the helper stops',
    });
  });
});
