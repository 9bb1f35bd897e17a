/** The top of the timeline: which session, its agent, its state, how long, and what may be done with the whole of it. */

import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import type { SessionState } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { formatDuration, baseName } from '../view-model/format.ts';
import { currentLine } from '../view-model/rail.ts';
import { choose, send } from './intents.ts';
import { theme } from './theme.ts';

export class SessionHeader extends LitElement {
  static override properties = {
    session: { attribute: false },
    sessions: { attribute: false },
    pending: { type: Number },
    wide: { type: Boolean },
    progress: { attribute: false },
  };
  declare session: SessionState;
  declare sessions: SessionState[];
  /** Requests that wait for a person, in this session. */
  declare pending: number;
  declare wide: boolean;
  /** What the helper is busy with, in words. */
  declare progress: string | undefined;

  static override styles = [
    theme,
    css`
      :host {
        display: block;
        padding: 8px 12px 6px;
      }
      h1 {
        font-size: 1.08em;
        font-weight: 600;
      }
      .dot {
        border-radius: 50%;
        flex: none;
        height: 8px;
        width: 8px;
      }
      vscode-progress-ring {
        height: 12px;
        margin-inline: -2px;
        width: 12px;
      }
      .dot.alive {
        background: var(--tt-ok);
      }
      .dot.busy {
        background: var(--tt-ask);
      }
      .dot.failed {
        background: var(--tt-error);
      }
      .dot.still {
        border: 1.5px solid var(--tt-muted);
      }
      select {
        appearance: none;
        background: var(--vscode-dropdown-background);
        border: 1px solid var(--vscode-dropdown-border, var(--tt-line));
        border-radius: 2px;
        color: var(--vscode-dropdown-foreground);
        font: inherit;
        font-weight: 600;
        max-width: 100%;
        padding: 2px 22px 2px 6px;
        text-overflow: ellipsis;
        width: 100%;
      }
      .picker {
        flex: 1;
        min-width: 0;
        position: relative;
      }
      .picker::after {
        border: solid var(--tt-muted);
        border-width: 0 1.4px 1.4px 0;
        content: '';
        height: 5px;
        pointer-events: none;
        position: absolute;
        right: 9px;
        top: 8px;
        transform: rotate(45deg);
        width: 5px;
      }
      .line {
        margin-top: 2px;
      }
      .waiting {
        align-items: center;
        color: var(--tt-text);
        display: flex;
        font-weight: 600;
        gap: 5px;
        white-space: nowrap;
      }
      .waiting::before {
        background: var(--tt-ask);
        border-radius: 50%;
        content: '';
        height: 8px;
        width: 8px;
      }
      .notice {
        border-left: 3px solid var(--tt-caution);
        margin-top: 6px;
        padding: 1px 8px;
      }
      .verbs {
        gap: 0 11px;
        margin-top: 3px;
      }
    `,
  ];

  override render(): TemplateResult {
    const { session } = this;
    const status = statusOf(session);
    return html`
      <div class="row">
        ${
          this.progress
            ? html`<vscode-progress-ring aria-hidden="true"></vscode-progress-ring>`
            : html`<span class="dot ${status.tone}" aria-hidden="true"></span>`
        }
        ${this.sessions.length > 1 ? this.#picker() : html`<h1 class="clip" title=${session.title}>${session.title}</h1>`}
      </div>
      <div class="line small muted row spread">
        <span class="clip" role="status" title=${`${session.workspace}\n${session.mount}`}
          >${[
            session.agent.name === 'none' ? t('no agent') : session.agent.name,
            this.progress ?? status.words,
            this.#turns(),
            this.#age(),
            placeOf(session, this.sessions),
          ]
            .filter(Boolean)
            .join(' \u00b7 ')}</span
        >
        ${this.pending > 0 ? html`<span class="waiting">${t('{0} waiting', this.pending)}</span>` : nothing}
      </div>
      ${session.detail ? html`<p class="notice small" role="status">${session.detail}</p>` : nothing}
      ${session.degraded.length > 0 ? html`<p class="notice small" role="status">${session.degraded.join(' ')}</p>` : nothing}
      <div class="row wrap small verbs">
        ${this.#verb('terminal', t('Terminal'))} ${this.#verb('apply', t('Apply…'))}
        ${this.#verb('open-folder', t('Folder'))}
        ${session.status === 'stopped' || session.status === 'failed' ? this.#verb('resume', t('Resume')) : this.#verb('stop', t('Stop'))}
        ${this.wide ? nothing : html`<button class="link" @click=${() => send(this, { type: 'open-wide' })}>${t('Details')}</button>`}
      </div>
    `;
  }

  #picker(): TemplateResult {
    return html`<h1 class="picker">
      <select aria-label=${t('Session')} @change=${(event: Event) => this.#pick(event)}>
        ${this.sessions.map(
          (each) =>
            html`<option value=${each.id} .selected=${each.id === this.session.id}>
              ${each.origin ? `\u21b3 ${t('{0} (branch from turn {1})', each.title, each.origin.turn)}` : each.title}
            </option>`,
        )}
      </select>
    </h1>`;
  }

  #pick(event: Event): void {
    if (event.target instanceof HTMLSelectElement)
      choose(this, { do: 'session', sessionId: event.target.value });
  }

  #verb(verb: 'terminal' | 'apply' | 'open-folder' | 'stop' | 'resume', label: string): TemplateResult {
    const sessionId = this.session.id;
    return html`<button class="link" @click=${() => send(this, { type: 'session', sessionId, verb })}>
      ${label}
    </button>`;
  }

  #turns(): string {
    return t('turn {0}', currentLine(this.session).at(-1)?.id ?? this.session.head);
  }

  #age(): string {
    const ends = this.session.turns.map((turn) => turn.endedAt ?? turn.startedAt);
    const spanMs = Math.max(0, Math.max(this.session.createdAt, ...ends) - this.session.createdAt);
    return spanMs >= 1000 ? formatDuration(spanMs) : '';
  }
}

/** The session's state in words, and the tone of its dot. */
function statusOf(session: SessionState): { words: string; tone: 'alive' | 'busy' | 'failed' | 'still' } {
  switch (session.status) {
    case 'starting':
      return { words: t('starting'), tone: 'busy' };
    case 'rewinding':
      return { words: t('rewinding'), tone: 'busy' };
    case 'branching':
      return { words: t('branching'), tone: 'busy' };
    case 'stopped':
      return { words: t('stopped'), tone: 'still' };
    case 'failed':
      return { words: t('failed'), tone: 'failed' };
    case 'running':
      break;
  }
  switch (session.agent.status) {
    case 'thinking':
      return { words: t('thinking'), tone: 'alive' };
    case 'finished':
      return { words: t('finished'), tone: 'still' };
    case 'failed':
      return { words: t('agent failed'), tone: 'failed' };
    case 'stopped':
      return { words: t('agent stopped'), tone: 'still' };
    default:
      return { words: t('running'), tone: 'alive' };
  }
}

function placeOf(session: SessionState, sessions: SessionState[]): string {
  if (!session.origin) return baseName(session.workspace);
  const origin = sessions.find((each) => each.id === session.origin?.sessionId);
  return t('branch of {0}', origin?.title ?? session.origin.sessionId);
}

customElements.define('turntable-session-header', SessionHeader);
