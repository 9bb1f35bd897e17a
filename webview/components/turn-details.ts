/**
 * The wide layout's right side: one turn in full, and what a rewind to it would do before any button is pressed.
 * Shows what it is given; asks the app for anything more.
 */

import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import type { AllChanges, Forecast } from '../app-state.ts';
import type { SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { forecastLines } from '../view-model/forecast.ts';
import { formatBytes, formatCount, formatDuration, withFullStop } from '../view-model/format.ts';
import { className, failed, restorable, titleText } from '../view-model/turn-facts.ts';
import { changesTab, conversationTab, costTab, leftTab, processesTab } from './detail-tabs.ts';
import { send } from './intents.ts';
import { theme } from './theme.ts';

export class TurnDetails extends LitElement {
  static override properties = {
    session: { attribute: false },
    turn: { attribute: false },
    previewing: { type: Boolean },
    forecast: { attribute: false },
    allChanges: { attribute: false },
  };
  declare session: SessionState;
  declare turn: Turn;
  declare previewing: boolean;
  declare forecast: Forecast | undefined;
  declare allChanges: AllChanges | undefined;

  static override styles = [
    theme,
    css`
      :host {
        --tt-ground: var(--vscode-editor-background);
        display: block;
        padding: 12px 18px 32px;
      }
      h1 {
        flex: none;
        font-size: 1.25em;
        font-weight: 600;
      }
      .verbs {
        margin-inline-start: auto;
      }
      .why {
        background: var(--vscode-textBlockQuote-background);
        border-left: 3px solid var(--tt-none);
        margin: 4px 0 14px;
        padding: 7px 11px;
      }
      .why.files {
        border-color: var(--tt-files);
      }
      .why.processes {
        border-color: var(--tt-processes);
      }
      .why.full {
        border-color: var(--tt-full);
      }
      table {
        border-collapse: collapse;
        width: 100%;
      }
      th {
        color: var(--tt-muted);
        font-weight: 400;
      }
      th,
      td {
        border-bottom: 1px solid var(--tt-line);
        overflow-wrap: anywhere;
        padding: 5px 8px 5px 0;
        text-align: start;
        vertical-align: baseline;
      }
      td.tight,
      th.tight {
        white-space: nowrap;
        width: 1%;
        padding-inline-end: 28px;
      }
      .section {
        margin: 26px 0 6px;
      }
      pre {
        background: var(--vscode-textCodeBlock-background);
        border-radius: 3px;
        font-family: var(--tt-mono);
        font-size: 0.95em;
        margin: 6px 0 12px;
        max-height: 30em;
        overflow: auto;
        padding: 8px 10px;
        white-space: pre-wrap;
      }
      .said {
        margin-bottom: 12px;
        max-width: 80ch;
        white-space: pre-wrap;
      }
      .none {
        padding: 10px 0;
      }
      vscode-panels {
        overflow: visible;
      }
      vscode-panels::part(tablist) {
        padding: 0;
      }
      vscode-panel-tab {
        text-transform: none;
      }
      vscode-panel-view {
        padding: 10px 0 0;
      }
      .view {
        width: 100%;
      }
    `,
  ];

  override render(): TemplateResult {
    const { session, turn } = this;
    const target = { sessionId: session.id, turn: turn.id };
    const files = turn.effects?.files;
    const changed = files ? files.added + files.changed + files.removed : 0;
    const survivors = turn.effects?.processes.survivors.length ?? 0;
    const left = (turn.effects?.network ?? []).filter((each) => each.allowed).length;
    const may = restorable(turn) && (this.previewing || turn.id !== session.head);
    return html`
      <div class="row">
        <h1>${t('Turn {0}', turn.id)}</h1>
        <span class="muted clip" title=${titleText(turn)}>${titleText(turn)}</span>
        <div class="row verbs">
          ${
            may
              ? html`<vscode-button @click=${() => send(this, { type: 'rewind', ...target })}
                  >${t('Rewind here')}</vscode-button
                >`
              : nothing
          }
          ${
            restorable(turn)
              ? html`<vscode-button
                  appearance="secondary"
                  @click=${() => send(this, { type: 'branch', ...target })}
                  >${t('Branch…')}</vscode-button
                >`
              : nothing
          }
        </div>
      </div>
      <vscode-panels aria-label=${t('About turn {0}', turn.id)}>
        <vscode-panel-tab id="tab-changes">${counted(t('Changes'), changed)}</vscode-panel-tab>
        <vscode-panel-tab id="tab-processes">${counted(t('Processes'), survivors)}</vscode-panel-tab>
        <vscode-panel-tab id="tab-conversation">${t('Conversation')}</vscode-panel-tab>
        <vscode-panel-tab id="tab-left">${counted(t('Left the machine'), left)}</vscode-panel-tab>
        <vscode-panel-tab id="tab-cost">${t('Cost')}</vscode-panel-tab>
        <vscode-panel-view id="view-changes">
          <div class="view">
            ${this.#why()} ${changesTab(this, session, turn, this.allChanges)} ${this.#ifYouRewind()}
          </div>
        </vscode-panel-view>
        <vscode-panel-view id="view-processes"
          ><div class="view">${processesTab(turn)}</div></vscode-panel-view
        >
        <vscode-panel-view id="view-conversation"
          ><div class="view">${conversationTab(turn)}</div></vscode-panel-view
        >
        <vscode-panel-view id="view-left"><div class="view">${leftTab(turn)}</div></vscode-panel-view>
        <vscode-panel-view id="view-cost"><div class="view">${costTab(turn)}</div></vscode-panel-view>
      </vscode-panels>
    `;
  }

  #why(): TemplateResult | typeof nothing {
    const { checkpoint, effectClass, effects } = this.turn;
    if (!checkpoint || !effectClass) return nothing;
    const spentMs = checkpoint.inspectMs + checkpoint.filesMs + checkpoint.processesMs;
    const cost = checkpoint.reused
      ? t('Nothing was written: the checkpoint before it serves.')
      : checkpoint.heldMs >= 1
        ? t(
            '{0} written in {1}, for which the reply was held back {2}.',
            formatBytes(checkpoint.bytesStored),
            formatDuration(spentMs),
            formatDuration(checkpoint.heldMs),
          )
        : t(
            '{0} written in {1} while the model was thinking: nothing was held back.',
            formatBytes(checkpoint.bytesStored),
            formatDuration(spentMs),
          );
    return html`<div class="why ${effectClass}">
      <strong>${className(effectClass)}:</strong> ${withFullStop(checkpoint.reason)} ${cost}
      ${checkpoint.restorable ? nothing : html`<div class="caution">${t('This turn cannot be restored.')}</div>`}
      ${checkpoint.degraded ? html`<div class="caution">${checkpoint.degraded}</div>` : nothing}
      ${(effects?.uncertain ?? []).map((each) => html`<div class="caution">${t('Not sure: {0}', each)}</div>`)}
      ${
        effects && effects.droppedEvents > 0
          ? html`<div class="caution">
              ${t('{0} kernel events were missed, so more was kept than perhaps needed.', formatCount(effects.droppedEvents))}
            </div>`
          : nothing
      }
      ${failed(this.turn) ? html`<div class="error">${t('Something in this turn failed; see Processes and Conversation.')}</div>` : nothing}
    </div>`;
  }

  #ifYouRewind(): TemplateResult | typeof nothing {
    if (!this.previewing) return nothing;
    const { forecast } = this;
    if (!forecast) {
      return html`<h2 class="eyebrow section">${t('If you rewind here')}</h2>
        <div class="row muted" role="status">
          <vscode-progress-ring></vscode-progress-ring>${t('Looking ahead…')}
        </div>`;
    }
    if (forecast.error !== undefined || !forecast.preview) {
      return html`<h2 class="eyebrow section">${t('If you rewind here')}</h2>
        <p class="error" role="status">${forecast.error}</p>`;
    }
    const { preview } = forecast;
    if (!preview.restorable) {
      return html`<h2 class="eyebrow section">${t('If you rewind here')}</h2>
        <p class="caution" role="status">${preview.reason}</p>`;
    }
    return html`
      <h2 class="eyebrow section">${t('If you rewind here')}</h2>
      <table class="forecast">
        <tbody>
          ${forecastLines(preview, this.session.workspace).map(
            (line) =>
              html`<tr>
                <td class=${line.tone}>${line.what}</td>
                <td class="muted">${line.detail}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    `;
  }
}

function counted(label: string, count: number): string {
  return count > 0 ? `${label} ${formatCount(count)}` : label;
}

customElements.define('turntable-turn-details', TurnDetails);
