/** What to show when there is no session to show: loading, no helper, no rights, no session; always with the next step. */

import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import type { ConnectionView } from '../messages.ts';
import { t } from '../text.ts';
import { send } from './intents.ts';
import { theme } from './theme.ts';

export class EmptyState extends LitElement {
  static override properties = { connection: { attribute: false }, canStart: { type: Boolean } };
  declare connection: ConnectionView | undefined;
  declare canStart: boolean;

  static override styles = [
    theme,
    css`
      :host {
        display: block;
        max-width: 460px;
        padding: 20px;
      }
      h1 {
        font-size: 1.15em;
        font-weight: 600;
      }
      p {
        margin: 8px 0 14px;
      }
      .command {
        align-items: center;
        background: var(--vscode-textCodeBlock-background);
        border: 1px solid var(--tt-line);
        border-radius: 3px;
        display: flex;
        gap: 10px;
        justify-content: space-between;
        margin-bottom: 14px;
        padding: 5px 9px;
      }
      code {
        overflow-wrap: anywhere;
      }
      vscode-button.main {
        max-width: 300px;
        width: 100%;
      }
      vscode-progress-ring {
        height: 20px;
        width: 20px;
      }
      .key {
        margin-top: 22px;
      }
    `,
  ];

  override render(): TemplateResult {
    const connection = this.connection;
    if (!connection || connection.status === 'connecting') {
      return html`<div class="row" role="status">
        <vscode-progress-ring></vscode-progress-ring>${connection?.title ?? t('Loading…')}
      </div>`;
    }
    if (connection.status === 'connected') return this.#noSession();
    return html`
      <div role="status">
        <h1>${connection.title}</h1>
        <p>${connection.message}</p>
      </div>
      ${
        connection.command
          ? html`<div class="command">
              <code class="mono">${connection.command}</code>
              <button
                class="link small"
                @click=${() => send(this, { type: 'copy', text: connection.command ?? '' })}
              >
                ${t('Copy')}
              </button>
            </div>`
          : nothing
      }
      ${
        connection.action
          ? html`<vscode-button class="main" @click=${() => send(this, { type: 'connection-action' })}
              >${connection.action.label}</vscode-button
            >`
          : nothing
      }
    `;
  }

  #noSession(): TemplateResult {
    return html`
      <h1>${t('No session yet')}</h1>
      <p>
        ${
          this.canStart
            ? t(
                'Start a coding agent in a sandbox. Every turn it takes appears here, to look at, rewind and branch. Your own folder stays as it is until you apply.',
              )
            : t('Open a folder that you trust to start a coding agent on it.')
        }
      </p>
      ${
        this.canStart
          ? html`<vscode-button class="main" @click=${() => send(this, { type: 'start-session' })}
              >${t('Start a session…')}</vscode-button
            >`
          : nothing
      }
    `;
  }
}

customElements.define('turntable-empty-state', EmptyState);
