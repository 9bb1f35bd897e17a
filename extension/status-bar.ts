/** One item in the status bar: the connection, what is under way, what waits. Low-priority news belongs here. */

import * as vscode from 'vscode';
import { pendingOf } from './approvals.ts';
import type { HelperConnection } from './connection.ts';
import type { Selection } from './selection.ts';

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem('turntable.status', vscode.StatusBarAlignment.Left, 10);
  readonly #connection: HelperConnection;
  readonly #selection: Selection;
  readonly #disposables: { dispose(): unknown }[];

  constructor(connection: HelperConnection, selection: Selection) {
    this.#connection = connection;
    this.#selection = selection;
    this.#item.name = 'Turntable';
    this.#disposables = [
      this.#item,
      connection.onDidChangeView(() => this.#draw()),
      connection.onDidChangeState(() => this.#draw()),
      selection.onDidChange(() => this.#draw()),
    ];
    this.#draw();
    this.#item.show();
  }

  dispose(): void {
    for (const each of this.#disposables) each.dispose();
  }

  #draw(): void {
    const { t } = vscode.l10n;
    const { view, state, connected } = this.#connection;
    this.#item.backgroundColor = undefined;
    this.#item.command = 'turntable.timeline.focus';
    if (!connected) {
      const icon = view.status === 'connecting' ? '$(sync~spin)' : '$(debug-disconnect)';
      this.#set(`${icon} Turntable`, `${view.title}. ${view.message}`, view.title);
      return;
    }
    const waiting = pendingOf(state).length;
    if (waiting > 0) {
      this.#item.backgroundColor = new vscode.ThemeColor('statusBarItem.warningBackground');
      this.#item.command = 'turntable.approvals';
      const text = waiting === 1 ? t('1 waits for you') : t('{0} wait for you', waiting);
      this.#set(`$(bell-dot) ${text}`, t('An agent asks before it goes on. Select to answer.'), text);
      return;
    }
    const progress = Object.values(state?.progress ?? {})[0];
    if (progress) {
      const done = progress.fraction === undefined ? '' : ` ${Math.round(progress.fraction * 100)} %`;
      this.#set(`$(sync~spin) ${progress.label}${done}`, progress.label, progress.label);
      return;
    }
    const session =
      this.#selection.sessionId === null ? undefined : state?.sessions[this.#selection.sessionId];
    if (!session) {
      this.#set('$(history) Turntable', view.message, t('Turntable: no session in view'));
      return;
    }
    const previewed = this.#selection.turn;
    const where = previewed === null ? t('turn {0}', session.head) : t('previewing turn {0}', previewed);
    this.#set(
      `$(history) ${where}`,
      `${session.title} · ${session.agent.name} · ${session.status}`,
      t('Turntable: {0}, {1}', session.title, where),
    );
  }

  #set(text: string, tooltip: string, label: string): void {
    this.#item.text = text;
    this.#item.tooltip = tooltip;
    this.#item.accessibilityInformation = { label, role: 'button' };
  }
}
