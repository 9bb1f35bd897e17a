import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentile } from '../../../host-helper/bench/statistics.ts';
import { thinkTimes } from '../../../host-helper/bench/think-times.ts';

test('waits are those of real models: a median of about 10 s, 90 % within about 46 s', () => {
  const waits = Array.from({ length: 400 }, (_, task) =>
    Array.from({ length: 10 }, (_, step) => thinkTimes(`task ${task}`, 1)(step)),
  ).flat();
  const [median, p90] = [percentile(waits, 50), percentile(waits, 90)];
  assert.ok(median > 9_000 && median < 11_000, `median ${median}`);
  assert.ok(p90 > 41_000 && p90 < 51_000, `p90 ${p90}`);
});

test('the same step of the same task always waits the same, scaled as asked', () => {
  assert.equal(thinkTimes('a', 1)(3), thinkTimes('a', 1)(3));
  assert.equal(thinkTimes('a', 0.5)(3), thinkTimes('a', 1)(3) / 2);
  assert.notEqual(thinkTimes('a', 1)(3), thinkTimes('a', 1)(4));
  assert.notEqual(thinkTimes('a', 1)(3), thinkTimes('b', 1)(3));
});
