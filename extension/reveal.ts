/**
 * Brings the timeline to the front the first time a session works in this window's folder, when the setting wants it:
 * whoever opens a prepared folder sees at once what goes on in it. Once a folder, so that it never fights the person.
 */

import * as vscode from 'vscode';
import type { HelperConnection } from './connection.ts';

const revealedKey = 'turntable.revealed';

/** Watches until it has revealed the view, or until disposed. */
export function revealOnce(connection: HelperConnection, memory: vscode.Memento): vscode.Disposable {
  if (memory.get(revealedKey) === true) return new vscode.Disposable(() => {});
  const listener = connection.onDidChangeState(({ state }) => {
    if (!vscode.workspace.getConfiguration('turntable').get<boolean>('revealTimeline', false)) return;
    const folders = new Set((vscode.workspace.workspaceFolders ?? []).map((each) => each.uri.fsPath));
    if (!Object.values(state.sessions).some((session) => folders.has(session.workspace))) return;
    listener.dispose();
    void memory.update(revealedKey, true);
    void vscode.commands.executeCommand('workbench.view.extension.turntable');
  });
  return listener;
}
