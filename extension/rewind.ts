/**
 * Rewind: shows what would go back, disappear or stop, what the person changed themselves and what left the machine,
 * asks once, does it, and offers the way back (the safety turn that the helper took first).
 */

import * as vscode from 'vscode';
import { z } from 'zod';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../host-helper/protocol/methods.ts';
import type { SessionState, Survivor, Turn } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';

type Preview = ResultOf<'rewind/preview'>;
type ConflictChoice = NonNullable<ParamsOf<'rewind'>['conflicts']>;
const conflictDataSchema = z.object({ paths: z.array(z.string()) }).catch({ paths: [] });

/** Previews, asks and rewinds. Resolves to true when the session was rewound. */
export async function rewindTo(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
): Promise<boolean> {
  const target = { sessionId: session.id, turn: turn.id };
  const preview = await connection.request('rewind/preview', target);
  if (!preview.restorable) {
    void vscode.window.showWarningMessage(
      vscode.l10n.t('Turn {0} cannot be restored: {1}', turn.id, preview.reason),
    );
    return false;
  }
  if (!(await confirmed(session, turn, preview))) return false;
  const result = await request(connection, target, vscode.l10n.t('Rewinding to turn {0}…', turn.id));
  if (!result) return false;
  offerUndo(connection, session, turn, result);
  return true;
}

/**
 * The rewind itself. The helper refuses it, before anything has happened, where the person changed what it would change
 * too: then they are asked. Undefined when they backed out.
 */
async function request(
  connection: HelperConnection,
  target: { sessionId: string; turn: number },
  title: string,
): Promise<ResultOf<'rewind'> | undefined> {
  const attempt = (conflicts?: ConflictChoice): Thenable<ResultOf<'rewind'>> =>
    withNotice(title, (token) =>
      connection.request('rewind', { ...target, ...(conflicts ? { conflicts } : {}) }, token),
    );
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof TurntableError) || error.code !== 'conflict') throw error;
    const choice = await settleConflicts(error);
    return choice && (await attempt(choice));
  }
}

async function settleConflicts(error: TurntableError): Promise<ConflictChoice | undefined> {
  const { t } = vscode.l10n;
  const options: (vscode.QuickPickItem & { choice: ConflictChoice })[] = [
    { label: t('Keep mine'), detail: t('Those files stay as you left them.'), choice: 'keep-mine' },
    {
      label: t('Merge'),
      detail: t(
        'Your changes in the restored files, with conflict markers where both changed the same lines.',
      ),
      choice: 'merge',
    },
    {
      label: t('Keep both'),
      detail: t('The restored files, and yours beside them with .mine behind their names.'),
      choice: 'keep-both',
    },
    {
      label: t('Overwrite mine'),
      detail: t('The restored files. Yours stay in the turn that is kept first.'),
      choice: 'take-theirs',
    },
  ];
  const { paths } = conflictDataSchema.parse(error.data);
  const picked = await vscode.window.showQuickPick(options, {
    title: t('You changed what the rewind would change too. What becomes of it?'),
    placeHolder: listed(paths, false),
    ignoreFocusOut: true,
  });
  return picked?.choice;
}

async function confirmed(session: SessionState, turn: Turn, preview: Preview): Promise<boolean> {
  const { t } = vscode.l10n;
  const rewind = t('Rewind');
  const picked = await vscode.window.showWarningMessage(
    t('Rewind "{0}" to turn {1}?', session.title, turn.id),
    { modal: true, detail: describe(preview, session.workspace) },
    rewind,
  );
  return picked === rewind;
}

/** What a rewind would do, line by line, for the dialogue. */
export function describe(preview: Preview, workspace: string): string {
  const { t } = vscode.l10n;
  const lines: string[] = [];
  const all = preview.changes.filter((each) => each.agentState !== true);
  // What git keeps for itself is one fact, however many files it is.
  const files = all.filter((each) => !/\/\.git(\/|$)/.test(each.path));
  const short = (path: string): string =>
    path.startsWith(`${workspace}/`) ? path.slice(workspace.length + 1) : path;
  const named = (changes: typeof files): string[] =>
    changes
      .map((each) => short(each.path))
      // The person's own folder first.
      .toSorted((a, b) => Number(a.startsWith('/')) - Number(b.startsWith('/')));
  const back = named(files.filter((each) => each.change !== 'removed'));
  const gone = named(files.filter((each) => each.change === 'removed'));
  if (back.length > 0) lines.push(t('Go back: {0}', listed(back, preview.truncated)));
  if (gone.length > 0) lines.push(t('Disappear: {0}', listed(gone, preview.truncated)));
  if (files.length < all.length)
    lines.push(t("Go back too: git's own records, commits and refs ({0} files)", all.length - files.length));
  if (all.length === 0) lines.push(t('No file changes.'));
  if (preview.processesBack.length > 0)
    lines.push(t('Come back as they were: {0}', preview.processesBack.map(nameOf).join(', ')));
  if (preview.processesLost.length > 0)
    lines.push(t('Stop: {0}', preview.processesLost.map(nameOf).join(', ')));
  if (preview.outsideChanges.length > 0)
    lines.push(
      t(
        'You changed yourself: {0}. That stays; you are asked where the rewind would change the same.',
        listed(preview.outsideChanges.map(short), false),
      ),
    );
  const left = new Map<string, number>();
  for (const { method, host, port, count, allowed } of preview.leftTheMachine) {
    const what = `${method ? `${method} ` : ''}${host}:${port}`;
    if (allowed) left.set(what, (left.get(what) ?? 0) + count);
  }
  if (left.size > 0) {
    const words = [...left].map(([what, count]) => (count > 1 ? `${what} (${count}×)` : what));
    lines.push(t('Left the machine and stays done: {0}', words.join(', ')));
  }
  lines.push('', t('What is there now is kept first, so this can be undone.'));
  return lines.join('\n');
}

function offerUndo(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
  result: ResultOf<'rewind'>,
): void {
  const { t } = vscode.l10n;
  const undo = t('Undo');
  const notes = result.notes.length > 0 ? ` ${result.notes.join(' ')}` : '';
  void vscode.window
    .showInformationMessage(
      t('Rewound to turn {0} in {1} s.', turn.id, (result.tookMs / 1000).toFixed(1)) + notes,
      undo,
    )
    .then(async (picked) => {
      if (picked !== undo) return;
      await request(
        connection,
        { sessionId: session.id, turn: result.safetyTurn },
        t('Going back to where you were…'),
      );
    })
    .then(undefined, (error: unknown) => {
      void vscode.window.showErrorMessage(
        t('The rewind could not be undone: {0}', error instanceof Error ? error.message : String(error)),
      );
    });
}

function nameOf(survivor: Survivor): string {
  const program = survivor.command.split(' ', 1)[0] ?? survivor.command;
  const name = program.slice(program.lastIndexOf('/') + 1);
  return survivor.ports.length > 0 ? `${name} ${survivor.ports.map((port) => `:${port}`).join(' ')}` : name;
}

function listed(paths: string[], truncated: boolean): string {
  const shown = paths.slice(0, 8).join(', ');
  const more = paths.length - 8;
  return more > 0 || truncated
    ? vscode.l10n.t('{0} and {1} more', shown, `${Math.max(0, more)}${truncated ? '+' : ''}`)
    : shown;
}
