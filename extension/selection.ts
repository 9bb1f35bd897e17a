/**
 * Which session the person looks at and which turn they preview, shared by all views and commands; keeps the context
 * keys of `when` clauses. Knows no view.
 */

import * as vscode from 'vscode';
import type { SessionState, Turn } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';

export class Selection implements vscode.Disposable {
  readonly #connection: HelperConnection;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #disposables: { dispose(): unknown }[] = [this.#changed];
  #sessionId: string | null = null;
  #turn: number | null = null;
  readonly #keys = new Map<string, unknown>();

  readonly onDidChange = this.#changed.event;

  constructor(connection: HelperConnection) {
    this.#connection = connection;
    this.#disposables.push(
      connection.onDidChangeState(() => this.#setKeys()),
      connection.onDidChangeView(() => this.#setKeys()),
    );
    this.#setKeys();
  }

  get sessionId(): string | null {
    return this.#sessionId;
  }

  /** The previewed turn; null is now. */
  get turn(): number | null {
    return this.#turn;
  }

  /** Remembers where the person is. */
  set(sessionId: string | null, turn: number | null): void {
    if (sessionId === this.#sessionId && turn === this.#turn) return;
    this.#sessionId = sessionId;
    this.#turn = turn;
    this.#setKeys();
    this.#changed.fire();
  }

  /** The session a command is about: the named one, the one in view, the only one, or the one the person picks. */
  async session(named?: string): Promise<SessionState | undefined> {
    const sessions = this.#connection.state?.sessions ?? {};
    const known = named ?? this.#sessionId;
    if (known !== null && known !== undefined && sessions[known]) return sessions[known];
    const all = Object.values(sessions).toSorted((a, b) => b.createdAt - a.createdAt);
    if (all.length === 0) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t('There is no session yet. Start one with "Turntable: Start a Session".'),
      );
      return undefined;
    }
    if (all.length === 1) return all[0];
    const picked = await vscode.window.showQuickPick(
      all.map((session) => ({
        label: session.title,
        description: session.agent.name,
        detail: session.workspace,
        session,
      })),
      { title: vscode.l10n.t('Which session?') },
    );
    return picked?.session;
  }

  /** The session and turn a command is about; asks for what is missing. Only restorable turns when `restorable`. */
  async turnOf(
    target: TurnTarget | undefined,
    restorable: boolean,
  ): Promise<{ session: SessionState; turn: Turn } | undefined> {
    const session = await this.session(target?.sessionId);
    if (!session) return undefined;
    const wanted = target?.turn ?? (session.id === this.#sessionId ? this.#turn : null);
    const known = session.turns.find((turn) => turn.id === wanted);
    if (known) return { session, turn: known };
    const turns = session.turns
      .filter((turn) => turn.state === 'closed' && (!restorable || turn.checkpoint?.restorable !== false))
      .toReversed();
    const picked = await vscode.window.showQuickPick(
      turns.map((turn) => ({
        label: `${turn.id}  ${turn.label}`,
        ...(turn.id === session.head ? { description: vscode.l10n.t('now') } : {}),
        turn,
      })),
      { title: vscode.l10n.t('Which turn of "{0}"?', session.title), matchOnDescription: true },
    );
    return picked && { session, turn: picked.turn };
  }

  dispose(): void {
    for (const each of this.#disposables) each.dispose();
  }

  #setKeys(): void {
    const state = this.#connection.state;
    const session = this.#sessionId === null ? undefined : state?.sessions[this.#sessionId];
    this.#setKey('turntable.connection', this.#connection.view.status);
    this.#setKey('turntable.connected', this.#connection.connected);
    this.#setKey('turntable.hasSession', Object.keys(state?.sessions ?? {}).length > 0);
    this.#setKey('turntable.previewing', this.#turn !== null);
    this.#setKey('turntable.sessionStatus', session?.status ?? '');
    this.#setKey(
      'turntable.waiting',
      Object.values(state?.approvals ?? {}).some((each) => each.state === 'pending'),
    );
  }

  #setKey(key: string, value: unknown): void {
    if (this.#keys.get(key) === value) return;
    this.#keys.set(key, value);
    void vscode.commands.executeCommand('setContext', key, value);
  }
}

/** What commands take as their argument, when it is not the selection they are about. */
export interface TurnTarget {
  sessionId: string;
  turn: number;
}
