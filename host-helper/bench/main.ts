/**
 * `npm run bench`: every figure of the product in one run, with its peers beside it. Prints tables, writes bench.json (shape:
 * result.ts). Owns options, order and what happens on failure and Ctrl-C; each measurement is a section of its own.
 */

import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { productRoot } from '../demo/helper-process.ts';
import { removeRunDirectory } from '../demo/run-directory.ts';
import { endHelpersBelow } from './abandoned-helpers.ts';
import { publishFigures } from './publish.ts';
import { formatSection, formatSummary } from './report.ts';
import { mergeFigures, missingFigures, resultSchema, type BenchResult } from './result.ts';
import type { Section } from './section.ts';
import { sections } from './sections.ts';

const usage = `npm run bench -- [options]
  --quick            within five minutes: fewer rounds, smaller workloads, the same figures
  --only NAME,…      some sections: ${sections.map((section) => section.name).join(', ')}
  --json             also print the result as one last line of JSON
  --chart            measure nothing: draw media/bench-*.svg and the README's table from bench.json
`;
const resultPath = join(productRoot, 'bench.json');
/** How long an interrupted section gets to put things back in order; a helper may just be starting. */
const unwindMs = 60_000;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    chart: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const chosen = sections.filter(({ name }) => values.only?.split(',').includes(name) ?? true);
const unknown = (values.only?.split(',') ?? []).filter(
  (name) => !sections.some((each) => each.name === name),
);

if (values.help) {
  process.stdout.write(usage);
} else if (unknown.length > 0) {
  process.stderr.write(`There is no section ${unknown.join(', ')}.\n${usage}`);
  process.exitCode = 2;
} else if (values.chart) {
  const measured = resultSchema.parse(JSON.parse(await readFile(resultPath, 'utf8')));
  for (const path of await publishFigures(productRoot, measured)) say(`wrote ${path}`);
} else if (process.getuid?.() !== 0) {
  process.stderr.write(
    'The benchmarks start the helper and watch through BPF: run them as root (sudo npm run bench).\n',
  );
  process.exitCode = 2;
} else {
  process.exitCode = await measure(chosen);
  // What an interrupted section left waiting must not keep the process.
  if (process.exitCode === 130) process.exit();
}

/** Returns the exit code: 0 when every section came to its end, 1 when one failed, 130 when interrupted. */
async function measure(chosenSections: readonly Section[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const directory = await mkdtemp('/var/tmp/turntable-bench-');
  const startedMs = performance.now();
  let result: BenchResult = {
    startedAt: new Date().toISOString(),
    tookMs: 0,
    quick: values.quick,
    machine: { cpus: cpus().length, memoryBytes: totalmem(), kernel: release() },
    sections: [],
    details: {},
  };
  for (const section of chosenSections) {
    if (stop.signal.aborted) break;
    say(`\n── ${section.name}: ${section.text}`);
    result = await withSection(result, section, join(directory, section.name), stop.signal);
    result = { ...result, tookMs: Math.round(performance.now() - startedMs) };
    // After each: what was measured is not lost with what comes after.
    await writeFile(resultPath, JSON.stringify(result, undefined, 2) + '\n');
  }
  say(formatSummary(result));
  for (const { name, error } of result.sections) if (error !== undefined) say(`✗ ${name}: ${error}`);
  if (values.only === undefined) {
    const missing = missingFigures(result);
    if (missing.length > 0) say(`not measured: ${missing.join(', ')}`);
  }
  say(`\n${(result.tookMs / 1000).toFixed(0)} s; ${resultPath}`);
  await endHelpersBelow(directory);
  const removed = await removeRunDirectory(directory).then(
    () => true,
    (error: unknown) => {
      process.stderr.write(`${wordsOf(error)}\n`);
      return false;
    },
  );
  if (values.json) process.stdout.write(JSON.stringify(result) + '\n');
  if (stop.signal.aborted) return 130;
  return removed && result.sections.every(({ error }) => error === undefined) ? 0 : 1;
}

async function withSection(
  result: BenchResult,
  section: Section,
  directory: string,
  signal: AbortSignal,
): Promise<BenchResult> {
  const startedMs = performance.now();
  const done = (error?: string): BenchResult['sections'] => [
    ...result.sections,
    {
      name: section.name,
      tookMs: Math.round(performance.now() - startedMs),
      ...(error === undefined ? {} : { error }),
    },
  ];
  try {
    await mkdir(directory);
    const work = section.run({ directory, quick: values.quick, signal, say });
    const { figures, details, tables } = await untilAborted(work, signal, directory);
    for (const table of tables) say(formatSection(table));
    return {
      ...result,
      ...mergeFigures(result, figures),
      details: { ...result.details, [section.name]: details },
      sections: done(),
    };
  } catch (error) {
    say(`✗ ${section.name} failed: ${wordsOf(error)}`);
    return { ...result, sections: done(wordsOf(error)) };
  }
}

/**
 * The result of `work`. When interrupted, helpers that the section started are taken down, so that what waits for them ends too;
 * then the section gets a while to put back what it changed.
 */
async function untilAborted<Value>(
  work: Promise<Value>,
  signal: AbortSignal,
  directory: string,
): Promise<Value> {
  const { promise: aborted, resolve } = Promise.withResolvers<'aborted'>();
  const onAbort = (): void => resolve('aborted');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const first = await Promise.race([work.then((value) => ({ value })), aborted]);
    if (first !== 'aborted') return first.value;
    say('\nstopping: what was started is taken down …');
    await endHelpersBelow(directory);
    const timer = Promise.withResolvers<undefined>();
    setTimeout(() => timer.resolve(undefined), unwindMs).unref();
    await Promise.race([work.catch(() => undefined), timer.promise]);
    throw new Error('interrupted');
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
