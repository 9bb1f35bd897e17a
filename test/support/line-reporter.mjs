/**
 * A node:test reporter for test/run.mjs: one JSON record a line on stdout, marked so that it can be told from what a test prints.
 * Knows nothing of suites or totals.
 */

import { inspect } from 'node:util';

/** First character of every record; no test prints it. */
const mark = '\u0001';

export default async function* report(source) {
  /** Names of the enclosing tests, by depth. */
  const path = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') path[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' && type === 'test:pass') continue;
    const error = data.details.error;
    // A parent that fails only because a subtest did is not a failure of its own.
    if (error?.failureType === 'subtestsFailed') continue;
    const record = {
      name: [...path.slice(0, data.nesting), data.name].join(' › '),
      outcome:
        data.skip !== undefined || data.todo !== undefined
          ? 'skipped'
          : type === 'test:pass'
            ? 'passed'
            : 'failed',
      reason: reasonOf(data.skip) ?? reasonOf(data.todo),
      tookMs: data.details.duration_ms,
      line: data.line,
      error: error === undefined ? undefined : describe(error.cause ?? error),
    };
    yield `\n${mark}${JSON.stringify(record)}\n`;
  }
}

function reasonOf(value) {
  if (value === undefined || value === false) return undefined;
  return typeof value === 'string' && value !== '' ? value : 'no reason given';
}

function describe(error) {
  const text = inspect(error, { depth: 4 });
  // Where the runner itself called the test says nothing.
  return text
    .replace(/^ +at .*node:(?:internal|async_hooks).*$\n?/gm, '')
    .replace(/^ +at async Promise\.all.*$\n?/gm, '');
}
