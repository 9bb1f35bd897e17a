/** The client over a socket made of two functions: every order of frames can be played. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectClient, type Client, type FrameSocket } from '../../../host-helper/protocol/client.ts';
import { errorCodes, TurntableError } from '../../../host-helper/protocol/errors.ts';
import { parseRequestFrame, type RequestFrame } from '../../../host-helper/protocol/frames.ts';
import { emptyState } from '../../../host-helper/protocol/reducer.ts';
import { limits, type RootState } from '../../../host-helper/protocol/state.ts';
import { aSession } from '../server/fake-helper.ts';

/** The helper's end, by hand. */
class Script implements FrameSocket {
  readonly sent: RequestFrame[] = [];
  closedByClient = false;
  #message: (text: string) => void = () => {};
  #close: (reason?: string) => void = () => {};

  send(text: string): void {
    this.sent.push(parseRequestFrame(text));
  }
  close(): void {
    this.closedByClient = true;
    this.#close();
  }
  onMessage(listener: (text: string) => void): void {
    this.#message = listener;
  }
  onClose(listener: (reason?: string) => void): void {
    this.#close = listener;
  }

  say(frame: object | string): void {
    this.#message(typeof frame === 'string' ? frame : JSON.stringify({ jsonrpc: '2.0', ...frame }));
  }
  answer(method: string, result: unknown): void {
    this.say({ id: this.lastId(method), result });
  }
  refuse(method: string, code: number, message: string): void {
    this.say({ id: this.lastId(method), error: { code, message } });
  }
  action(sequence: number, head: number): void {
    this.say({
      method: 'state/action',
      params: { sequence, action: { type: 'head/moved', sessionId: 's-abcdefgh', head } },
    });
  }
  drop(reason?: string): void {
    this.#close(reason);
  }
  count(method: string): number {
    return this.sent.filter((frame) => frame.method === method).length;
  }
  lastId(method: string): RequestFrame['id'] {
    const frame = this.sent.findLast((each) => each.method === method);
    assert.ok(frame, `the client sent ${method}`);
    return frame.id;
  }
}

const hello = { protocol: 1, helperVersion: '1.0.0', helperPid: 1 };

async function connected(): Promise<{ client: Client; helper: Script }> {
  const helper = new Script();
  const connecting = connectClient(helper, { name: 'test', version: '1' });
  helper.answer('hello', hello);
  return { client: await connecting, helper };
}

const snapshot = (sequence: number, head: number): { sequence: number; state: RootState } => ({
  sequence,
  state: { ...emptyState('1', 1), sessions: { 's-abcdefgh': aSession({ head }) } },
});

const fails =
  (code: string, message = /./) =>
  (error: unknown) =>
    error instanceof TurntableError && error.code === code && message.test(error.message);

describe('client', () => {
  test('hello says who we are and which versions we speak', async () => {
    const { client, helper } = await connected();
    assert.deepEqual(helper.sent[0]?.params, {
      client: { name: 'test', version: '1' },
      protocol: { minimum: 1, current: 1 },
    });
    assert.deepEqual(client.hello, hello);
  });

  test('a helper that refuses hello rejects with its own code, and the socket is closed', async () => {
    const helper = new Script();
    const connecting = connectClient(helper, { name: 'test', version: '1' });
    helper.refuse('hello', errorCodes.versionMismatch, 'update the helper');
    await assert.rejects(connecting, fails('versionMismatch', /update the helper/));
    assert.ok(helper.closedByClient);
  });

  test('a helper that chooses a version we do not speak is refused', async () => {
    const helper = new Script();
    const connecting = connectClient(helper, { name: 'test', version: '1' });
    helper.answer('hello', { ...hello, protocol: 7 });
    await assert.rejects(connecting, fails('versionMismatch', /update the client/));
  });

  test('answers find their requests in any order, and errors keep code and data', async () => {
    const { client, helper } = await connected();
    const doctor = client.request('doctor', {});
    const stop = client.request('session/stop', { sessionId: 's' });
    helper.say({
      id: helper.lastId('session/stop'),
      error: { code: errorCodes.sessionBusy, message: 'wait', data: { a: 1 } },
    });
    helper.answer('doctor', { features: [] });
    await assert.rejects(
      stop,
      (error) => error instanceof TurntableError && error.code === 'sessionBusy' && error.data?.['a'] === 1,
    );
    assert.deepEqual(await doctor, { features: [] });
  });

  test('an answer that breaks the schema rejects that request alone', async () => {
    const { client, helper } = await connected();
    const doctor = client.request('doctor', {});
    helper.answer('doctor', { features: 'many' });
    await assert.rejects(doctor, fails('internal', /update the older side/));
    assert.equal(client.closed, false);
  });

  test('aborting and running out of time reject, tell the helper, and let a late answer pass', async () => {
    const { client, helper } = await connected();
    const abort = new AbortController();
    const aborted = client.request('doctor', {}, { signal: abort.signal });
    abort.abort();
    await assert.rejects(aborted, fails('cancelled'));
    assert.deepEqual(helper.sent.at(-1)?.params, { id: helper.lastId('doctor') });
    await assert.rejects(client.request('doctor', {}, { timeoutMs: 5 }), fails('timedOut'));
    assert.equal(helper.count('request/cancel'), 2);
    helper.answer('doctor', { features: [] });
    await assert.rejects(client.request('doctor', {}, { signal: AbortSignal.abort() }), fails('cancelled'));
    assert.equal(helper.count('doctor'), 2, 'not even sent');
    assert.equal(client.closed, false);
  });

  test('a frame larger than the helper takes is not sent', async () => {
    const { client, helper } = await connected();
    const argv = Array.from({ length: 100 }, () => 'x'.repeat(limits.frameBytes / 90));
    await assert.rejects(client.request('session/exec', { sessionId: 's', argv }), fails('frameTooLarge'));
    assert.equal(helper.count('session/exec'), 0);
  });

  test('the state is the snapshot and every action after it, even in the same tick', async () => {
    const { client, helper } = await connected();
    const seen: (number | undefined)[] = [];
    const subscribing = client.subscribe((state) => seen.push(state.sessions['s-abcdefgh']?.head));
    helper.action(4, 99);
    helper.answer('subscribe', snapshot(5, 50));
    helper.action(5, 99);
    helper.action(6, 60);
    const subscription = await subscribing;
    helper.action(7, 70);
    assert.deepEqual(seen, [60, 70]);
    assert.equal(subscription.state.sessions['s-abcdefgh']?.head, 70);
    subscription.close();
    helper.action(8, 80);
    assert.deepEqual(seen, [60, 70]);
    assert.equal(subscription.state.sessions['s-abcdefgh']?.head, 80);
  });

  test('a gap in the numbers brings a new snapshot, once', async () => {
    const { client, helper } = await connected();
    const seen: (number | undefined)[] = [];
    const subscribing = client.subscribe((state) => seen.push(state.sessions['s-abcdefgh']?.head));
    helper.answer('subscribe', snapshot(1, 10));
    await subscribing;
    helper.action(3, 30);
    helper.action(4, 40);
    assert.equal(helper.count('subscribe'), 2);
    helper.answer('subscribe', snapshot(4, 44));
    helper.action(5, 50);
    assert.deepEqual(seen, [10, 44, 50]);
  });

  test('a second subscriber shares the mirror', async () => {
    const { client, helper } = await connected();
    const first = client.subscribe(() => {});
    helper.answer('subscribe', snapshot(1, 10));
    await first;
    let head: number | undefined;
    await client.subscribe((state) => (head = state.sessions['s-abcdefgh']?.head));
    assert.equal(head, 10);
    assert.equal(helper.count('subscribe'), 1);
  });

  test('notifications arrive by name, unknown ones are skipped, unreadable ones end the connection', async () => {
    const { client, helper } = await connected();
    const data: string[] = [];
    const stop = client.onNotification('terminal/data', (params) => data.push(params.data));
    helper.say({ method: 'terminal/data', params: { sessionId: 's', data: 'a' } });
    helper.say({ method: 'weather/changed', params: {} });
    stop();
    helper.say({ method: 'terminal/data', params: { sessionId: 's', data: 'b' } });
    assert.deepEqual(data, ['a']);
    let reason: TurntableError | undefined;
    client.onClose((error) => (reason = error));
    helper.say({ method: 'terminal/data', params: { data: 7 } });
    assert.equal(reason?.code, 'invalidRequest');
    assert.ok(client.closed && helper.closedByClient);
  });

  test('a lost connection rejects what waits, and says why', async () => {
    const { client, helper } = await connected();
    const waiting = client.request('doctor', {});
    helper.drop('read ECONNRESET');
    await assert.rejects(waiting, fails('helperNotRunning', /ECONNRESET/));
    await assert.rejects(client.request('doctor', {}), fails('helperNotRunning'));
    let told: TurntableError | undefined;
    client.onClose((error) => (told = error));
    assert.equal(told?.code, 'helperNotRunning', 'a late listener is told at once');
  });

  test('the reason a helper gives before it closes is the one that is told', async () => {
    const { client, helper } = await connected();
    const waiting = client.request('doctor', {});
    helper.say({ id: null, error: { code: errorCodes.overloaded, message: 'too slow' } });
    helper.drop();
    await assert.rejects(waiting, fails('overloaded', /too slow/));
  });

  test('closing it ourselves is no error', async () => {
    const { client, helper } = await connected();
    let told: unknown = 'not called';
    client.onClose((error) => (told = error));
    const waiting = client.request('doctor', {});
    client.close();
    await assert.rejects(waiting, fails('cancelled'));
    assert.equal(told, undefined);
    assert.ok(helper.closedByClient);
  });
});
