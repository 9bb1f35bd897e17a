import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idOf, type Suite } from '../../corpus/corpus.ts';
import { suites } from '../../corpus/run-corpus.ts';
import { sampled } from '../../corpus/sample.ts';

const turnsOf = (all: readonly Suite[]): { readonly family: string; readonly id: string }[] =>
  all.flatMap((suite) =>
    suite.scenarios.flatMap((scenario) =>
      scenario.steps
        .filter((step) => step.expect !== undefined)
        .map((step) => ({ family: scenario.family, id: `${scenario.family}/${scenario.name}/${step.name}` })),
    ),
  );

test('the sample is about a fifth of the turns, of every family some, and always the same', () => {
  const [whole, part] = [turnsOf(suites), turnsOf(sampled(suites))];
  assert.ok(part.length > 0.15 * whole.length && part.length < 0.25 * whole.length, String(part.length));
  const families = (turns: typeof whole): Set<string> => new Set(turns.map(({ family }) => family));
  assert.deepEqual(families(part), families(whole));
  assert.deepEqual(sampled(suites), sampled(suites));
});

test('every family has its fifth', () => {
  const [whole, part] = [turnsOf(suites), turnsOf(sampled(suites))];
  for (const family of new Set(whole.map((turn) => turn.family))) {
    const count = (turns: typeof whole): number => turns.filter((turn) => turn.family === family).length;
    assert.ok(count(part) >= Math.floor(count(whole) / 5), `${family}: ${count(part)} of ${count(whole)}`);
  }
});

test('a scenario is taken from its first step on, and what only prepares stays', () => {
  for (const [suite, whole] of sampled(suites).map((each) => [each, named(each.name)] as const)) {
    for (const scenario of suite.scenarios) {
      const original = whole.scenarios.find(
        (each) => each.name === scenario.name && each.family === scenario.family,
      );
      assert.deepEqual(scenario.steps, original?.steps.slice(0, scenario.steps.length));
    }
    const prepares = (each: Suite): string[] =>
      each.scenarios
        .filter((scenario) => scenario.steps.every((step) => step.expect === undefined))
        .flatMap((scenario) => scenario.steps.map((step) => idOf(scenario, step)));
    assert.deepEqual(prepares(suite), prepares(whole));
  }
});

function named(name: string): Suite {
  const suite = suites.find((each) => each.name === name);
  assert.ok(suite);
  return suite;
}
