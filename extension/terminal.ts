/** A terminal onto the agent of a session: what it shows, and keys to it. Closing it leaves the agent alone. */

import * as vscode from 'vscode';
import type { SessionState } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';

/** Opens (or brings to the front) the terminal of a session. */
export function openTerminal(connection: HelperConnection, session: SessionState): vscode.Terminal {
  const name = session.agent.name === 'none' ? session.title : `${session.agent.name}: ${session.title}`;
  const open = vscode.window.terminals.find(
    (each) => each.name === name && each.exitStatus === undefined && 'pty' in each.creationOptions,
  );
  const terminal =
    open ??
    vscode.window.createTerminal({
      name,
      pty: new AgentTerminal(connection, session.id),
      iconPath: new vscode.ThemeIcon('history'),
      isTransient: true,
    });
  terminal.show();
  return terminal;
}

class AgentTerminal implements vscode.Pseudoterminal {
  readonly #connection: HelperConnection;
  readonly #sessionId: string;
  readonly #write = new vscode.EventEmitter<string>();
  readonly #closed = new vscode.EventEmitter<number | void>();
  // Bytes of one character may come in two frames.
  #decoder = new TextDecoder();
  #size: vscode.TerminalDimensions = { columns: 80, rows: 24 };
  #attached: vscode.Disposable | undefined;
  readonly #listeners: vscode.Disposable[] = [];

  readonly onDidWrite = this.#write.event;
  readonly onDidClose = this.#closed.event;

  constructor(connection: HelperConnection, sessionId: string) {
    this.#connection = connection;
    this.#sessionId = sessionId;
  }

  open(dimensions: vscode.TerminalDimensions | undefined): void {
    if (dimensions) this.#size = dimensions;
    this.#listeners.push(
      this.#connection.onDidDrop(() => {
        this.#attached?.dispose();
        this.#attached = undefined;
        this.#note(vscode.l10n.t('The connection to the helper was lost; waiting for it to come back.'));
      }),
      this.#connection.onDidChangeView((view) => {
        if (view.status === 'connected' && !this.#attached) void this.#attach();
      }),
    );
    void this.#attach();
  }

  close(): void {
    for (const each of this.#listeners.splice(0)) each.dispose();
    this.#attached?.dispose();
    this.#attached = undefined;
    if (this.#connection.connected) {
      this.#connection.request('terminal/detach', { sessionId: this.#sessionId }).catch(() => {
        // A session that is gone has nothing to detach from.
      });
    }
  }

  handleInput(data: string): void {
    if (!this.#attached) return;
    this.#connection
      .request('terminal/input', {
        sessionId: this.#sessionId,
        data: Buffer.from(data, 'utf8').toString('base64'),
      })
      .catch((error: unknown) => this.#note(textOf(error)));
  }

  setDimensions(dimensions: vscode.TerminalDimensions): void {
    this.#size = dimensions;
    if (!this.#attached) return;
    this.#connection
      .request('terminal/resize', { sessionId: this.#sessionId, ...this.#dimensions() })
      .catch(() => {
        // The next attach tells the size again.
      });
  }

  async #attach(): Promise<void> {
    this.#decoder = new TextDecoder();
    // Listen first: output may come right behind the answer.
    const early: string[] = [];
    let ready = false;
    const listener = this.#connection.onNotification('terminal/data', ({ sessionId, data }) => {
      if (sessionId !== this.#sessionId) return;
      if (ready) this.#show(data);
      else early.push(data);
    });
    try {
      const { backlog } = await this.#connection.request('terminal/attach', {
        sessionId: this.#sessionId,
        ...this.#dimensions(),
      });
      this.#attached?.dispose();
      this.#attached = listener;
      this.#show(backlog);
      for (const data of early) this.#show(data);
      ready = true;
    } catch (error) {
      listener.dispose();
      this.#note(textOf(error));
    }
  }

  #dimensions(): { columns: number; rows: number } {
    return { columns: Math.max(1, this.#size.columns), rows: Math.max(1, this.#size.rows) };
  }

  #show(base64: string): void {
    this.#write.fire(this.#decoder.decode(Buffer.from(base64, 'base64'), { stream: true }));
  }

  #note(text: string): void {
    this.#write.fire(`\r\n\x1b[2m${text.replaceAll('\n', '\r\n')}\x1b[0m\r\n`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
