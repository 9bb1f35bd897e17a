/** Starts a session: which folder, which agent, what to do; and offers the session's own folder to look into. */

import { homedir } from 'node:os';
import * as vscode from 'vscode';
import type { Feature } from '../host-helper/protocol/state.ts';
import { titleFrom } from './branch.ts';
import type { HelperConnection } from './connection.ts';
import { withNotice } from './report.ts';

/** Asks what is needed and starts. Resolves to the session's id, or undefined when the person backed out. */
export async function startSession(connection: HelperConnection): Promise<string | undefined> {
  const { t } = vscode.l10n;
  if (!vscode.workspace.isTrusted) {
    void vscode.window.showWarningMessage(t('Trust this folder first: an agent would run what is in it.'));
    return undefined;
  }
  const workspace = await pickFolder();
  if (!workspace) return undefined;
  const agent = await pickAgent(connection.state?.helper.features ?? []);
  if (agent === undefined) return undefined;
  const prompt =
    agent === 'none'
      ? ''
      : await vscode.window.showInputBox({
          title: t('What should {0} do in {1}?', agent, tildePath(workspace)),
          prompt: t(
            'It works on its own copy: your folder changes only when you apply. Leave it empty to talk to it in its terminal.',
          ),
          placeHolder: t('for example: fix the flaky login test'),
        });
  if (prompt === undefined) return undefined;
  const text = prompt.trim();
  const { sessionId } = await withNotice(t('Starting a session…'), (token) =>
    connection.request(
      'session/start',
      { workspace, agent, ...(text === '' ? {} : { prompt: text, title: titleFrom(text) }) },
      token,
    ),
  );
  return sessionId;
}

async function pickFolder(): Promise<string | undefined> {
  const { t } = vscode.l10n;
  const folders = (vscode.workspace.workspaceFolders ?? []).filter((each) => each.uri.scheme === 'file');
  if (folders.length === 0) {
    const open = t('Open a folder');
    const picked = await vscode.window.showInformationMessage(
      t('A session works on a folder of this machine. Open one first.'),
      open,
    );
    if (picked === open) await vscode.commands.executeCommand('workbench.action.files.openFolder');
    return undefined;
  }
  if (folders.length === 1) return folders[0]?.uri.fsPath;
  const picked = await vscode.window.showQuickPick(
    folders.map((each) => ({
      label: each.name,
      description: tildePath(each.uri.fsPath),
      path: each.uri.fsPath,
    })),
    { title: t('Which folder?') },
  );
  return picked?.path;
}

/** The helper tells its agents as features named `agent NAME`. */
async function pickAgent(features: Feature[]): Promise<string | undefined> {
  const { t } = vscode.l10n;
  const agents = features.flatMap((feature) => {
    const name = /^agent (.+)$/.exec(feature.name)?.[1];
    return name === undefined ? [] : [{ name, feature }];
  });
  const picked = await vscode.window.showQuickPick(
    [
      ...agents.map(({ name, feature }) => ({
        label: `${feature.status === 'missing' ? '$(circle-slash)' : '$(hubot)'} ${name}`,
        description: feature.status === 'missing' ? t('not installed') : '',
        detail: feature.status === 'missing' ? (feature.next ?? feature.detail) : feature.detail,
        agent: name,
        missing: feature.status === 'missing',
      })),
      {
        label: `$(terminal) ${t('No agent')}`,
        description: '',
        detail: t('A sandbox for commands: each `turntable exec` is a turn.'),
        agent: 'none',
        missing: false,
      },
    ].toSorted((a, b) => Number(a.missing) - Number(b.missing)),
    { title: t('Which agent?') },
  );
  if (picked?.missing) {
    void vscode.window.showWarningMessage(t('{0} is not installed: {1}', picked.agent, picked.detail));
    return undefined;
  }
  return picked?.agent;
}

function tildePath(path: string): string {
  const home = homedir();
  return path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}
