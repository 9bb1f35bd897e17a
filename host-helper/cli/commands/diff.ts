/** `turntable diff`: what changed in a turn, or between two. */

import type { Command } from 'commander';
import type { Client } from '../../protocol/client.ts';
import { TurntableError } from '../../protocol/errors.ts';
import type { ChangedPath, SessionState } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { formatChange } from '../format/effects.ts';
import { formatPatch, type FileVersion } from '../format/patch.ts';
import { plural } from '../format/units.ts';
import { selectTurn } from '../select.ts';
import { sessionOf } from '../snapshot.ts';

export function registerDiff(program: Command): void {
  program
    .command('diff')
    .description('the files a turn changed, or those that differ between two turns')
    .argument('<session>')
    .argument('<turn>', 'the turn; with a second one, where to compare from')
    .argument('[to]', 'compare up to this turn')
    .option('-p, --patch', 'show the text that changed')
    .option('--all', "show the agent's own files too")
    .action(
      (
        reference: string,
        first: string,
        second: string | undefined,
        options: DiffOptions,
        command: Command,
      ) => runCommand(command, (cli) => diff(cli, reference, first, second, options)),
    );
}

interface DiffOptions {
  patch?: boolean;
  all?: boolean;
}

async function diff(
  cli: Cli,
  reference: string,
  first: string,
  second: string | undefined,
  options: DiffOptions,
): Promise<void> {
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const to = selectTurn(session, second ?? first);
  const from = second === undefined ? to.parent : selectTurn(session, first).id;
  using progress = cli.progress('comparing');
  const { changes, truncated } = await client.request('turn/changes', {
    sessionId: session.id,
    turn: to.id,
    from: second === undefined ? undefined : (from ?? undefined),
  });
  const shown = changes.filter((change) => options.all || !change.agentState);
  const patches: string[] = [];
  if (options.patch) {
    for (const change of shown) {
      if (change.kind !== 'file') continue;
      progress.label(`reading ${change.path}`);
      const [before, after] = await Promise.all([
        from === null || change.change === 'added' ? undefined : readVersion(client, session, from, change),
        change.change === 'removed' ? undefined : readVersion(client, session, to.id, change),
      ]);
      const style = cli.json ? plainStyle : cli.style;
      patches.push(formatPatch(change.path, before, after, style, cli.json || !process.stdout.isTTY));
    }
  }
  progress[Symbol.dispose]();
  cli.result(
    { sessionId: session.id, from, to: to.id, changes: shown, truncated, ...(options.patch && { patches }) },
    () => {
      if (options.patch) {
        for (const patch of patches) cli.print(patch);
      } else {
        for (const change of shown) cli.print(formatChange(change, session.workspace, cli.style));
      }
      if (shown.length === 0) cli.note(cli.noteStyle.faint('nothing changed'));
      if (truncated)
        cli.note(cli.noteStyle.warn(`only the first ${plural(changes.length, 'change')} are shown`));
    },
  );
}

async function readVersion(
  client: Client,
  session: SessionState,
  turn: number,
  change: ChangedPath,
): Promise<FileVersion | undefined> {
  try {
    const { content } = await client.request('file/read', { sessionId: session.id, turn, path: change.path });
    return { content: Buffer.from(content, 'base64') };
  } catch (error) {
    // It was no file on that side: a symlink or a folder gave way to it.
    if (error instanceof TurntableError && error.code === 'fileNotFound') return undefined;
    throw error;
  }
}

const same = (text: string): string => text;
const plainStyle = {
  strong: same,
  faint: same,
  good: same,
  bad: same,
  warn: same,
  accent: same,
  process: same,
};
