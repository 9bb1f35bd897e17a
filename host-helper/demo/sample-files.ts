/**
 * The files of the sample repository, by path. Plain data.
 */

export const sampleFiles: Readonly<Record<string, string>> = {
  'README.md': `# Shop

A very small shop: a catalogue, a cart, and a page that shows both.

    node --test      # the tests
    node server.mjs  # the page, on http://127.0.0.1:5173

No dependencies. Prices are in cents everywhere.
`,
  'package.json': `{
  "name": "shop",
  "version": "1.0.0",
  "private": true,
  "type": "module",
  "scripts": {
    "test": "node --test",
    "dev": "node server.mjs"
  }
}
`,
  '.gitignore': `node_modules/
*.log
`,
  'data/catalogue.json': `[
  { "id": "kettle", "name": "Kettle", "cents": 3490 },
  { "id": "teapot", "name": "Teapot", "cents": 2250 },
  { "id": "timer", "name": "Tea timer", "cents": 890 }
]
`,
  'data/catalogue-prices.json': `{ "currency": "EUR", "discounts": { "teapot": 0.1 } }
`,
  'scripts/serve.sh': `#!/bin/sh
# Starts the page in the background, unless it is there already, and waits until it answers.
answers() {
  node -e "fetch('http://127.0.0.1:5173/').then((r) => console.log('the page answers:', r.status), () => process.exit(1))"
}
answers && exit
setsid nohup node server.mjs >/tmp/shop-server.log 2>&1 </dev/null &
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  sleep 0.2
  answers && exit
done
cat /tmp/shop-server.log
exit 1
`,
  'scripts/shop-report.sh': `#!/bin/sh
# Says how many items a catalogue has.
echo "$(grep -c '"id"' "\${1:-data/catalogue.json}") items"
`,
  'src/duration.js': `/** Milliseconds as minutes, seconds and tenths: 83_450 is "1:23.4". */
export function formatDuration(ms) {
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1000;
  return \`\${minutes}:\${seconds.toFixed(1).padStart(4, '0')}\`;
}
`,
  'src/timer.js': `/** A stopwatch. The clock can be handed in. */
export function createTimer(now = () => performance.now()) {
  let startedAt;
  return {
    start() {
      startedAt = now();
    },
    stop() {
      if (startedAt === undefined) throw new Error('the timer was not started');
      return now() - startedAt;
    },
  };
}
`,
  'src/catalogue.js': `import { readFileSync } from 'node:fs';

const read = (name) => JSON.parse(readFileSync(new URL(\`../data/\${name}\`, import.meta.url), 'utf8'));

/** All items with their price after discount. */
export function catalogue() {
  const { discounts } = read('catalogue-prices.json');
  return read('catalogue.json').map((item) => ({
    ...item,
    cents: Math.round(item.cents * (1 - (discounts[item.id] ?? 0))),
  }));
}
`,
  'src/cart.js': `import { catalogue } from './catalogue.js';

export function formatPrice(cents) {
  return \`\${(cents / 100).toFixed(2)} EUR\`;
}

/** The sum of a cart's lines, in cents. */
export function cartTotal(lines) {
  const items = new Map(catalogue().map((item) => [item.id, item]));
  return lines.reduce((sum, { id, count }) => sum + (items.get(id)?.cents ?? 0) * count, 0);
}
`,
  'src/checkout.js': `import { cartTotal, formatPrice } from './cart.js';

/** The last line of a receipt. */
export function receipt(lines) {
  return \`Total: \${formatPrice(cartTotal(lines))}\`;
}
`,
  'test/duration.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration } from '../src/duration.js';

test('a duration shows minutes, seconds and tenths', () => {
  assert.equal(formatDuration(83_450), '1:23.4');
});

test('a duration just below a minute does not show sixty seconds', () => {
  assert.equal(formatDuration(59_960), '0:59.9');
});
`,
  'test/cart.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cartTotal, formatPrice } from '../src/cart.js';
import { receipt } from '../src/checkout.js';

const lines = [
  { id: 'kettle', count: 1 },
  { id: 'teapot', count: 2 },
];

test('a cart adds up its lines after discount', () => {
  assert.equal(cartTotal(lines), 3490 + 2 * 2025);
  assert.equal(formatPrice(905), '9.05 EUR');
});

test('a receipt ends with the total', () => {
  assert.equal(receipt(lines), 'Total: 75.40 EUR');
});
`,
  'test/timer.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTimer } from '../src/timer.js';

// Flaky: on a busy machine the sleep takes longer than the test allows.
test('a timer measures the time between start and stop', async () => {
  const timer = createTimer();
  timer.start();
  await sleep(50);
  const took = timer.stop();
  assert.ok(took >= 45 && took < 250, \`took \${took} ms\`);
});
`,
  'server.mjs': `import { createServer } from 'node:http';
import { catalogue } from './src/catalogue.js';
import { formatPrice } from './src/cart.js';
import { formatDuration } from './src/duration.js';

const port = 5173;
const startedAt = Date.now();
let visits = 0;

const page = () => \`<!doctype html>
<title>Shop</title>
<h1>Shop</h1>
<ul>\${catalogue()
  .map((item) => \`<li>\${item.name}: \${formatPrice(item.cents)}</li>\`)
  .join('')}</ul>
<p>Visit \${visits}, open for \${formatDuration(Date.now() - startedAt)}</p>
\`;

createServer((request, response) => {
  visits += 1;
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
  response.end(page());
}).listen(port, '127.0.0.1', () => console.log(\`http://127.0.0.1:\${port}\`));
`,
};
