/** `turntable turns`, `show`, `cat`: look at what happened. */

import type { Command } from 'commander';
import { runCommand } from '../cli.ts';
import { terminalWidth } from '../format/table.ts';
import { formatTurn, formatTurns } from '../format/turns.ts';
import { pathIn, selectSession, selectTurn } from '../select.ts';
import { sessionOf, snapshotOf } from '../snapshot.ts';

export function registerTurns(program: Command): void {
  program
    .command('turns')
    .description('the turns of a session, as a tree')
    .argument('[session]', 'its id, a unique beginning of it, or last', 'last')
    .action((reference: string, _options: unknown, command: Command) =>
      runCommand(command, async (cli) => {
        const state = await snapshotOf(await cli.connect());
        const session = selectSession(state, reference);
        const branches = Object.values(state.sessions).filter(
          (each) => each.origin?.sessionId === session.id,
        );
        cli.result({ sessionId: session.id, head: session.head, turns: session.turns }, () =>
          cli.print(formatTurns(session, branches, cli.style, terminalWidth())),
        );
      }),
    );
  program
    .command('show')
    .description('one turn in full')
    .argument('<session>')
    .argument('[turn]', 'a number, head, start, or -1 for the one before head', 'head')
    .action((reference: string, turnReference: string, _options: unknown, command: Command) =>
      runCommand(command, async (cli) => {
        const session = await sessionOf(await cli.connect(), reference);
        const turn = selectTurn(session, turnReference);
        cli.result({ sessionId: session.id, turn }, () => cli.print(formatTurn(session, turn, cli.style)));
      }),
    );
  program
    .command('cat')
    .description('a file as it was at the end of a turn')
    .argument('<session>')
    .argument('<turn>')
    .argument('<path>', 'in the sandbox; relative ones from the workspace')
    .action((reference: string, turnReference: string, path: string, _options: unknown, command: Command) =>
      runCommand(command, async (cli) => {
        const client = await cli.connect();
        const session = await sessionOf(client, reference);
        const turn = selectTurn(session, turnReference);
        const file = await client.request('file/read', {
          sessionId: session.id,
          turn: turn.id,
          path: pathIn(session, path),
        });
        cli.result(file, () => void process.stdout.write(Buffer.from(file.content, 'base64')));
      }),
    );
}
