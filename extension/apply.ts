/**
 * Apply: carries a session's changes into the person's own folder. Shows them, lets the person choose, asks about
 * conflicts, and offers the way back.
 */

import * as vscode from 'vscode';
import type { ParamsOf, ResultOf } from '../host-helper/protocol/methods.ts';
import type { SessionState } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';
import { turnUri } from './turn-documents.ts';

type Preview = ResultOf<'apply/preview'>;
type ConflictChoice = NonNullable<ParamsOf<'apply'>['conflicts']>;

/** Reviews and applies. Resolves when done, or when the person backed out. */
export async function applySession(connection: HelperConnection, session: SessionState): Promise<void> {
  const { t } = vscode.l10n;
  const preview = await connection.request('apply/preview', { sessionId: session.id });
  if (preview.changes.length === 0) {
    void vscode.window.showInformationMessage(
      t('"{0}" has changed nothing in your folder: there is nothing to apply.', session.title),
    );
    return;
  }
  await showChanges(session, preview);
  const paths = await choosePaths(session, preview);
  if (!paths || paths.length === 0) return;
  const conflicts = await settleConflicts(preview, paths);
  if (conflicts === 'back-out') return;
  const result = await withNotice(t('Applying {0} files…', paths.length), (token) =>
    connection.request('apply', { sessionId: session.id, paths, ...(conflicts ? { conflicts } : {}) }, token),
  );
  offerUndo(connection, session, result);
}

async function showChanges(session: SessionState, preview: Preview): Promise<void> {
  await vscode.commands.executeCommand(
    'vscode.changes',
    vscode.l10n.t('Apply "{0}"', session.title),
    preview.changes
      .filter((each) => each.kind === 'file')
      .map((each) => [
        vscode.Uri.file(each.path),
        each.change === 'added' && !preview.conflicts.includes(each.path)
          ? undefined
          : vscode.Uri.file(each.path),
        each.change === 'removed' ? undefined : turnUri(session.id, session.head, each.path),
      ]),
  );
}

/** Everything is chosen to begin with, but what cannot be merged. */
async function choosePaths(session: SessionState, preview: Preview): Promise<string[] | undefined> {
  const { t } = vscode.l10n;
  const conflicting = new Set(preview.conflicts);
  const merged = new Set(preview.merged);
  const picked = await vscode.window.showQuickPick(
    preview.changes.map((each) => ({
      label: short(each.path, session.workspace),
      description: conflicting.has(each.path)
        ? t('$(warning) you changed it too')
        : merged.has(each.path)
          ? t('$(git-merge) merged with your change')
          : each.change === 'added'
            ? t('new')
            : each.change === 'removed'
              ? t('removed')
              : '',
      picked: !conflicting.has(each.path),
      path: each.path,
    })),
    {
      canPickMany: true,
      ignoreFocusOut: true,
      title: t('Apply which files to {0}?', session.workspace),
      placeHolder: t('The editor behind this shows what would change'),
    },
  );
  return picked?.map((each) => each.path);
}

async function settleConflicts(
  preview: Preview,
  paths: string[],
): Promise<ConflictChoice | undefined | 'back-out'> {
  const { t } = vscode.l10n;
  const conflicting = preview.conflicts.filter((each) => paths.includes(each));
  if (conflicting.length === 0) return undefined;
  const both = t('Keep both');
  const mine = t('Keep mine');
  const theirs = t("Take the session's");
  const picked = await vscode.window.showWarningMessage(
    t('You and the session changed the same lines'),
    {
      modal: true,
      detail: `${conflicting.join('\n')}\n\n${t('"Keep both" leaves yours and puts the other beside it.')}`,
    },
    both,
    mine,
    theirs,
  );
  if (picked === both) return 'keep-both';
  if (picked === mine) return 'keep-mine';
  return picked === theirs ? 'take-theirs' : 'back-out';
}

function offerUndo(connection: HelperConnection, session: SessionState, result: ResultOf<'apply'>): void {
  const { t } = vscode.l10n;
  const undo = t('Undo');
  const skipped = result.skipped.length > 0 ? ` ${t('{0} left as they were.', result.skipped.length)}` : '';
  void vscode.window
    .showInformationMessage(
      t('Applied {0} files to {1}.', result.applied.length, session.workspace) + skipped,
      undo,
    )
    .then(async (picked) => {
      if (picked !== undo) return;
      const { restored } = await connection.request('apply/undo', {
        sessionId: session.id,
        undoId: result.undoId,
      });
      void vscode.window.showInformationMessage(t('Put {0} files back.', restored.length));
    })
    .then(undefined, (error: unknown) => {
      void vscode.window.showErrorMessage(
        t('Could not be undone: {0}', error instanceof Error ? error.message : String(error)),
      );
    });
}

function short(path: string, workspace: string): string {
  return path.startsWith(`${workspace}/`) ? path.slice(workspace.length + 1) : path;
}
