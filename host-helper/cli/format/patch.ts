/** A unified text diff of two versions of a file. Pure. */

import { diffIndices } from 'node-diff3';
import { printable, type Style } from './style.ts';

const contextLines = 3;
const textMaximumBytes = 1024 * 1024;

export interface FileVersion {
  readonly content: Buffer;
}

interface Hunk {
  oldStart: number;
  newStart: number;
  oldCount: number;
  newCount: number;
  lines: string[];
}

/**
 * The diff as `git diff` shows it; an absent side is a file that was added or removed. `raw` leaves control characters
 * as they are: for pipes and `patch`, never for a terminal.
 */
export function formatPatch(
  path: string,
  before: FileVersion | undefined,
  after: FileVersion | undefined,
  style: Style,
  raw: boolean,
): string {
  const name = printable(path.replace(/^\//, ''));
  const head = [
    style.strong(`--- ${before ? 'a/' + name : '/dev/null'}`),
    style.strong(`+++ ${after ? 'b/' + name : '/dev/null'}`),
  ];
  if ([before, after].some((side) => side && !isText(side.content))) {
    return [...head, style.faint('(binary, or too large to compare here)')].join('\n');
  }
  const hunks = hunksOf(linesOf(before), linesOf(after));
  return [
    ...head,
    ...hunks.flatMap((hunk) => [
      style.accent(`@@ -${range(hunk.oldStart, hunk.oldCount)} +${range(hunk.newStart, hunk.newCount)} @@`),
      ...hunk.lines.map((line) => paintLine(raw ? line : printable(line, { lines: true }), style)),
    ]),
  ].join('\n');
}

function hunksOf(oldLines: string[], newLines: string[]): Hunk[] {
  const hunks: Hunk[] = [];
  let hunk: Hunk | undefined;
  /** Index in oldLines up to which the open hunk reaches. */
  let reached = 0;
  const extend = (open: Hunk, until: number): void => {
    for (const line of oldLines.slice(reached, until)) {
      open.lines.push(' ' + line);
      open.oldCount += 1;
      open.newCount += 1;
    }
    reached = Math.max(reached, Math.min(until, oldLines.length));
  };
  for (const { buffer1, buffer1Content, buffer2, buffer2Content } of diffIndices(oldLines, newLines)) {
    const [oldAt, oldCount] = buffer1;
    const [newAt, newCount] = buffer2;
    if (hunk && oldAt - reached <= contextLines * 2) {
      extend(hunk, oldAt);
    } else {
      if (hunk) extend(hunk, reached + contextLines);
      const lead = Math.min(contextLines, oldAt);
      hunk = { oldStart: oldAt - lead, newStart: newAt - lead, oldCount: 0, newCount: 0, lines: [] };
      hunks.push(hunk);
      reached = oldAt - lead;
      extend(hunk, oldAt);
    }
    hunk.lines.push(...buffer1Content.map((line) => '-' + line), ...buffer2Content.map((line) => '+' + line));
    hunk.oldCount += oldCount;
    hunk.newCount += newCount;
    reached = oldAt + oldCount;
  }
  if (hunk) extend(hunk, reached + contextLines);
  return hunks;
}

const noNewline = '\n\\ No newline at end of file';

/** Lines without their ends; a last line without one carries the remark that diff prints, and so differs. */
function linesOf(version: FileVersion | undefined): string[] {
  if (!version || version.content.length === 0) return [];
  const text = version.content.toString('utf8');
  if (text.endsWith('\n')) return text.slice(0, -1).split('\n');
  const lines = text.split('\n');
  return [...lines.slice(0, -1), (lines.at(-1) ?? '') + noNewline];
}

function isText(content: Buffer): boolean {
  return content.length <= textMaximumBytes && !content.subarray(0, 8192).includes(0);
}

function range(start: number, count: number): string {
  const first = count === 0 ? start : start + 1;
  return count === 1 ? String(first) : `${first},${count}`;
}

function paintLine(line: string, style: Style): string {
  if (line.startsWith('+')) return style.good(line);
  if (line.startsWith('-')) return style.bad(line);
  return line;
}
