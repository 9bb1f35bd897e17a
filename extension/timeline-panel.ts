/** The same timeline wide, in an editor tab, with the turn's details beside it. It survives a reload of the window. */

import * as vscode from 'vscode';
import { TimelineHost, type TimelineContext } from './timeline-host.ts';

export const timelinePanelType = 'turntable.timelinePanel';

export class TimelinePanel implements vscode.WebviewPanelSerializer, vscode.Disposable {
  readonly #context: TimelineContext;
  #panel: vscode.WebviewPanel | undefined;
  #host: TimelineHost | undefined;

  constructor(context: TimelineContext) {
    this.#context = context;
  }

  /** Opens the panel, or brings it to the front, at what the person looks at. */
  open(): void {
    const { sessionId, turn } = this.#context.selection;
    if (this.#panel) {
      this.#panel.reveal();
    } else {
      this.#adopt(
        vscode.window.createWebviewPanel(
          timelinePanelType,
          vscode.l10n.t('Turntable'),
          vscode.ViewColumn.Active,
          {
            retainContextWhenHidden: false,
          },
        ),
      );
    }
    if (sessionId !== null) this.#host?.show(sessionId, turn);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel): Promise<void> {
    this.#adopt(panel);
  }

  dispose(): void {
    this.#panel?.dispose();
  }

  #adopt(panel: vscode.WebviewPanel): void {
    panel.iconPath = vscode.Uri.joinPath(this.#context.extensionUri, 'media', 'turntable-tab.svg');
    const host = new TimelineHost(panel.webview, this.#context, 'editor');
    this.#panel = panel;
    this.#host = host;
    panel.onDidDispose(() => {
      host.dispose();
      if (this.#panel === panel) this.#panel = this.#host = undefined;
    });
  }
}
