import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lock } from '../../../host-helper/session/lock.ts';

test('work under a lock runs one at a time, in the order it came', async () => {
  const lock = new Lock();
  const seen: string[] = [];
  const gate = Promise.withResolvers<undefined>();
  const first = lock.run(async () => {
    await gate.promise;
    seen.push('first');
  });
  const second = lock.run(() => Promise.resolve(void seen.push('second')));
  assert.equal(lock.busy, true);
  gate.resolve(undefined);
  await Promise.all([first, second]);
  assert.deepEqual(seen, ['first', 'second']);
  assert.equal(lock.busy, false);
});

test('work that fails lets the next one go on', async () => {
  const lock = new Lock();
  await assert.rejects(lock.run(() => Promise.reject(new Error('no'))));
  assert.equal(await lock.run(() => Promise.resolve(7)), 7);
});

test('a closed lock lets nobody in, not even those that waited, and whoever holds it finishes', async () => {
  const lock = new Lock();
  const gate = Promise.withResolvers<undefined>();
  const held = Promise.withResolvers<undefined>();
  const holder = lock.run(async () => {
    held.resolve(undefined);
    await gate.promise;
    return 'done';
  });
  const waiting = assert.rejects(
    lock.run(() => Promise.resolve()),
    /gone/,
  );
  await held.promise;
  lock.close(new Error('gone'));
  gate.resolve(undefined);
  assert.equal(await holder, 'done');
  await waiting;
  assert.equal(lock.busy, false);
});
