/** The timeline in the side bar, with the badge that counts what waits for the person. */

import * as vscode from 'vscode';
import { TimelineHost, type TimelineContext } from './timeline-host.ts';
import { pendingOf } from './approvals.ts';

export const timelineViewId = 'turntable.timeline';

export class TimelineView implements vscode.WebviewViewProvider, vscode.Disposable {
  readonly #context: TimelineContext;
  readonly #listener: vscode.Disposable;
  #view: vscode.WebviewView | undefined;
  #host: TimelineHost | undefined;
  #waiting: (() => void) | undefined;

  constructor(context: TimelineContext) {
    this.#context = context;
    this.#listener = context.connection.onDidChangeState(() => this.#setBadge());
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.#view = view;
    const host = new TimelineHost(view.webview, this.#context, 'side-bar');
    this.#host = host;
    view.onDidDispose(() => {
      host.dispose();
      if (this.#view === view) this.#view = this.#host = undefined;
    });
    this.#setBadge();
    this.#waiting?.();
    this.#waiting = undefined;
  }

  /** Opens the view and shows a session in it, previewing a turn (null: now). */
  async show(sessionId: string, turn: number | null): Promise<void> {
    await this.#reveal((host) => host.show(sessionId, turn));
  }

  /** Opens the view at a request. */
  async showApproval(approvalId: string): Promise<void> {
    await this.#reveal((host) => host.showApproval(approvalId));
  }

  dispose(): void {
    this.#listener.dispose();
    this.#host?.dispose();
  }

  async #reveal(then: (host: TimelineHost) => void): Promise<void> {
    if (!this.#host) this.#waiting = () => this.#host && then(this.#host);
    else then(this.#host);
    await vscode.commands.executeCommand(`${timelineViewId}.focus`);
  }

  #setBadge(): void {
    if (!this.#view) return;
    const count = pendingOf(this.#context.connection.state).length;
    this.#view.badge =
      count === 0
        ? undefined
        : {
            value: count,
            tooltip:
              count === 1
                ? vscode.l10n.t('1 request waits for you')
                : vscode.l10n.t('{0} requests wait for you', count),
          };
  }
}
