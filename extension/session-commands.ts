/** What is done with a session as a whole: its folder, a new message, stop, resume, remove. */

import * as vscode from 'vscode';
import type { SessionState } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';

/** Opens the session's own copy of the folder: in this window as another root, or in a new one. */
export async function openSessionFolder(session: SessionState): Promise<void> {
  const { t } = vscode.l10n;
  const beside = t('Add to this window');
  const window = t('Open in a new window');
  const picked = await vscode.window.showQuickPick([beside, window], {
    title: t("The session's copy of {0}", session.workspace),
  });
  const uri = vscode.Uri.file(session.mount);
  if (picked === window)
    await vscode.commands.executeCommand('vscode.openFolder', uri, { forceNewWindow: true });
  if (picked === beside) {
    const count = vscode.workspace.workspaceFolders?.length ?? 0;
    vscode.workspace.updateWorkspaceFolders(count, 0, { uri, name: t('{0} (session)', session.title) });
  }
}

/** A new message for the agent. */
export async function promptAgent(connection: HelperConnection, session: SessionState): Promise<void> {
  const prompt = await vscode.window.showInputBox({
    title: vscode.l10n.t('Tell {0}', session.agent.name),
    prompt: vscode.l10n.t('It goes on from where it is.'),
  });
  if (prompt?.trim())
    await connection.request('session/prompt', { sessionId: session.id, prompt: prompt.trim() });
}

/** Stops the sandbox; its turns stay. */
export async function stopSession(connection: HelperConnection, session: SessionState): Promise<void> {
  const { t } = vscode.l10n;
  const stop = t('Stop');
  const picked = await vscode.window.showWarningMessage(
    t('Stop "{0}"?', session.title),
    { modal: true, detail: t('Its agent and processes end. Its turns stay, and it can be resumed.') },
    stop,
  );
  if (picked === stop)
    await withNotice(t('Stopping…'), (token) =>
      connection.request('session/stop', { sessionId: session.id }, token),
    );
}

/** Starts the sandbox of a stopped session again. */
export async function resumeSession(connection: HelperConnection, session: SessionState): Promise<void> {
  await withNotice(vscode.l10n.t('Resuming "{0}"…', session.title), (token) =>
    connection.request('session/resume', { sessionId: session.id }, token),
  );
}

/** Removes a session with everything it kept. */
export async function removeSession(connection: HelperConnection, session: SessionState): Promise<void> {
  const { t } = vscode.l10n;
  const remove = t('Remove');
  const picked = await vscode.window.showWarningMessage(
    t('Remove "{0}" for good?', session.title),
    {
      modal: true,
      detail: t(
        'Its turns and all that was kept of them are deleted. What you have applied stays in your folder.',
      ),
    },
    remove,
  );
  if (picked === remove) await connection.request('session/remove', { sessionId: session.id });
}
