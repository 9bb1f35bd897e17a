/** The labelled corpus against a real helper: test/corpus says what is in it, and how it may be run alone. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runCorpus, suites, type CorpusResult } from '../corpus/run-corpus.ts';
import { summarize, type CorpusSummary } from '../corpus/summary.ts';

const skip = process.getuid?.() === 0 ? false : 'the corpus needs root';

let result: CorpusResult;
let summary: CorpusSummary;
const stop = new AbortController();

before(async () => {
  if (skip) return;
  result = await runCorpus({ signal: stop.signal });
  summary = summarize(result);
});
after(() => stop.abort());

const listed = (misses: readonly { readonly id: string; readonly what: string }[]): string =>
  misses.map(({ id, what }) => `${id}: ${what}`).join('\n');

test('the corpus has at least 400 turns, each with a name of its own', { skip }, () => {
  assert.ok(summary.turns >= 400, String(summary.turns));
  const counted = suites.flatMap((suite) =>
    suite.scenarios.flatMap((scenario) => scenario.steps.filter((step) => step.expect !== undefined)),
  );
  assert.equal(summary.turns, counted.length);
  const ids = result.verdicts.filter((verdict) => verdict.counted).map((verdict) => verdict.id);
  assert.equal(new Set(ids).size, ids.length);
});

test('what the oracle labels is what the turns were written to do', { skip }, () => {
  assert.equal(summary.corpusErrors.length, 0, listed(summary.corpusErrors));
});

test('no turn is taken for less than it did, and all that it changed is named', { skip }, () => {
  assert.equal(summary.falseNegatives, 0, listed(summary.misses));
});

test('at least 95 % of the turns that change nothing are recognised', { skip }, () => {
  assert.ok(summary.nothingTurns > 0);
  assert.ok(summary.nothingRecognised >= 0.95, listed(summary.misses));
});

test('a rewind brings back what the oracle had seen', { skip }, () => {
  assert.ok(summary.rewinds.checked > 0);
  assert.equal(summary.rewinds.wrong, 0, listed(summary.misses));
});
