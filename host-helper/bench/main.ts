/**
 * `npm run bench`: every figure of the product in one run, with its peers beside it. Prints tables, writes bench.json (shape:
 * result.ts). Owns options, order and what happens on failure and Ctrl-C; each measurement is a section of its own.
 */

import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { productRoot } from '../demo/helper-process.ts';
import { removeRunDirectory } from '../demo/run-directory.ts';
import { endHelpersBelow } from './abandoned-helpers.ts';
import { BenchFile, commitOfProduct, resultPath } from './bench-file.ts';
import { stopSignal, untilAborted } from './interruption.ts';
import { publishFigures } from './publish.ts';
import { formatSection, formatSummary } from './report.ts';
import { mergeFigures, missingFigures, resultSchema, type BenchResult } from './result.ts';
import type { Section } from './section.ts';
import { sections } from './sections.ts';

const usage = `npm run bench -- [options]
  --quick            about six minutes, and one to clean up: fewer rounds, smaller workloads, the same figures
  --only NAME,…      some sections: ${sections.map((section) => section.name).join(', ')};
                     added to a bench.json of the same commit, machine and --quick, else into bench.only.json
  --out FILE         write the result there, whatever was chosen
  --json             also print the result as one last line of JSON
  --chart            measure nothing: draw media/bench-*.svg and the README's table from a complete bench.json
`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    out: { type: 'string' },
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
  process.exitCode = await publish();
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

/** A chart with a hole would look like a chart of less. Returns the exit code. */
async function publish(): Promise<number> {
  const measured = resultSchema.parse(JSON.parse(await readFile(resultPath, 'utf8')));
  const missing = missingFigures(measured);
  if (missing.length > 0) {
    process.stderr.write(
      `bench.json lacks ${missing.join(', ')}: measure all with \`npm run bench\`, or add the sections they belong to with \`--only\`.\n`,
    );
    return 1;
  }
  for (const path of await publishFigures(productRoot, measured)) say(`wrote ${path}`);
  return 0;
}

/** Returns the exit code: 0 when every section came to its end, 1 when one failed, 130 when interrupted. */
async function measure(chosenSections: readonly Section[]): Promise<number> {
  const signal = stopSignal();
  const directory = await mkdtemp('/var/tmp/turntable-bench-');
  const startedMs = performance.now();
  let result: BenchResult = {
    startedAt: new Date().toISOString(),
    tookMs: 0,
    quick: values.quick,
    commit: await commitOfProduct(),
    runs: 1,
    machine: { cpus: cpus().length, memoryBytes: totalmem(), kernel: kernelVersion(release()) },
    sections: [],
    details: {},
  };
  const file = await BenchFile.for(result, { whole: values.only === undefined, out: values.out });
  for (const section of chosenSections) {
    if (signal.aborted) break;
    say(`\n── ${section.name}: ${section.text}`);
    result = await withSection(result, section, join(directory, section.name), signal);
    result = { ...result, tookMs: Math.round(performance.now() - startedMs) };
    // After each: what was measured is not lost with what comes after.
    await file.keep(result);
  }
  say(formatSummary(result));
  for (const { name, error } of result.sections) if (error !== undefined) say(`✗ ${name}: ${error}`);
  if (values.only === undefined) {
    const missing = missingFigures(result);
    if (missing.length > 0) say(`not measured: ${missing.join(', ')}`);
  }
  say(`\n${(result.tookMs / 1000).toFixed(0)} s; ${file.path}`);
  await endHelpersBelow(directory);
  const removed = await removeRunDirectory(directory).then(
    () => true,
    (error: unknown) => {
      process.stderr.write(`${wordsOf(error)}\n`);
      return false;
    },
  );
  if (values.json) process.stdout.write(JSON.stringify(result) + '\n');
  if (signal.aborted) return 130;
  return removed && result.sections.every(({ error }) => error === undefined) ? 0 : 1;
}

async function withSection(
  result: BenchResult,
  section: Section,
  directory: string,
  signal: AbortSignal,
): Promise<BenchResult> {
  const startedMs = performance.now();
  const done = (more: { readonly error?: string; readonly leftOut?: string }): BenchResult['sections'] => [
    ...result.sections,
    { name: section.name, tookMs: Math.round(performance.now() - startedMs), ...more },
  ];
  try {
    await mkdir(directory);
    const work = section.run({ directory, quick: values.quick, signal, say });
    const { figures, details, tables, leftOut } = await untilAborted(work, signal, directory, say);
    for (const table of tables) say(formatSection(table));
    if (leftOut !== undefined) say(`\n  quick leaves out: ${leftOut}`);
    return {
      ...result,
      ...mergeFigures(result, figures),
      details: { ...result.details, [section.name]: details },
      sections: done(leftOut === undefined ? {} : { leftOut }),
    };
  } catch (error) {
    say(`✗ ${section.name} failed: ${wordsOf(error)}`);
    return { ...result, sections: done({ error: wordsOf(error) }) };
  }
}

/** Without what a distribution or a cloud appends: it says nothing to readers. */
function kernelVersion(text: string): string {
  return /^\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? text;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
