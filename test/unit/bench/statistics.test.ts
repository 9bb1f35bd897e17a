import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measurePairs } from '../../../host-helper/bench/paired.ts';
import { median, medianInterval, percentile } from '../../../host-helper/bench/statistics.ts';

const limits = { budgetMs: 0, minimumPairs: 7, maximumPairs: 7, signal: new AbortController().signal };

test('percentiles lie between the nearest ranks', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(percentile([0, 10], 95), 9.5);
  assert.ok(Number.isNaN(median([])));
});

test('the interval holds the median, narrows with the sample, and is the same for the same values', () => {
  const few = [1, 1.1, 0.9, 1.2, 0.8];
  const many = Array.from({ length: 20 }, () => few).flat();
  const wide = medianInterval(few);
  const narrow = medianInterval(many);
  assert.ok(wide.low <= 1 && wide.high >= 1);
  assert.ok(narrow.high - narrow.low < wide.high - wide.low);
  assert.deepEqual(medianInterval(few), wide);
});

test('drift of the machine does not show in the ratio of pairs, a real difference does', async () => {
  let runs = 0;
  const { ratio, pairs } = await measurePairs(limits, (on) => {
    runs += 1;
    const drift = 1 + runs / 10;
    return Promise.resolve({ cpuMs: (on ? 110 : 100) * drift, wallMs: 100 });
  });
  assert.equal(pairs, 7);
  assert.ok(Math.abs(ratio - 1.1) < 0.06, String(ratio));
});

test('which side goes first alternates, and the first pair is left out', async () => {
  const order: boolean[] = [];
  await measurePairs({ ...limits, minimumPairs: 2, maximumPairs: 2 }, (on) => {
    order.push(on);
    return Promise.resolve({ cpuMs: order.length <= 2 ? 1000 : 1, wallMs: 1 });
  });
  assert.deepEqual(order, [false, true, true, false, false, true]);
});

test('an interrupted measurement takes no further pair', async () => {
  const stop = new AbortController();
  let runs = 0;
  const measured = measurePairs({ ...limits, signal: stop.signal }, () => {
    runs += 1;
    stop.abort(new Error('stopped'));
    return Promise.resolve({ cpuMs: 1, wallMs: 1 });
  });
  await assert.rejects(measured, /stopped/);
  assert.equal(runs, 2);
});
