/** Puts the figures of a run where people look: the charts in media/, and the table in the README between its markers. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawChart } from './chart.ts';
import { markdownSummary } from './report.ts';
import type { BenchResult } from './result.ts';

const begin = '<!-- bench: begin; made by `npm run bench -- --chart` -->';
const end = '<!-- bench: end -->';

/** Returns the paths that were written, relative to `root`. */
export async function publishFigures(root: string, result: BenchResult): Promise<string[]> {
  // Without the corpus's lists of turns: the chart does not use them, and they are long.
  const { corpus: _, ...details } = result.details;
  const files: Record<string, string> = {
    'media/bench-light.svg': drawChart(result, 'light'),
    'media/bench-dark.svg': drawChart(result, 'dark'),
    'media/bench.json': JSON.stringify({ ...result, details }, undefined, 2) + '\n',
    'README.md': withTable(await readFile(join(root, 'README.md'), 'utf8'), markdownTable(result)),
  };
  for (const [path, text] of Object.entries(files)) await writeFile(join(root, path), text);
  return Object.keys(files);
}

/** `readme` with what stands between its markers replaced. Throws when they are not there. */
export function withTable(readme: string, table: string): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end, from);
  if (from < 0 || to < 0)
    throw new Error(`README.md has no lines "${begin}" and "${end}": put them where the table belongs.`);
  return `${readme.slice(0, from + begin.length)}\n${table}\n${readme.slice(to)}`;
}

function markdownTable(result: BenchResult): string {
  const { machine, quick, runs, startedAt } = result;
  const memory = Math.round(machine.memoryBytes / 1e9);
  const run = `${machine.cpus} cores, ${memory} GB, Linux ${machine.kernel}, ${startedAt.slice(0, 10)}${quick ? ', quick run' : ''}`;
  return `\n${markdownSummary(result)}\n\nMeasured in ${runs === 1 ? 'one run' : `${runs} runs of one commit`}: ${run}.\n`;
}
