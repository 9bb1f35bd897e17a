/**
 * The corpus from the command line, as root:
 *   node test/corpus/main.ts [--json] [--quick] [--family NAME] [--only ID] [--suite NAME] [--at-once N] [--verbose]
 * `--quick` runs a fixed sample: about a fifth of the turns, of every family some. Prints a table by family; with --json the last
 * line is the summary as JSON. Exit code 0 when nothing was missed.
 */

import { parseArgs } from 'node:util';
import { runCorpus } from './run-corpus.ts';
import { summarize, table } from './summary.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    family: { type: 'string' },
    only: { type: 'string' },
    suite: { type: 'string' },
    'at-once': { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
  },
});

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));

const result = await runCorpus({
  signal: stop.signal,
  quick: values.quick,
  ...(values.family === undefined ? {} : { family: values.family }),
  ...(values.only === undefined ? {} : { only: values.only }),
  ...(values.suite === undefined ? {} : { suite: values.suite }),
  atOnce: Math.max(1, Number.parseInt(values['at-once'], 10) || 1),
  onVerdict: (verdict) => {
    if (values.verbose)
      console.log(
        `${verdict.id}: ${verdict.label} / ${verdict.effectClass}, decided in ${verdict.decisionMs.toFixed(1)} ms, ` +
          `took ${verdict.tookMs.toFixed(0)} ms: ${verdict.seen} | ${verdict.reasons}`,
      );
  },
});
const summary = summarize(result);
console.log(table(summary));
for (const { id, what } of summary.misses) console.log(`missed: ${id}: ${what}`);
for (const { id, what } of summary.corpusErrors) console.log(`corpus error: ${id}: ${what}`);
console.log(
  `${summary.turns} turns, ${summary.falseNegatives} false negatives; ${summary.nothingTurns} changed nothing, ` +
    `${(100 * summary.nothingRecognised).toFixed(1)} % of them recognised; decided in ${summary.decisionMs.p50} ms (p50), ` +
    `${summary.decisionMs.p95} ms (p95); ${summary.rewinds.checked} rewinds compared, ${summary.rewinds.wrong} wrong; ` +
    `${(result.tookMs / 1000).toFixed(0)} s`,
);
if (values.json) console.log(JSON.stringify(summary));
process.exitCode = summary.falseNegatives === 0 && summary.corpusErrors.length === 0 ? 0 : 1;
