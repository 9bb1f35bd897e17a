/**
 * Reads a person's rule file. It belongs to the helper's configuration: never a path inside a workspace, which the
 * agent could write, and never a file that everybody on the host may write.
 */

import { open } from 'node:fs/promises';
import { TurntableError } from '../protocol/errors.ts';
import { noRules, parseExecRules, type ParsedRules } from './exec-rules.ts';

/** The rules in `path`; none when there is no such file. Throws when it cannot be read, is wrong, or may be written by anybody: a lost deny would be silent. */
export async function loadRules(path: string): Promise<ParsedRules> {
  let json: string;
  try {
    await using file = await open(path, 'r');
    if (((await file.stat()).mode & 0o002) !== 0) {
      throw new TurntableError(
        'notPermitted',
        `Everybody may write the rule file ${path}, so it says nothing. Run "chmod o-w ${path}", look at what is in it, and start again.`,
      );
    }
    json = await file.readFile('utf8');
  } catch (cause) {
    if (cause instanceof TurntableError) throw cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return noRules;
    throw new TurntableError(
      'notPermitted',
      `The rule file ${path} cannot be read. Mend its permissions or remove it, then start again.`,
      { cause },
    );
  }
  return parseExecRules(json);
}
