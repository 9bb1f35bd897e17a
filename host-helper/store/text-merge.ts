/**
 * Line by line three-way merge of two contents that came from one base. Works on bytes (as latin1), so encodings and line
 * endings survive. Knows nothing of files.
 */

import { diff3Merge } from 'node-diff3';
import { z } from 'zod';

/** More lines than this are not merged: the search for common lines may be quadratic. */
const maxLines = 20_000;
const lines = z.array(z.string());
const regionsSchema = z.array(
  z.union([z.object({ ok: lines }), z.object({ conflict: z.object({ a: lines, b: lines }) })]),
);

export interface TextMerge {
  readonly content: Buffer;
  readonly conflict: boolean;
}

/** Undefined when one of them is no text, or too long to merge. With a conflict the content holds markers. */
export function mergeText(base: Buffer, mine: Buffer, theirs: Buffer): TextMerge | undefined {
  const texts = [base, mine, theirs];
  if (texts.some((content) => content.includes(0))) return undefined;
  const [o, a, b] = texts.map((content) => content.toString('latin1').split('\n'));
  if (!o || !a || !b || Math.max(o.length, a.length, b.length) > maxLines) return undefined;
  const merged: string[] = [];
  let conflict = false;
  for (const region of regionsSchema.parse(diff3Merge(a, o, b, { excludeFalseConflicts: true }))) {
    if ('ok' in region) {
      merged.push(...region.ok);
      continue;
    }
    conflict = true;
    merged.push('<<<<<<< yours', ...region.conflict.a, '=======', ...region.conflict.b, '>>>>>>> session');
  }
  return { content: Buffer.from(merged.join('\n'), 'latin1'), conflict };
}
