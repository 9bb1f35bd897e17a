/** Branch: a second session beside the first from any restorable turn, with a new instruction if the person has one. */

import * as vscode from 'vscode';
import type { SessionState, Turn } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';

/** Asks for an instruction and branches. Resolves to the new session's id, or undefined when the person backed out. */
export async function branchFrom(
  connection: HelperConnection,
  session: SessionState,
  turn: Turn,
): Promise<string | undefined> {
  const { t } = vscode.l10n;
  const hasAgent = session.agent.name !== 'none';
  const prompt = await vscode.window.showInputBox({
    title: t('Branch from turn {0} of "{1}"', turn.id, session.title),
    prompt: hasAgent
      ? t(
          'What should the agent do instead? Leave it empty to go on as it was. The first session is not disturbed.',
        )
      : t('A name for the branch. The first session is not disturbed.'),
    placeHolder: hasAgent ? t('for example: use a fake clock instead of shorter time-outs') : session.title,
  });
  if (prompt === undefined) return undefined;
  const text = prompt.trim();
  const result = await withNotice(t('Branching from turn {0}…', turn.id), (token) =>
    connection.request(
      'branch',
      {
        sessionId: session.id,
        turn: turn.id,
        ...(text === '' ? {} : { title: titleFrom(text) }),
        ...(text !== '' && hasAgent ? { prompt: text } : {}),
      },
      token,
    ),
  );
  if (result.notes.length > 0) void vscode.window.showInformationMessage(result.notes.join(' '));
  return result.sessionId;
}

/** A title from an instruction: its first line, shortened at a word. */
export function titleFrom(prompt: string): string {
  const line = prompt.split('\n', 1)[0] ?? '';
  if (line.length <= 60) return line;
  const cut = line.slice(0, 60);
  return `${cut.slice(0, Math.max(20, cut.lastIndexOf(' ')))}…`;
}
