/**
 * The app: keeps the state, passes it down, and is the one place that speaks to the extension. Narrow it is the
 * timeline alone; wide it has the shown turn's details beside it.
 */

import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import {
  applyMessage,
  currentSession,
  initialState,
  pendingApprovals,
  select,
  sessionsOf,
  settledApprovals,
  shownTurn,
  step,
  type AppState,
} from '../app-state.ts';
import type { Host } from '../host.ts';
import type { HostMessage, Intent } from '../messages.ts';
import { t, useStrings } from '../text.ts';
import { stripTurns } from '../view-model/rail.ts';
import { spokenApproval } from './ask-card.ts';
import './empty-state.ts';
import type { Choice } from './intents.ts';
import './preview-banner.ts';
import './scrub-strip.ts';
import './session-header.ts';
import { theme } from './theme.ts';
import './turn-details.ts';
import { TurnRail } from './turn-rail.ts';

/** From this width on the details stand beside the rail. */
const wideFromPixels = 700;

export class TimelineApp extends LitElement {
  static override properties = { state: { state: true }, wide: { state: true }, heard: { state: true } };
  declare state: AppState;
  declare wide: boolean;
  /** What a screen reader is told. */
  declare heard: string;
  #host: Host | undefined;
  #told = new Set<string>();
  readonly #resize = new ResizeObserver(([entry]) => {
    if (entry) this.wide = entry.contentRect.width >= wideFromPixels;
  });

  constructor() {
    super();
    this.state = initialState(undefined);
    this.wide = false;
    this.heard = '';
  }

  static override styles = [
    theme,
    css`
      :host {
        --tt-ground: var(--vscode-sideBar-background);
        outline: none;
      }
      :host([data-place='editor']) {
        --tt-ground: var(--vscode-editor-background);
      }
      .layout {
        display: flex;
        height: 100%;
      }
      .timeline {
        display: flex;
        flex: 1;
        flex-direction: column;
        height: 100%;
        min-width: 0;
      }
      .wide .timeline {
        border-right: 1px solid var(--tt-line);
        flex: 0 0 340px;
      }
      header {
        border-bottom: 1px solid var(--tt-line);
        flex: none;
      }
      .scroll {
        flex: 1;
        overflow-y: auto;
      }
      turntable-turn-details {
        flex: 1;
        min-width: 0;
        overflow-y: auto;
      }
      .lost {
        align-items: center;
        background: var(--vscode-inputValidation-warningBackground);
        border-bottom: 1px solid var(--vscode-inputValidation-warningBorder);
        display: flex;
        gap: 8px;
        justify-content: space-between;
        padding: 6px 12px;
      }
    `,
  ];

  /** Connects the app to the extension. Call once. */
  attach(host: Host): void {
    this.#host = host;
    this.state = initialState(host.saved);
    host.listen((message) => this.#receive(message));
    host.post({ type: 'ready' });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resize.observe(this);
    this.addEventListener('turntable-intent', (event) => {
      if (event instanceof CustomEvent) this.#host?.post(event.detail as Intent);
    });
    this.addEventListener('turntable-choice', (event) => {
      if (event instanceof CustomEvent) this.#choose(event.detail as Choice);
    });
    window.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.state.turn === null) return;
      event.preventDefault();
      this.#choose({ do: 'select', turn: null });
    });
  }

  /** The banner grows with its forecast: keep the previewed turn in sight. */
  override updated(changed: PropertyValues<this>): void {
    if (!changed.has('state') || !this.state.forecast) return;
    const rail = this.renderRoot.querySelector('turntable-turn-rail');
    if (rail instanceof TurnRail)
      void this.updateComplete.then(() => requestAnimationFrame(() => rail.reveal()));
  }

  override render(): TemplateResult {
    const { state } = this;
    const session = currentSession(state);
    if (!session) {
      return html`<turntable-empty-state
          .connection=${state.connection}
          .canStart=${state.canStart}
        ></turntable-empty-state>
        ${this.#live()}`;
    }
    const sessions = sessionsOf(state);
    const asks = pendingApprovals(state.root, session.id);
    const asking = new Set(asks.map((ask) => ask.turn));
    const previewed = state.turn === null ? undefined : session.turns.find((turn) => turn.id === state.turn);
    const shown = shownTurn(state);
    const progress = Object.values(state.root?.progress ?? {}).find((each) => each.sessionId === session.id);
    return html`
      <div class="layout ${this.wide ? 'wide' : ''}">
        <main class="timeline" aria-label=${t('Timeline')}>
          ${this.#lost()}
          <header>
            <turntable-session-header
              .session=${session}
              .sessions=${sessions}
              .pending=${asks.length}
              .wide=${this.wide}
              .progress=${progress?.label}
            ></turntable-session-header>
            <turntable-scrub-strip
              .session=${session}
              .turn=${state.turn}
              .asking=${asking}
            ></turntable-scrub-strip>
          </header>
          ${
            previewed
              ? html`<turntable-preview-banner
                  .session=${session}
                  .turn=${previewed}
                  .forecast=${state.forecast}
                  .brief=${this.wide}
                ></turntable-preview-banner>`
              : nothing
          }
          <div class="scroll">
            <turntable-turn-rail
              .session=${session}
              .sessions=${sessions}
              .turn=${state.turn}
              .asks=${asks}
              .settled=${settledApprovals(state.root, session.id)}
              .focusApproval=${state.focusApproval}
            ></turntable-turn-rail>
          </div>
        </main>
        ${
          this.wide && shown
            ? html`<turntable-turn-details
                role="complementary"
                aria-label=${t('Turn {0}', shown.id)}
                .session=${session}
                .turn=${shown}
                .previewing=${previewed !== undefined}
                .forecast=${state.forecast}
                .allChanges=${state.allChanges}
              ></turntable-turn-details>`
            : nothing
        }
      </div>
      ${this.#live()}
    `;
  }

  #live(): TemplateResult {
    return html`<div class="spoken" aria-live="assertive">${this.heard}</div>`;
  }

  /** The helper went away with a session in view: what was known stays, and says that it may be old. */
  #lost(): TemplateResult | typeof nothing {
    const connection = this.state.connection;
    if (!connection || connection.status === 'connected') return nothing;
    return html`<div class="lost small" role="status">
      <span>${connection.title}</span>
      ${
        connection.action
          ? html`<button class="link" @click=${() => this.#host?.post({ type: 'connection-action' })}>
              ${connection.action.label}
            </button>`
          : nothing
      }
    </div>`;
  }

  #receive(message: HostMessage): void {
    if (message.type === 'snapshot') useStrings(message.strings);
    const before = this.state;
    this.state = applyMessage(before, message);
    this.#announce();
    if (
      before.sessionId !== this.state.sessionId ||
      before.turn !== this.state.turn ||
      message.type === 'snapshot'
    )
      this.#chosen();
  }

  #choose(choice: Choice): void {
    const before = this.state;
    switch (choice.do) {
      case 'select':
        this.state = select(before, choice.turn);
        break;
      case 'step':
        this.state = select(before, step(before, choice.by));
        break;
      case 'first': {
        const session = currentSession(before);
        this.state = select(before, (session ? stripTurns(session)[0]?.turn.id : undefined) ?? null);
        break;
      }
      case 'session':
        this.state = select({ ...before, sessionId: choice.sessionId, allChanges: undefined }, null);
        break;
    }
    if (before.sessionId !== this.state.sessionId || before.turn !== this.state.turn) this.#chosen();
  }

  #chosen(): void {
    const { sessionId, turn } = this.state;
    this.#host?.save({ sessionId, turn });
    this.#host?.post({ type: 'selected', sessionId, turn });
  }

  #announce(): void {
    const fresh = pendingApprovals(this.state.root).filter((each) => !this.#told.has(each.id));
    for (const each of fresh) this.#told.add(each.id);
    const last = fresh.at(-1);
    if (!last) return;
    const agent = this.state.root?.sessions[last.sessionId]?.agent.name ?? t('The agent');
    this.heard = `${spokenApproval(last, agent)}. ${t('Waiting for you.')}`;
  }
}

customElements.define('turntable-app', TimelineApp);
