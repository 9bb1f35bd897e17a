/**
 * Reads a person's rule file. It must be nobody's to write but root's and the person's: never a path inside a
 * workspace, which the agent could write.
 */

import { readFile } from 'node:fs/promises';
import { TurntableError } from '../protocol/errors.ts';
import { noRules, parseExecRules, type ParsedRules } from './exec-rules.ts';

/** The rules in `path`; none when there is no such file. Throws when it cannot be read or is wrong: a lost deny would be silent. */
export async function loadRules(path: string): Promise<ParsedRules> {
  let json: string;
  try {
    json = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return noRules;
    throw new TurntableError(
      'notPermitted',
      `The rule file ${path} cannot be read. Mend its permissions or remove it, then start again.`,
      { cause },
    );
  }
  return parseExecRules(json);
}
