/**
 * A fixed part of the corpus for a quick look: about a fifth of its turns, evenly over every family, always the same. Pure. A turn
 * builds on those before it in its scenario, so a scenario is taken from its beginning, and a long one is cut.
 */

import type { Scenario, Step, Suite } from './corpus.ts';

/** One turn in so many. */
const oneIn = 5;
/** Counted turns of a scenario that are taken; those after them are left out. */
const turnsOfScenario = 5;

/** The suites with what is taken of them; scenarios that only prepare stay. Of each family at least the first turn is there. */
export function sampled(suites: readonly Suite[]): Suite[] {
  const seen = new Map<string, { before: number; taken: number }>();
  const take = (scenario: Scenario): Scenario[] => {
    const counted = scenario.steps.filter(isCounted).length;
    if (counted === 0) return [scenario];
    const family = seen.get(scenario.family) ?? { before: 0, taken: 0 };
    const due = family.taken * oneIn <= family.before;
    const cut = due ? firstTurns(scenario) : undefined;
    seen.set(scenario.family, {
      before: family.before + counted,
      taken: family.taken + (cut?.steps.filter(isCounted).length ?? 0),
    });
    return cut ? [cut] : [];
  };
  return suites
    .map((suite) => ({ ...suite, scenarios: suite.scenarios.flatMap(take) }))
    .filter((suite) => suite.scenarios.some((scenario) => scenario.steps.some(isCounted)));
}

/** What the last taken turn left is what the next one would have been prepared for: nothing after it runs. */
function firstTurns(scenario: Scenario): Scenario {
  const at = scenario.steps.flatMap((step, index) => (isCounted(step) ? [index] : []));
  return { ...scenario, steps: scenario.steps.slice(0, (at.slice(0, turnsOfScenario).at(-1) ?? 0) + 1) };
}

function isCounted(step: Step): boolean {
  return step.expect !== undefined;
}
