/** How commands tell a person that something failed, and show that something long is under way. */

import * as vscode from 'vscode';
import { TurntableError } from '../host-helper/protocol/errors.ts';

/** Wraps commands: an error becomes one message with the next step, and a line in the log. */
export class Report {
  readonly #log: vscode.LogOutputChannel;

  constructor(log: vscode.LogOutputChannel) {
    this.#log = log;
  }

  /** Runs a command's work; tells the person when it fails. Cancelling is not failing. */
  async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof TurntableError && error.code === 'cancelled') return;
      this.tell(what, error);
    }
  }

  /** Tells the person of an error, with a way to the log. */
  tell(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#log.error(
      `${what}: ${error instanceof Error && error.stack !== undefined ? error.stack : message}`,
    );
    const showLog = vscode.l10n.t('Show log');
    void vscode.window.showErrorMessage(`${what}: ${message}`, showLog).then((picked) => {
      if (picked === showLog) this.#log.show();
    });
  }
}

/** Shows a notification while work goes on; the token cancels it. */
export function withNotice<Result>(
  title: string,
  work: (token: vscode.CancellationToken) => Promise<Result>,
): Thenable<Result> {
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    (_progress, token) => work(token),
  );
}
