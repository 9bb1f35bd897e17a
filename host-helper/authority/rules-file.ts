/**
 * Reads a person's own rules from the helper's configuration directory: a place that no sandbox can write to. A file that is
 * there but wrong stops the start, because a missing deny would be silent.
 */

import { readFile } from 'node:fs/promises';
import { noRules, parseExecRules, type ParsedRules } from './exec-rules.ts';

/** No file, no rules of one's own. Throws `invalidParams`. */
export async function loadRules(path: string): Promise<ParsedRules> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return noRules;
    throw error;
  }
  return parseExecRules(text);
}
