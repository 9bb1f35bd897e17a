/**
 * What each sandbox does and how long its model thinks: seeded by the sandbox, so that every phase replays the same. About a
 * third of the steps change something; every second sandbox keeps a server running, which some steps talk to. Pure.
 */

import type { Script, ScriptStep } from '../../demo/script.ts';

/** More than anybody gets through: a phase ends by its time. */
const steps = 200;
const medianMs = 10_000;
const p90Ms = 46_000;
/** ln(p90 / median) is 1.2816 deviations of a log-normal distribution. */
const deviation = Math.log(p90Ms / medianMs) / 1.2816;
/** Unscaled. */
const longestMs = 120_000;

const looks = [
  'ls -la src test',
  'cat src/duration.js src/cart.js | head -n 80',
  'grep -rn price src | head -n 20',
  'git status --short; git diff --stat',
  'git log --oneline -5; find . -name "*.js" -not -path "./.git/*" | wc -l',
  'node --check src/cart.js && echo fine',
  'for n in $(seq 40); do : $(wc -c < package.json); done; echo counted',
  'touch scratch && rm scratch; test -e missing || echo absent',
];
const changes = [
  (n: number) => `echo "// note ${n}" >> src/cart.js`,
  (n: number) => `sed -i 's/note [0-9]*$/note ${n}/' src/cart.js src/duration.js && git diff --stat`,
  (n: number) => `mkdir -p notes && seq ${n * 50} ${n * 50 + 400} > notes/${n}.txt`,
  (n: number) =>
    `cp src/duration.js src/copy-${n}.js && git add -A && git -c user.name=t -c user.email=t@t commit -qm "step ${n}"`,
];
const serve =
  'node -e \'let n = 0; require("http").createServer((q, r) => r.end(String(++n))).listen(5173)\' > /tmp/server.log 2>&1 & sleep 0.3; echo started';
const visit = 'node -e \'fetch("http://127.0.0.1:5173").then((r) => r.text()).then(console.log)\'';

export interface Work {
  readonly script: Script;
  /** Wait before the reply to the request that knows of so many calls, in milliseconds of real time. */
  readonly waitMs: (callsTaken: number) => number;
}

export function workOf(sandbox: number, timeScale: number): Work {
  const random = generator(sandbox + 1);
  const pick = <Value>(values: readonly Value[]): Value | undefined =>
    values[Math.floor(random() * values.length)];
  const serves = sandbox % 2 === 1;
  const list: ScriptStep[] = [];
  for (let n = 0; n < steps; n += 1) {
    const roll = random();
    const command =
      serves && n === 1
        ? serve
        : serves && n > 1 && roll < 0.08
          ? visit
          : roll < 0.35
            ? pick(changes)?.(n)
            : pick(looks);
    list.push({ say: `Step ${n}.`, tool: { kind: 'bash', command: command ?? 'true' } });
  }
  const waits = Array.from({ length: steps + 1 }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return timeScale * Math.min(longestMs, medianMs * Math.exp(deviation * normal));
  });
  return {
    script: { title: 'Work', keyword: undefined, steps: list, closings: [{ when: undefined, say: 'Done.' }] },
    waitMs: (callsTaken) => waits[callsTaken] ?? 0,
  };
}

/** mulberry32. */
function generator(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
