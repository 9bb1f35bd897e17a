/** The banner of a preview: says that nothing has changed yet, and carries the verbs. */

import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import type { Forecast } from '../app-state.ts';
import type { SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { forecastSummary } from '../view-model/forecast.ts';
import { restorable } from '../view-model/turn-facts.ts';
import { choose, send } from './intents.ts';
import { theme } from './theme.ts';

export class PreviewBanner extends LitElement {
  static override properties = {
    session: { attribute: false },
    turn: { attribute: false },
    forecast: { attribute: false },
    brief: { type: Boolean },
  };
  declare session: SessionState;
  declare turn: Turn;
  declare forecast: Forecast | undefined;
  /** Without the summary of the forecast: the details show it in full. */
  declare brief: boolean;

  static override styles = [
    theme,
    css`
      :host {
        --tt-text: var(--vscode-list-activeSelectionForeground, var(--vscode-foreground));
        background: var(--vscode-list-activeSelectionBackground);
        border-bottom: 1px solid var(--vscode-contrastBorder, transparent);
        border-top: 1px solid var(--vscode-contrastBorder, transparent);
        display: block;
        padding: 8px 12px 9px;
      }
      .verbs {
        gap: 6px;
        margin-top: 7px;
      }
      strong {
        white-space: nowrap;
      }
      .head {
        gap: 0 8px;
      }
      .hint {
        color: inherit;
        opacity: 0.85;
        white-space: nowrap;
      }
      .forecast {
        margin-top: 6px;
        opacity: 0.92;
      }
      kbd {
        background: none;
        border-color: currentColor;
        color: inherit;
        cursor: pointer;
        opacity: 0.8;
      }
      button.esc {
        background: none;
        border: 0;
        color: inherit;
        font: inherit;
        margin-inline-start: auto;
        padding: 0;
      }
    `,
  ];

  override render(): TemplateResult {
    const target = { sessionId: this.session.id, turn: this.turn.id };
    const may = restorable(this.turn);
    return html`
      <div class="row spread wrap head">
        <strong>${t('Previewing turn {0}', this.turn.id)}</strong>
        <span class="hint small">${t('nothing has changed yet')}</span>
      </div>
      <div class="row verbs" role="toolbar" aria-label=${t('Turn {0}', this.turn.id)}>
        <vscode-button ?disabled=${!may} @click=${() => send(this, { type: 'rewind', ...target })}
          >${t('Rewind here')}</vscode-button
        >
        <vscode-button
          appearance="secondary"
          ?disabled=${!may}
          @click=${() => send(this, { type: 'branch', ...target })}
          >${t('Branch…')}</vscode-button
        >
        <vscode-button appearance="secondary" @click=${() => send(this, { type: 'diff', ...target })}
          >${t('Diff')}</vscode-button
        >
        <button
          class="esc"
          aria-label=${t('Back to now')}
          title=${t('Back to now')}
          @click=${() => choose(this, { do: 'select', turn: null })}
        >
          <kbd>Esc</kbd>
        </button>
      </div>
      ${
        may
          ? nothing
          : html`<p class="forecast small">
              ${
                this.turn.state === 'closed'
                  ? t(
                      'This turn cannot be restored: {0}',
                      this.turn.checkpoint?.reason ?? t('it has no checkpoint.'),
                    )
                  : t('This turn is still open.')
              }
            </p>`
      }
      ${
        !this.brief && may && this.forecast
          ? html`<p class="forecast small">
              ${this.forecast.error ?? (this.forecast.preview ? forecastSummary(this.forecast.preview, this.session.workspace) : nothing)}
            </p>`
          : nothing
      }
    `;
  }
}

customElements.define('turntable-preview-banner', PreviewBanner);
