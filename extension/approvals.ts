/**
 * Requests that wait for the person: a notification for each (which they may dismiss: the badge, the status bar, the
 * timeline and the command still hold it), and the answers. Deny is always the first choice.
 */

import * as vscode from 'vscode';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import type { Approval, RootState } from '../host-helper/protocol/state.ts';
import type { HelperConnection } from './connection.ts';
import type { Report } from './report.ts';

export interface Answer {
  decision: 'allow' | 'deny';
  scope: 'once' | 'session';
  reason?: string;
}

/** Requests without an answer, oldest first. */
export function pendingOf(state: RootState | undefined): Approval[] {
  return Object.values(state?.approvals ?? {})
    .filter((each) => each.state === 'pending')
    .toSorted((a, b) => a.askedAt - b.askedAt);
}

/** The request in one line: the resolved program and its arguments, or the host. */
export function approvalText(approval: Approval): string {
  const { subject } = approval;
  if (subject.kind === 'network') return `${subject.method} ${subject.host}:${subject.port}`;
  const words = [subject.program, ...subject.argv.slice(1)].map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word),
  );
  const line = words.join(' ');
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

export class Approvals implements vscode.Disposable {
  readonly #connection: HelperConnection;
  readonly #report: Report;
  readonly #show: (approvalId: string) => void;
  readonly #listener: vscode.Disposable;
  readonly #told = new Set<string>();

  /** `show` brings a request into view in the timeline. */
  constructor(connection: HelperConnection, report: Report, show: (approvalId: string) => void) {
    this.#connection = connection;
    this.#report = report;
    this.#show = show;
    this.#listener = connection.onDidChangeState(({ state }) => {
      for (const approval of pendingOf(state)) {
        if (this.#told.has(approval.id)) continue;
        this.#told.add(approval.id);
        void this.#notify(approval);
      }
    });
  }

  /** Sends an answer. Somebody else having been quicker is news, not an error. */
  async answer(id: string, answer: Answer): Promise<void> {
    try {
      await this.#connection.request('approval/answer', {
        id,
        decision: answer.decision,
        scope: answer.scope,
        ...(answer.reason ? { reason: answer.reason } : {}),
      });
    } catch (error) {
      if (
        !(error instanceof TurntableError) ||
        (error.code !== 'approvalSettled' && error.code !== 'approvalNotFound')
      )
        throw error;
      const settled = this.#connection.state?.approvals[id];
      void vscode.window.showInformationMessage(
        settled?.answeredBy
          ? vscode.l10n.t('That request was already answered by {0}: {1}.', settled.answeredBy, settled.state)
          : vscode.l10n.t('That request no longer waits for an answer.'),
      );
    }
  }

  /** Lets the person pick a request and answer it; straight to the answers when there is one. */
  async pick(): Promise<void> {
    const { t } = vscode.l10n;
    const waiting = pendingOf(this.#connection.state);
    if (waiting.length === 0) {
      void vscode.window.showInformationMessage(t('Nothing waits for you.'));
      return;
    }
    const picked =
      waiting.length === 1
        ? waiting[0]
        : (
            await vscode.window.showQuickPick(
              waiting.map((approval) => ({
                label: approvalText(approval),
                description: this.#who(approval),
                detail: approval.rule,
                approval,
              })),
              { title: t('Which request?'), matchOnDetail: true },
            )
          )?.approval;
    if (!picked) return;
    const choice = await vscode.window.showQuickPick(
      [
        {
          label: `$(circle-slash) ${t('Deny')}`,
          answer: { decision: 'deny', scope: 'once' } as const,
          why: false,
        },
        {
          label: `$(comment) ${t('Deny with a reason…')}`,
          answer: { decision: 'deny', scope: 'once' } as const,
          why: true,
        },
        {
          label: `$(check) ${t('Allow once')}`,
          answer: { decision: 'allow', scope: 'once' } as const,
          why: false,
        },
        {
          label: `$(check-all) ${t('Allow for this session')}`,
          answer: { decision: 'allow', scope: 'session' } as const,
          why: false,
        },
      ],
      { title: approvalText(picked), placeHolder: `${this.#who(picked)} · ${picked.rule}` },
    );
    if (!choice) return;
    const reason = choice.why
      ? await vscode.window.showInputBox({ title: t('Why not? The agent is told.') })
      : undefined;
    if (choice.why && reason === undefined) return;
    await this.answer(picked.id, { ...choice.answer, ...(reason ? { reason } : {}) });
  }

  dispose(): void {
    this.#listener.dispose();
  }

  async #notify(approval: Approval): Promise<void> {
    const { t } = vscode.l10n;
    const deny = t('Deny');
    const once = t('Allow once');
    const session = t('This session');
    const look = t('Show');
    const verb =
      approval.subject.kind === 'exec'
        ? t('{0} wants to run', this.#who(approval))
        : t('{0} wants to reach', this.#who(approval));
    const caution =
      approval.subject.kind === 'exec' && approval.subject.caution ? ` ${approval.subject.caution}` : '';
    // The first button is the one that Enter presses.
    const picked = await vscode.window.showWarningMessage(
      `${verb}: ${approvalText(approval)}${caution}`,
      deny,
      once,
      session,
      look,
    );
    if (picked === undefined) return;
    if (picked === look) return this.#show(approval.id);
    await this.#report.attempt(t('The answer did not get through'), () =>
      this.answer(approval.id, {
        decision: picked === deny ? 'deny' : 'allow',
        scope: picked === session ? 'session' : 'once',
      }),
    );
  }

  #who(approval: Approval): string {
    const session = this.#connection.state?.sessions[approval.sessionId];
    return session && session.agent.name !== 'none'
      ? session.agent.name
      : (session?.title ?? vscode.l10n.t('A session'));
  }
}
