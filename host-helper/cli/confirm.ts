/** Asks the person at the terminal; without one, or with --json, only --yes will do. */

import { createInterface } from 'node:readline/promises';
import { TurntableError } from '../protocol/errors.ts';
import type { Cli } from './cli.ts';

/** Returns when the answer is yes. Throws `cancelled` (exit code 4) otherwise. */
export async function confirm(cli: Cli, question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (cli.json || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw new TurntableError('cancelled', 'Nothing was done: add --yes to go ahead without being asked.');
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await reader.question(`${question} ${cli.noteStyle.faint('[y/N]')} `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new TurntableError('cancelled', 'Nothing was done.');
  } catch (error) {
    if (error instanceof TurntableError) throw error;
    throw new TurntableError('cancelled', 'Nothing was done.', { cause: error });
  } finally {
    reader.close();
  }
}
