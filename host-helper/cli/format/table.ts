/** Borderless tables that fit the terminal: the last column gives way. */

import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';

const gap = 2;
const lastColumnMinimum = 20;
const noBorders = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
);

export interface TableOptions {
  readonly head?: readonly string[];
  readonly right?: readonly number[];
  /** Columns of the terminal; nothing is cut when absent. */
  readonly width?: number | undefined;
  readonly indent?: number;
}

/** Lines of a table, without a final newline. Cells may be coloured; they must be one line each. */
export function formatTable(rows: readonly (readonly string[])[], options: TableOptions = {}): string {
  const all = options.head ? [options.head, ...rows] : rows;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => visibleLength(row[column] ?? ''))),
  );
  const indent = options.indent ?? 0;
  const before = indent + widths.slice(0, -1).reduce((sum, width) => sum + width + gap, 0);
  const last =
    options.width === undefined ? undefined : Math.max(lastColumnMinimum, options.width - before - 1);
  const table = new Table({
    chars: noBorders,
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': gap },
    colAligns: widths.map((_, column) => (options.right?.includes(column) ? 'right' : 'left')),
    colWidths: widths.map((width, column) =>
      column === columns - 1 && last !== undefined && last < width ? last + gap : width + gap,
    ),
    truncate: '…',
  });
  table.push(...all.map((row) => Array.from({ length: columns }, (_, column) => row[column] ?? '')));
  const margin = ' '.repeat(indent);
  return table
    .toString()
    .split('\n')
    .map((line) => (margin + line).trimEnd())
    .join('\n');
}

/** The width to fit tables into: the terminal's, or no limit when stdout is none or does not say. */
export function terminalWidth(): number | undefined {
  return (process.stdout.isTTY && process.stdout.columns) || undefined;
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}
