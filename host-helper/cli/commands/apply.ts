/** `turntable apply`: carry a session's changes into the developer's own folder, after review. */

import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import { conflictChoiceSchema } from '../../protocol/methods.ts';
import { runCommand, type Cli } from '../cli.ts';
import { collect } from '../collect.ts';
import { confirm } from '../confirm.ts';
import { formatChange, shortPath } from '../format/effects.ts';
import { printable } from '../format/style.ts';
import { plural } from '../format/units.ts';
import { pathIn } from '../select.ts';
import { sessionOf } from '../snapshot.ts';
import { conflictsOption } from './rewind.ts';

interface ApplyOptions {
  yes?: boolean;
  dryRun?: boolean;
  path: string[];
  conflicts?: string;
  undo?: string;
}

export function registerApply(program: Command): void {
  program
    .command('apply')
    .description("carry a session's changes into your own folder; can be undone")
    .argument('[session]', 'its id, a unique beginning of it, or last', 'last')
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'show what would change, and stop')
    .option('--path <path>', 'only this file or folder; may be repeated', collect, [])
    .option('--undo <id>', 'take back an earlier apply')
    .addOption(conflictsOption())
    .action((reference: string, options: ApplyOptions, command: Command) =>
      runCommand(command, (cli) =>
        options.undo === undefined ? apply(cli, reference, options) : undo(cli, reference, options.undo),
      ),
    );
}

async function apply(cli: Cli, reference: string, options: ApplyOptions): Promise<void> {
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const preview = await (async () => {
    using _progress = cli.progress('comparing with your folder');
    return await client.request('apply/preview', { sessionId: session.id });
  })();
  const chosen = options.path.map((path) => pathIn(session, path));
  const isChosen = (path: string): boolean =>
    chosen.length === 0 ||
    chosen.some((each) => path === each || path.startsWith(each.replace(/\/$/, '') + '/'));
  const changes = preview.changes.filter((change) => isChosen(change.path));
  const conflicts = preview.conflicts.filter((path) => isChosen(pathIn(session, path)));
  if (options.dryRun) {
    cli.result({ sessionId: session.id, changes, conflicts, merged: preview.merged }, () =>
      show(cli.print, cli.style),
    );
    return;
  }
  if (!cli.json) show(cli.note, cli.noteStyle);
  if (changes.length === 0) {
    cli.result({ sessionId: session.id, applied: [], skipped: [], undoId: null }, () => {});
    return;
  }
  if (conflicts.length > 0 && options.conflicts === undefined) {
    throw new TurntableError(
      'conflict',
      `${plural(conflicts.length, 'file')} changed on both sides and cannot be merged: choose with --conflicts ${conflictChoiceSchema.options.join('|')}, or leave them out with --path.`,
      { data: { conflicts } },
    );
  }
  await confirm(
    cli,
    `Change ${plural(changes.length, 'path')} in ${printable(session.workspace)}?`,
    options.yes,
  );
  const result = await (async () => {
    using _progress = cli.progress('applying');
    return await client.request('apply', {
      sessionId: session.id,
      paths: chosen.length === 0 ? undefined : changes.map((change) => change.path),
      conflicts: options.conflicts === undefined ? undefined : conflictChoiceSchema.parse(options.conflicts),
    });
  })();
  cli.result({ sessionId: session.id, ...result }, () => {
    cli.print(
      `${cli.style.good('✓')} ${plural(result.applied.length, 'path')} changed in ${printable(session.workspace)}`,
    );
    for (const path of result.skipped)
      cli.print(cli.style.warn(`  left alone: ${printable(shortPath(path, session.workspace))}`));
    cli.print(cli.style.faint(`  undo: turntable apply ${session.id} --undo ${result.undoId}`));
  });

  function show(print: (line: string) => void, style: Cli['style']): void {
    for (const change of changes) print(formatChange(change, session.workspace, style));
    for (const path of preview.merged.filter((each) => isChosen(pathIn(session, each)))) {
      print(
        style.accent(
          `  merged line by line with your changes: ${printable(shortPath(path, session.workspace))}`,
        ),
      );
    }
    for (const path of conflicts)
      print(style.bad(`  changed on both sides: ${printable(shortPath(path, session.workspace))}`));
    if (changes.length === 0) print(style.faint('Nothing to apply.'));
  }
}

async function undo(cli: Cli, reference: string, undoId: string): Promise<void> {
  const client = await cli.connect();
  const session = await sessionOf(client, reference);
  const { restored } = await client.request('apply/undo', { sessionId: session.id, undoId });
  cli.result({ sessionId: session.id, restored }, () =>
    cli.print(`${cli.style.good('✓')} ${plural(restored.length, 'path')} back as before`),
  );
}
