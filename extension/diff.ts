/** A turn's changes in VS Code's own diff editors: all of them in one multi-file editor, or one file alone. */

import * as vscode from 'vscode';
import type { ChangedPath, SessionState, Turn } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { absentUri, turnUri } from './turn-documents.ts';

/** More files than this at once help nobody and take long to open. */
const mostFiles = 150;

/** All changed files of a turn, against the turn it followed. */
export async function showTurnChanges(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
): Promise<void> {
  if (turn.parent === null) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('This is where the session began: there is nothing before it to compare with.'),
    );
    return;
  }
  const { changes } = await connection.request('turn/changes', { sessionId: session.id, turn: turn.id });
  const files = changes
    .filter((each) => each.kind === 'file' && each.agentState !== true)
    .toSorted(byNearness(session.workspace));
  if (files.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No file changed in turn {0}.', turn.id));
    return;
  }
  const from = turn.parent;
  await vscode.commands.executeCommand(
    'vscode.changes',
    vscode.l10n.t('Turn {0}: {1}', turn.id, turn.label),
    files
      .slice(0, mostFiles)
      .map((each) => [
        turnUri(session.id, turn.id, each.path),
        each.change === 'added' ? undefined : turnUri(session.id, from, each.path),
        each.change === 'removed' ? undefined : turnUri(session.id, turn.id, each.path),
      ]),
  );
  if (files.length > mostFiles) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('Showing the first {0} of {1} changed files.', mostFiles, files.length),
    );
  }
}

/** One file of a turn, against the turn it followed. */
export async function showFileChange(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
  path: string,
): Promise<void> {
  const listed = turn.effects?.files.entries.find((each) => each.path === path);
  const change = listed?.change ?? (await changeOf(connection, session, turn, path));
  const left =
    change === 'added' || turn.parent === null ? absentUri(path) : turnUri(session.id, turn.parent, path);
  const right = change === 'removed' ? absentUri(path) : turnUri(session.id, turn.id, path);
  const name = path.slice(path.lastIndexOf('/') + 1);
  await vscode.commands.executeCommand(
    'vscode.diff',
    left,
    right,
    vscode.l10n.t('{0} (turn {1})', name, turn.id),
    { preview: true },
  );
}

async function changeOf(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
  path: string,
): Promise<ChangedPath['change'] | undefined> {
  const { changes } = await connection.request('turn/changes', { sessionId: session.id, turn: turn.id });
  return changes.find((each) => each.path === path)?.change;
}

/** The person's own folder first, then by name. */
function byNearness(workspace: string): (a: ChangedPath, b: ChangedPath) => number {
  const rank = (each: ChangedPath): number => (each.path.startsWith(`${workspace}/`) ? 0 : 1);
  return (a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path);
}
