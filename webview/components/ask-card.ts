/**
 * A request that waits for a person, where it happened: the resolved program, its real arguments, where, which rule
 * asked, what cannot be vouched for. Deny comes first and has the focus; the buttons sleep for a moment after they
 * appear, so that a key or click meant for something else cannot allow anything.
 */

import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { limits, type Approval } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { baseName, formatClock, shortPath } from '../view-model/format.ts';
import { send } from './intents.ts';
import { theme } from './theme.ts';

const sleepMs = 350;

export class AskCard extends LitElement {
  static override properties = {
    approval: { attribute: false },
    agent: {},
    workspace: {},
    awake: { state: true },
    answered: { state: true },
    now: { state: true },
  };
  declare approval: Approval;
  /** Who asks, for the heading. */
  declare agent: string;
  /** The session's folder: places in it are named from there. */
  declare workspace: string;
  declare awake: boolean;
  declare answered: boolean;
  declare now: number;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.workspace = '';
    this.awake = false;
    this.answered = false;
    this.now = Date.now();
  }

  static override styles = [
    theme,
    css`
      :host {
        background: var(--vscode-editor-background);
        border: 1px solid var(--tt-ask);
        border-radius: 3px;
        display: block;
        padding: 8px 10px 10px;
      }
      h3 {
        font-size: 1em;
        font-weight: 600;
      }
      .program {
        overflow-wrap: anywhere;
      }
      .chips {
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
        margin: 6px 0;
        max-height: 9.5em;
        overflow: auto;
      }
      .chips li {
        background: var(--vscode-textCodeBlock-background, var(--vscode-editorWidget-background));
        border: 1px solid var(--tt-line);
        border-radius: 3px;
        overflow-wrap: anywhere;
        padding: 0 5px;
        white-space: pre-wrap;
      }
      .warn {
        border-left: 3px solid var(--tt-caution);
        margin-top: 6px;
        padding-left: 7px;
      }
      .clock {
        font-variant-numeric: tabular-nums;
        white-space: nowrap;
      }
      .verbs {
        margin-top: 9px;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    this.#clock = setInterval(() => (this.now = Date.now()), 1000);
    setTimeout(() => (this.awake = true), sleepMs);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#clock);
  }

  /** Puts the focus where nothing is given away. */
  focusDeny(): void {
    void this.updateComplete.then(() => {
      const deny = this.renderRoot.querySelector('.deny');
      if (deny instanceof HTMLElement) deny.focus();
    });
  }

  override render(): TemplateResult {
    const { subject, rule, expiresAt } = this.approval;
    const heading =
      subject.kind === 'exec' ? t('{0} wants to run', this.agent) : t('{0} wants to reach', this.agent);
    return html`
      <div role="group" aria-label=${spokenApproval(this.approval, this.agent)}>
        <div class="row spread">
          <h3>${heading}</h3>
          <span class="clock small muted" role="timer" aria-label=${t('Denied by itself after')}
            >${t('{0} left', formatClock(expiresAt - this.now))}</span
          >
        </div>
        ${
          subject.kind === 'exec'
            ? html`
                <div class="mono program">${subject.program}</div>
                <ul class="chips mono" aria-label=${t('Arguments')}>
                  ${subject.argv.slice(1, limits.argvShown).map((arg) => html`<li>${arg === '' ? '\u2033\u2033' : arg}</li>`)}
                  ${subject.argv.length > limits.argvShown ? html`<li class="muted">${t('+{0} more', subject.argv.length - limits.argvShown)}</li>` : nothing}
                </ul>
                <p class="small muted" title=${t('in {0}, pid {1}', subject.cwd, subject.pid)}>
                  ${t('in {0} · rule “{1}”', this.#place(subject.cwd), rule)}
                </p>
                ${subject.caution ? html`<p class="small warn">${subject.caution}</p>` : nothing}
              `
            : html`
                <div class="mono program">${subject.method} ${subject.host}:${subject.port}</div>
                <p class="small muted">${t('rule “{0}”', rule)}</p>
                <p class="small warn">${t('What leaves the machine is not taken back by a rewind.')}</p>
              `
        }
        <div class="row wrap verbs">
          <vscode-button class="deny" appearance="secondary" @click=${() => this.#answer('deny', 'once')}
            >${t('Deny')}</vscode-button
          >
          <vscode-button
            class="once"
            ?disabled=${!this.awake || this.answered}
            @click=${() => this.#answer('allow', 'once')}
            >${t('Allow once')}</vscode-button
          >
          <vscode-button
            class="session"
            appearance="secondary"
            ?disabled=${!this.awake || this.answered}
            @click=${() => this.#answer('allow', 'session')}
            >${t('This session')}</vscode-button
          >
        </div>
      </div>
    `;
  }

  #place(directory: string): string {
    return directory === this.workspace ? baseName(directory) : shortPath(directory, this.workspace);
  }

  #answer(decision: 'allow' | 'deny', scope: 'once' | 'session'): void {
    if (this.answered || (decision === 'allow' && !this.awake)) return;
    this.answered = true;
    // An answer that does not arrive must not leave the buttons dead.
    setTimeout(() => (this.answered = false), 5000);
    send(this, { type: 'answer', approvalId: this.approval.id, decision, scope });
  }
}

/** The request in one sentence. */
export function spokenApproval(approval: Approval, agent: string): string {
  const { subject } = approval;
  return subject.kind === 'exec'
    ? t('{0} wants to run {1}', agent, [subject.program, ...subject.argv.slice(1, 12)].join(' '))
    : t('{0} wants to reach {1}', agent, `${subject.host}:${subject.port}`);
}

customElements.define('turntable-ask-card', AskCard);
