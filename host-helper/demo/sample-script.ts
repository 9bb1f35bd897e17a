/**
 * What the scripted model does in the sample repository: about eight turns that show every effect class, a mistake worth rewinding, and
 * one program that has to be asked for. Every step may be taken again after a rewind. Must match sample-repository.ts.
 */

import type { Script } from './script.ts';

export const samplePrompt =
  'The duration test fails. Fix it, start the dev server, tidy up the cart and ship it.';

export const sampleTitle = 'Fix the duration test';

/** The branch's instruction; its keyword picks the second script. */
export const alternativePrompt = 'Leave the cart alone. Try a fake clock for the flaky timer test instead.';

const main: Script = {
  title: sampleTitle,
  keyword: undefined,
  steps: [
    {
      say: 'Let me look around first.',
      tool: {
        kind: 'bash',
        command: 'git log --oneline -3 && ls . src test && cat src/duration.js test/duration.test.js',
      },
    },
    {
      say: 'The tenths are rounded, so 59.96 s becomes "0:60.0". They have to be cut off before the minutes are split away.',
      tool: {
        kind: 'edit',
        path: 'src/duration.js',
        oldText: '  const seconds = (ms % 60_000) / 1000;\n',
        newText: '  const seconds = Math.floor((ms % 60_000) / 100) / 10;\n',
        command: "sed -i 's|(ms % 60_000) / 1000;|Math.floor((ms % 60_000) / 100) / 10;|' src/duration.js",
      },
    },
    { say: 'Now the tests.', tool: { kind: 'bash', command: 'node --test 2>&1 | tail -n 12' } },
    {
      say: 'Green. I start the dev server in the background to see the page.',
      tool: { kind: 'bash', command: 'sh scripts/serve.sh' },
    },
    {
      say: 'The cart could use a shorter name for its total. I rename it everywhere.',
      tool: {
        kind: 'bash',
        command:
          "sed -i 's/cartTotal/total/g' src/cart.js src/checkout.js && sed -i 's/formatPrice/price/g' src/cart.js && node --test 2>&1 | tail -n 12",
      },
    },
    {
      say: 'That broke a few imports. The catalogue looks unused to me, so I remove it to make things simpler.',
      tool: { kind: 'bash', command: 'rm -f src/catalogue.js data/catalogue-prices.json && ls src data' },
    },
    {
      say: 'I put a small report tool where everybody can use it.',
      tool: {
        kind: 'bash',
        command:
          'install -m755 scripts/shop-report.sh /usr/local/bin/shop-report && echo report=daily >/etc/shop.conf && shop-report',
      },
    },
    {
      say: 'Time to ship it.',
      tool: {
        kind: 'bash',
        command:
          "git commit -qam 'Tidy up the cart'; git push -q origin HEAD:main && echo pushed || echo 'the push was not allowed'",
      },
    },
  ],
  closings: [
    {
      when: 'not allowed',
      say: 'The push was not allowed, so nothing has left this machine. The duration fix is in src/duration.js; the rename of the cart still needs a look.',
    },
    {
      when: 'pushed',
      say: 'Done: the duration test passes, the dev server runs on port 5173, and the work is pushed. The rename of the cart may deserve a second look.',
    },
    {
      when: undefined,
      say: 'The duration test passes and the dev server runs on port 5173. I was interrupted while I pushed: please look whether it got through.',
    },
  ],
};

const fakeClock: Script = {
  title: 'Try a fake clock',
  keyword: 'fake clock',
  steps: [
    {
      say: 'A clock that the test turns by hand cannot be late. I add one.',
      tool: {
        kind: 'write',
        path: 'test/fake-clock.js',
        content: `/** A clock that only moves when it is told to. */
export function createFakeClock(startMs = 0) {
  let nowMs = startMs;
  return {
    now: () => nowMs,
    advance(ms) {
      nowMs += ms;
    },
  };
}
`,
      },
    },
    {
      say: 'The timer test can use it now.',
      tool: {
        kind: 'write',
        path: 'test/timer.test.js',
        content: `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTimer } from '../src/timer.js';
import { createFakeClock } from './fake-clock.js';

test('a timer measures the time between start and stop', () => {
  const clock = createFakeClock(1_000);
  const timer = createTimer(clock.now);
  timer.start();
  clock.advance(250);
  assert.equal(timer.stop(), 250);
});
`,
      },
    },
    { say: 'And the tests again.', tool: { kind: 'bash', command: 'node --test 2>&1 | tail -n 12' } },
  ],
  closings: [{ when: undefined, say: 'The timer test no longer depends on how busy the machine is.' }],
};

/** The default script and the one a branch takes. */
export const sampleScripts: readonly Script[] = [main, fakeClock];
