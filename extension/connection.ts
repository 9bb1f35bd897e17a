/**
 * The connection to the helper: connects, connects again with growing pauses, mirrors the state, and says in words
 * where it stands and what the next step is. Knows no feature of the extension.
 */

import * as vscode from 'vscode';
import type { Action } from '../host-helper/protocol/actions.ts';
import { connectClient, type Client } from '../host-helper/protocol/client.ts';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import type { MethodName, ParamsOf, ResultOf } from '../host-helper/protocol/methods.ts';
import type { NotificationName, NotificationParams } from '../host-helper/protocol/notifications.ts';
import type { RootState } from '../host-helper/protocol/state.ts';
import type { ConnectionView } from '../webview/messages.ts';
import { connectionView, type Trouble } from './connection-view.ts';
import { cliPath, helperPlace } from './place.ts';
import { openSocket } from './socket.ts';

const firstPauseMs = 500;
const longestPauseMs = 15_000;

/** `action` is absent when the whole state was replaced. */
export interface StateChange {
  state: RootState;
  action?: Action;
}

export class HelperConnection implements vscode.Disposable {
  readonly #log: vscode.LogOutputChannel;
  readonly #version: string;
  readonly #viewChanged = new vscode.EventEmitter<ConnectionView>();
  readonly #stateChanged = new vscode.EventEmitter<StateChange>();
  readonly #dropped = new vscode.EventEmitter<void>();
  #view: ConnectionView = connectionView({ status: 'connecting' });
  #client: Client | undefined;
  #state: RootState | undefined;
  #pauseMs = firstPauseMs;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #disposed = false;

  /** Where the connection stands, whenever that changes. */
  readonly onDidChangeView = this.#viewChanged.event;
  /** The helper's state, after every change. */
  readonly onDidChangeState = this.#stateChanged.event;
  /** The connection was lost; what was known of the state stays readable. */
  readonly onDidDrop = this.#dropped.event;

  constructor(log: vscode.LogOutputChannel, version: string) {
    this.#log = log;
    this.#version = version;
  }

  get view(): ConnectionView {
    return this.#view;
  }

  /** The newest state known; after a lost connection the last one. */
  get state(): RootState | undefined {
    return this.#state;
  }

  get connected(): boolean {
    return this.#client !== undefined;
  }

  /** Connects now, forgetting any pause. */
  connect(): void {
    clearTimeout(this.#timer);
    this.#pauseMs = firstPauseMs;
    this.#client?.close();
    this.#client = undefined;
    void this.#try(++this.#attempt);
  }

  /** A request to the helper. Rejects with a TurntableError whose message says what to do. */
  async request<Name extends MethodName>(
    method: Name,
    params: ParamsOf<Name>,
    token?: vscode.CancellationToken,
  ): Promise<ResultOf<Name>> {
    if (!this.#client)
      throw new TurntableError('helperNotRunning', `${this.#view.title}. ${this.#view.message}`);
    if (!token) return this.#client.request(method, params);
    const controller = new AbortController();
    const listener = token.onCancellationRequested(() => controller.abort());
    try {
      return await this.#client.request(method, params, { signal: controller.signal });
    } finally {
      listener.dispose();
    }
  }

  /** Calls back for a kind of notification until disposed or the connection is lost. */
  onNotification<Name extends NotificationName>(
    name: Name,
    listener: (params: NotificationParams<Name>) => void,
  ): vscode.Disposable {
    const stop = this.#client?.onNotification(name, listener);
    return new vscode.Disposable(() => stop?.());
  }

  dispose(): void {
    this.#disposed = true;
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#client?.close();
    this.#viewChanged.dispose();
    this.#stateChanged.dispose();
    this.#dropped.dispose();
  }

  async #try(attempt: number): Promise<void> {
    const place = helperPlace();
    try {
      const client = await connectClient(await openSocket(place.socketPath), {
        name: 'vscode',
        version: this.#version,
      });
      if (attempt !== this.#attempt) return client.close();
      client.onClose((error) => this.#lost(attempt, error));
      await client.subscribe((state, action) => {
        if (attempt !== this.#attempt) return;
        const first = this.#client !== client;
        this.#client = client;
        this.#state = state;
        if (first) this.#welcome(place.socketPath, client);
        this.#stateChanged.fire(action ? { state, action } : { state });
      });
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error);
    }
  }

  #welcome(socketPath: string, client: Client): void {
    this.#pauseMs = firstPauseMs;
    this.#log.info(
      `connected to the helper ${client.hello.helperVersion} (pid ${client.hello.helperPid}) on ${socketPath}`,
    );
    this.#show({ status: 'connected' });
  }

  #lost(attempt: number, error: TurntableError | undefined): void {
    if (attempt !== this.#attempt || this.#disposed || !this.#client) return;
    this.#client = undefined;
    this.#log.warn(`connection lost: ${error?.message ?? 'closed'}`);
    this.#dropped.fire();
    this.#show({ status: 'connecting' });
    this.#again();
  }

  #failed(error: unknown): void {
    if (this.#disposed) return;
    this.#client = undefined;
    const trouble = troubleOf(error);
    if (trouble.status !== this.#view.status)
      this.#log.info(`not connected (${trouble.status}): ${textOf(error)}`);
    this.#show(trouble);
    this.#again();
  }

  #again(): void {
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.#timer = setTimeout(() => void this.#try(attempt), this.#pauseMs);
    this.#pauseMs = Math.min(longestPauseMs, this.#pauseMs * 2);
  }

  #show(trouble: Trouble): void {
    this.#view = connectionView(trouble);
    this.#viewChanged.fire(this.#view);
  }
}

/** What stands in the way, from the error of the attempt. */
function troubleOf(error: unknown): Trouble {
  if (error instanceof TurntableError) {
    if (error.code === 'versionMismatch') return { status: 'wrong-version', detail: error.message };
    if (error.code === 'unauthorized' || error.code === 'notPermitted')
      return { status: 'not-permitted', detail: error.message };
    return { status: 'failed', detail: error.message };
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
    return { status: cliPath() === undefined ? 'not-installed' : 'not-running' };
  }
  if (code === 'EACCES' || code === 'EPERM') return { status: 'not-permitted' };
  return { status: 'failed', detail: textOf(error) };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
