import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  baseName,
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  shortPath,
} from '../../../webview/view-model/format.ts';

test('sizes are decimal, with a digit after the point from megabytes up', () => {
  assert.deepEqual([0, 812, 2600, 999_600, 1_916_000, 250e6, 3.2e9].map(formatBytes), [
    '0 B',
    '812 B',
    '3 KB',
    '1.0 MB',
    '1.9 MB',
    '250 MB',
    '3.2 GB',
  ]);
});

test('durations grow coarser as they grow longer', () => {
  assert.deepEqual([0.4, 6, 310, 1400, 12_000, 252_000, 3_780_000].map(formatDuration), [
    '0 ms',
    '6 ms',
    '310 ms',
    '1.4 s',
    '12 s',
    '4m 12s',
    '1h 3m',
  ]);
});

test('a clock never runs below nothing', () => {
  assert.deepEqual([14_000, -5, 3_729_000].map(formatClock), ['0:14', '0:00', '1:02:09']);
});

test('thousands stand apart', () => {
  assert.equal(formatCount(1876), '1\u202f876');
  assert.equal(formatCount(12), '12');
});

test('paths inside the workspace lose it, others stay whole', () => {
  assert.equal(shortPath('/w/src/a.ts', '/w'), 'src/a.ts');
  assert.equal(shortPath('/ways/a', '/w'), '/ways/a');
  assert.equal(shortPath('/w', '/w'), '.');
  assert.equal(baseName('/usr/bin/git'), 'git');
});
