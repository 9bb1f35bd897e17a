import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barAt, layoutBars } from '../../../webview/view-model/strip.ts';
import { turn } from './fixtures.ts';

const bars = layoutBars(
  [turn(0, 'none'), turn(1, 'files'), turn(2, 'none'), turn(3, 'full')].map((each) => {
    const checkpoint = each.checkpoint && {
      ...each.checkpoint,
      bytesStored: each.id === 3 ? 5_000_000 : each.checkpoint.bytesStored,
    };
    return { turn: { ...each, ...(checkpoint ? { checkpoint } : {}) }, aside: false };
  }),
  new Set([2]),
);

test('bars stand side by side over the whole width', () => {
  assert.deepEqual(
    bars.map((bar) => bar.left),
    [0, 0.25, 0.5, 0.75],
  );
});

test('a turn that kept nothing still has a bar, the largest fills the height, and a small one is seen beside it', () => {
  const [none, files, , full] = bars.map((bar) => bar.height);
  assert.ok(none !== undefined && none > 0);
  assert.equal(full, 1);
  assert.ok(files !== undefined && files > 0.3 && files < 0.7, `${files}`);
});

test('a turn that asks keeps its mark on the strip', () => {
  assert.equal(bars[2]?.mark, 'asking');
});

test('a position finds its bar, and the nearest beyond the ends', () => {
  assert.equal(barAt(bars, 0.3)?.turn.id, 1);
  assert.equal(barAt(bars, -1)?.turn.id, 0);
  assert.equal(barAt(bars, 2)?.turn.id, 3);
  assert.equal(barAt([], 0.5), undefined);
});
