/** The benchmark's tables for a terminal, and the table of main figures for the README. */

import { formatTable } from '../cli/format/table.ts';
import type { PartialFigures } from './result.ts';
import type { Table } from './section.ts';
import { rounded } from './statistics.ts';
import { mainFigures } from './summary.ts';

export function formatSection(table: Table): string {
  const rows = table.rows.map((row) => row.map(cell));
  const numbers = table.head.flatMap((_, column) =>
    column > 0 && table.rows.every((row) => typeof row[column] === 'number') ? [column] : [],
  );
  const body = formatTable(rows, { head: table.head, right: numbers, indent: 2 });
  return [`\n${table.title}`, body, ...(table.note === undefined ? [] : [`  ${table.note}`])].join('\n');
}

/** The main figures beside what they ought to be. */
export function formatSummary(figures: PartialFigures): string {
  return formatSection({
    title: 'Main figures',
    head: ['figure', 'measured', 'aim'],
    rows: mainFigures(figures).map(({ text, value, aim }) => [text, value, aim]),
  });
}

/** The same as a Markdown table. */
export function markdownSummary(figures: PartialFigures): string {
  const rows = mainFigures(figures).map(({ text, value, aim }) => `| ${text} | ${value} | ${aim} |`);
  return ['| | measured | aim |', '|---|---|---|', ...rows].join('\n');
}

/** Numbers and short texts anywhere in `data`, each with its path: for what has no table of its own. */
export function plainRows(data: unknown, path = ''): [string, string | number][] {
  if (typeof data === 'number' || typeof data === 'string') return [[path, data]];
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return [];
  return Object.entries(data).flatMap(([key, value]) =>
    plainRows(value, path === '' ? key : `${path}.${key}`),
  );
}

function cell(value: string | number): string {
  return typeof value === 'number' ? String(rounded(value, 4)) : value;
}
