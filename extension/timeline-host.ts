/**
 * Drives one webview that holds the timeline, wherever it stands: pushes state in, carries intents out. The view and
 * the panel are both this.
 */

import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import { intentSchema, type HostMessage, type Intent } from '../webview/messages.ts';
import type { HelperConnection } from './connection.ts';
import type { Selection } from './selection.ts';

export interface TimelineContext {
  readonly extensionUri: vscode.Uri;
  readonly connection: HelperConnection;
  readonly selection: Selection;
  readonly log: vscode.LogOutputChannel;
  /** Does what a person asked for, where the host itself does not. */
  carryOut(intent: Intent): void;
}

/** Long enough to swallow a burst of changes, short enough not to be felt. */
const refreshPauseMs = 150;

export class TimelineHost implements vscode.Disposable {
  readonly #webview: vscode.Webview;
  readonly #context: TimelineContext;
  readonly #disposables: vscode.Disposable[] = [];
  #ready = false;
  #early: HostMessage[] = [];
  #shown: { sessionId: string; turn: number } | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;

  constructor(webview: vscode.Webview, context: TimelineContext, place: 'side-bar' | 'editor') {
    this.#webview = webview;
    this.#context = context;
    const { connection } = context;
    webview.options = {
      enableScripts: true,
      localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webview')],
    };
    this.#disposables.push(
      webview.onDidReceiveMessage((message: unknown) => this.#receive(message)),
      connection.onDidChangeView((view) => this.#post({ type: 'connection', connection: view })),
      connection.onDidChangeState(({ action }) => {
        if (!action) return this.#pushSnapshot();
        this.#post({ type: 'action', action });
        if (action.type === 'head/moved' || action.type === 'session/changed' || action.type === 'turn/set')
          this.#forecastSoon();
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.#pushSnapshot()),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.#pushSnapshot()),
    );
    webview.html = pageOf(webview, context.extensionUri, place);
  }

  /** Shows a session, previewing a turn (null: now). */
  show(sessionId: string, turn: number | null): void {
    this.#post({ type: 'show', sessionId, turn });
  }

  /** Brings a request into view, with the focus on Deny. */
  showApproval(approvalId: string): void {
    this.#post({ type: 'show-approval', approvalId });
  }

  dispose(): void {
    clearTimeout(this.#refresh);
    for (const each of this.#disposables) each.dispose();
  }

  #receive(message: unknown): void {
    const parsed = intentSchema.safeParse(message);
    if (!parsed.success) {
      this.#context.log.warn(`the timeline sent something that is not an intent: ${parsed.error.message}`);
      return;
    }
    const intent = parsed.data;
    switch (intent.type) {
      case 'ready':
        this.#ready = true;
        this.#pushSnapshot();
        for (const early of this.#early.splice(0)) void this.#webview.postMessage(early);
        break;
      case 'selected':
        this.#context.selection.set(intent.sessionId, intent.turn);
        this.#shown =
          intent.sessionId === null || intent.turn === null
            ? undefined
            : { sessionId: intent.sessionId, turn: intent.turn };
        if (this.#shown) this.#forecastSoon();
        break;
      case 'all-changes':
        void this.#pushChanges(intent.sessionId, intent.turn);
        break;
      default:
        this.#context.carryOut(intent);
    }
  }

  #pushSnapshot(): void {
    const { connection } = this.#context;
    this.#post({
      type: 'snapshot',
      connection: connection.view,
      state: connection.state ?? null,
      strings: translations(),
      canStart:
        vscode.workspace.isTrusted &&
        (vscode.workspace.workspaceFolders ?? []).some((each) => each.uri.scheme === 'file'),
    });
    if (this.#shown) this.#forecastSoon();
  }

  /** Asks what a rewind to the previewed turn would do; again whenever the session has moved on. */
  #forecastSoon(): void {
    clearTimeout(this.#refresh);
    this.#refresh = setTimeout(() => {
      if (this.#shown) void this.#forecast(this.#shown);
    }, refreshPauseMs);
  }

  async #forecast(target: { sessionId: string; turn: number }): Promise<void> {
    try {
      const preview = await this.#context.connection.request('rewind/preview', target);
      this.#post({ type: 'forecast', ...target, preview });
    } catch (error) {
      this.#post({ type: 'forecast', ...target, error: messageOf(error) });
    }
  }

  async #pushChanges(sessionId: string, turn: number): Promise<void> {
    try {
      const { changes, truncated } = await this.#context.connection.request('turn/changes', {
        sessionId,
        turn,
      });
      this.#post({ type: 'changes', sessionId, turn, changes, truncated });
    } catch (error) {
      this.#post({
        type: 'changes',
        sessionId,
        turn,
        changes: [],
        truncated: false,
        error: messageOf(error),
      });
    }
  }

  #post(message: HostMessage): void {
    if (this.#ready) void this.#webview.postMessage(message);
    // A snapshot follows `ready`: of what came before it only the wishes count.
    else if (message.type === 'show' || message.type === 'show-approval') this.#early.push(message);
  }
}

function messageOf(error: unknown): string {
  return error instanceof TurntableError || error instanceof Error ? error.message : String(error);
}

function translations(): Record<string, string> {
  const bundle: unknown = vscode.l10n.bundle;
  if (typeof bundle !== 'object' || bundle === null) return {};
  return Object.fromEntries(
    Object.entries(bundle).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** The page: one script, one style sheet, nothing from anywhere else. */
function pageOf(webview: vscode.Webview, extensionUri: vscode.Uri, place: string): string {
  const nonce = randomBytes(16).toString('base64url');
  const from = (name: string): string =>
    webview.asWebviewUri(vscode.Uri.joinPath(extensionUri, 'dist', 'webview', name)).toString();
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${webview.cspSource}; font-src ${webview.cspSource}`;
  return `<!DOCTYPE html>
<html lang="${vscode.env.language}">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${policy}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="${from('timeline-page.css')}">
  <title>Turntable</title>
</head>
<body>
  <turntable-app data-place="${place}"></turntable-app>
  <script type="module" nonce="${nonce}" src="${from('timeline.js')}"></script>
</body>
</html>`;
}
