/**
 * Rewind: shows what would go back, disappear or stop, what the person changed themselves and what left the machine,
 * asks once, does it, and offers the way back (the safety turn that the helper took first).
 */

import * as vscode from 'vscode';
import type { ParamsOf, ResultOf } from '../host-helper/protocol/methods.ts';
import type { SessionState, Survivor, Turn } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';

type Preview = ResultOf<'rewind/preview'>;
type ConflictChoice = NonNullable<ParamsOf<'rewind'>['conflicts']>;

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
  const choice = await confirm(session, turn, preview);
  if (!choice) return false;
  const result = await withNotice(vscode.l10n.t('Rewinding to turn {0}…', turn.id), (token) =>
    connection.request(
      'rewind',
      { ...target, ...(choice.conflicts ? { conflicts: choice.conflicts } : {}) },
      token,
    ),
  );
  offerUndo(connection, session, turn, result);
  return true;
}

async function confirm(
  session: SessionState,
  turn: Turn,
  preview: Preview,
): Promise<{ conflicts?: ConflictChoice } | undefined> {
  const { t } = vscode.l10n;
  const rewind = t('Rewind');
  const keepMine = t('Rewind, keep my changes');
  const takeTheirs = t('Rewind, overwrite my changes');
  const mine = preview.outsideChanges.length > 0;
  const picked = await vscode.window.showWarningMessage(
    t('Rewind "{0}" to turn {1}?', session.title, turn.id),
    { modal: true, detail: describe(preview, session.workspace) },
    ...(mine ? [keepMine, takeTheirs] : [rewind]),
  );
  if (picked === rewind) return {};
  if (picked === keepMine) return { conflicts: 'keep-mine' };
  if (picked === takeTheirs) return { conflicts: 'take-theirs' };
  return undefined;
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
    lines.push(t('You changed yourself: {0}', listed(preview.outsideChanges.map(short), false)));
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
      await withNotice(t('Going back to where you were…'), (token) =>
        connection.request('rewind', { sessionId: session.id, turn: result.safetyTurn }, token),
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
