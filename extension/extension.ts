/** Entry point: makes the parts, wires them, registers the commands. Each feature lives in its own file. */

import * as vscode from 'vscode';
import { z } from 'zod';
import type { SessionState } from '../host-helper/protocol/state.ts';
import type { Intent } from '../webview/messages.ts';
import { applySession } from './apply.ts';
import { Approvals } from './approvals.ts';
import { branchFrom } from './branch.ts';
import { HelperConnection } from './connection.ts';
import { showFileChange, showTurnChanges } from './diff.ts';
import { runDoctor, startHelper, takeNextStep } from './helper-commands.ts';
import { Report } from './report.ts';
import { revealOnce } from './reveal.ts';
import { rewindTo } from './rewind.ts';
import { Selection, type TurnTarget } from './selection.ts';
import {
  openSessionFolder,
  promptAgent,
  removeSession,
  resumeSession,
  stopSession,
} from './session-commands.ts';
import { startSession } from './start-session.ts';
import { StatusBar } from './status-bar.ts';
import { openTerminal } from './terminal.ts';
import type { TimelineContext } from './timeline-host.ts';
import { TimelinePanel, timelinePanelType } from './timeline-panel.ts';
import { TimelineView, timelineViewId } from './timeline-view.ts';
import { TurnDocuments, turnScheme } from './turn-documents.ts';

const manifestSchema = z.object({ version: z.string() });
const targetSchema = z.object({ sessionId: z.string(), turn: z.number() });

/** Called by VS Code. */
export function activate(context: vscode.ExtensionContext): void {
  const { t } = vscode.l10n;
  const log = vscode.window.createOutputChannel('Turntable', { log: true });
  const { version } = manifestSchema.parse(context.extension.packageJSON);
  const connection = new HelperConnection(log, version);
  const selection = new Selection(connection);
  const report = new Report(log);
  const views: TimelineContext = { extensionUri: context.extensionUri, connection, selection, log, carryOut };
  const view = new TimelineView(views);
  const panel = new TimelinePanel(views);
  const approvals = new Approvals(connection, report, (id) => void view.showApproval(id));

  const rewind = (target?: TurnTarget): Promise<void> =>
    report.attempt(t('Could not rewind'), async () => {
      const found = await selection.turnOf(target, true);
      if (found && (await rewindTo(connection, found.session, found.turn)))
        await view.show(found.session.id, null);
    });
  const branch = (target?: TurnTarget): Promise<void> =>
    report.attempt(t('Could not branch'), async () => {
      const found = await selection.turnOf(target, true);
      const sessionId = found && (await branchFrom(connection, found.session, found.turn));
      if (sessionId !== undefined) await view.show(sessionId, null);
    });
  const changes = (target?: TurnTarget, path?: string): Promise<void> =>
    report.attempt(t('Could not show the changes'), async () => {
      const found = await selection.turnOf(target, false);
      if (!found) return;
      if (path === undefined) await showTurnChanges(connection, found.session, found.turn);
      else await showFileChange(connection, found.session, found.turn, path);
    });
  const start = (): Promise<void> =>
    report.attempt(t('Could not start a session'), async () => {
      const sessionId = await startSession(connection);
      if (sessionId !== undefined) await view.show(sessionId, null);
    });
  const withSession = (
    named: string | undefined,
    what: string,
    work: (session: SessionState) => Promise<void>,
  ): Promise<void> =>
    report.attempt(what, async () => {
      const session = await selection.session(named);
      if (session) await work(session);
    });
  const sessionVerbs = {
    terminal: (id?: string) =>
      withSession(id, t('Could not open the terminal'), async (each) => void openTerminal(connection, each)),
    apply: (id?: string) => withSession(id, t('Could not apply'), (each) => applySession(connection, each)),
    'open-folder': (id?: string) =>
      withSession(id, t('Could not open the folder'), (each) => openSessionFolder(each)),
    stop: (id?: string) =>
      withSession(id, t('Could not stop the session'), (each) => stopSession(connection, each)),
    resume: (id?: string) =>
      withSession(id, t('Could not resume the session'), (each) => resumeSession(connection, each)),
    prompt: (id?: string) =>
      withSession(id, t('Could not reach the agent'), (each) => promptAgent(connection, each)),
    remove: (id?: string) =>
      withSession(id, t('Could not remove the session'), (each) => removeSession(connection, each)),
  };

  function carryOut(intent: Intent): void {
    switch (intent.type) {
      case 'rewind':
        return void rewind(intent);
      case 'branch':
        return void branch(intent);
      case 'diff':
        return void changes(intent, intent.path);
      case 'answer':
        return void report.attempt(t('The answer did not get through'), () =>
          approvals.answer(intent.approvalId, intent),
        );
      case 'session':
        return void sessionVerbs[intent.verb](intent.sessionId);
      case 'start-session':
        return void start();
      case 'open-wide':
        return panel.open();
      case 'connection-action':
        return void report.attempt(t('Could not do that'), () => takeNextStep(connection));
      case 'copy':
        return void vscode.env.clipboard.writeText(intent.text);
      case 'ready':
      case 'selected':
      case 'all-changes':
        return;
    }
  }

  const command = (name: string, run: (...args: unknown[]) => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(`turntable.${name}`, run);
  context.subscriptions.push(
    log,
    connection,
    selection,
    view,
    panel,
    approvals,
    new StatusBar(connection, selection),
    revealOnce(connection, context.workspaceState),
    vscode.window.registerWebviewViewProvider(timelineViewId, view, {
      webviewOptions: { retainContextWhenHidden: true },
    }),
    vscode.window.registerWebviewPanelSerializer(timelinePanelType, panel),
    vscode.workspace.registerFileSystemProvider(turnScheme, new TurnDocuments(connection), {
      isReadonly: true,
      isCaseSensitive: true,
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('turntable')) connection.connect();
    }),
    command('rewind', (target) => rewind(targetOf(target))),
    command('branch', (target) => branch(targetOf(target))),
    command('showChanges', (target) => changes(targetOf(target))),
    command('startSession', start),
    command('approvals', () => report.attempt(t('The answer did not get through'), () => approvals.pick())),
    command('openTimeline', () => panel.open()),
    command('openTerminal', (id) => sessionVerbs.terminal(sessionOf(id))),
    command('apply', (id) => sessionVerbs.apply(sessionOf(id))),
    command('openSessionFolder', (id) => sessionVerbs['open-folder'](sessionOf(id))),
    command('stopSession', (id) => sessionVerbs.stop(sessionOf(id))),
    command('resumeSession', (id) => sessionVerbs.resume(sessionOf(id))),
    command('prompt', (id) => sessionVerbs.prompt(sessionOf(id))),
    command('removeSession', (id) => sessionVerbs.remove(sessionOf(id))),
    command('backToNow', () =>
      selection.sessionId === null ? undefined : view.show(selection.sessionId, null),
    ),
    command('startHelper', () => startHelper(connection)),
    command('nextStep', () => takeNextStep(connection)),
    command('reconnect', () => connection.connect()),
    command('doctor', () => runDoctor()),
    command('showLog', () => log.show()),
  );
  connection.connect();
}

/** A command's argument from a key binding, a link or another extension. */
function targetOf(value: unknown): TurnTarget | undefined {
  const target = targetSchema.safeParse(value);
  return target.success ? target.data : undefined;
}

function sessionOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
