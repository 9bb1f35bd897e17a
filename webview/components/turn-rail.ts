/**
 * The rail: the session's rows, newest on top, as a tree for keyboards and screen readers (one tab stop, arrow keys
 * move the preview with the focus). Which rows there are is view-model/rail.ts's business.
 */

import { html, LitElement, nothing, svg, type PropertyValues, type TemplateResult } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import type { Approval, SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { formatClock } from '../view-model/format.ts';
import { buildRail, type RailRow } from '../view-model/rail.ts';
import {
  answerFact,
  cautionOf,
  factsOf,
  failed,
  markOf,
  spokenTurn,
  titleOf,
  titleText,
} from '../view-model/turn-facts.ts';
import { AskCard } from './ask-card.ts';
import { choose } from './intents.ts';
import { markShape, markStyles } from './mark.ts';
import { railStyles } from './turn-rail-styles.ts';
import { theme } from './theme.ts';

export class TurnRail extends LitElement {
  static override properties = {
    session: { attribute: false },
    sessions: { attribute: false },
    turn: { attribute: false },
    asks: { attribute: false },
    settled: { attribute: false },
    focusApproval: { attribute: false },
    toggled: { state: true },
    active: { state: true },
    now: { state: true },
  };
  declare session: SessionState;
  declare sessions: SessionState[];
  declare turn: number | null;
  declare asks: Approval[];
  /** Requests of the session that no longer wait. */
  declare settled: Approval[];
  declare focusApproval: string | undefined;
  declare toggled: ReadonlySet<string>;
  /** Key of the row that has the tab stop. */
  declare active: string | undefined;
  declare now: number;
  #rows: RailRow[] = [];
  #clock: ReturnType<typeof setInterval> | undefined;
  #focusActive = false;

  constructor() {
    super();
    this.settled = [];
    this.toggled = new Set();
    this.active = undefined;
    this.now = Date.now();
  }

  static override styles = [theme, markStyles, railStyles];

  override connectedCallback(): void {
    super.connectedCallback();
    this.#clock = setInterval(() => {
      if (this.asks.length > 0) this.now = Date.now();
    }, 1000);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#clock);
  }

  override willUpdate(changed: PropertyValues<this>): void {
    this.#rows = buildRail({
      session: this.session,
      sessions: this.sessions,
      asks: this.asks,
      toggled: this.toggled,
      selected: this.turn,
    });
    if (changed.get('session')?.id !== undefined && changed.get('session')?.id !== this.session.id)
      this.active = undefined;
    if (changed.has('turn')) this.active = this.turn === null ? this.#rows[0]?.key : `turn-${this.turn}`;
    if (!this.#rows.some((row) => row.key === this.active)) this.active = this.#rows[0]?.key;
  }

  override updated(changed: PropertyValues<this>): void {
    const active = this.renderRoot.querySelector('.item[tabindex="0"]');
    if (active instanceof HTMLElement) {
      if (this.#focusActive) active.focus({ preventScroll: true });
      if (changed.has('turn') || this.#focusActive) active.scrollIntoView({ block: 'nearest' });
    }
    this.#focusActive = false;
    if (changed.has('focusApproval') && this.focusApproval !== undefined) {
      const card = this.renderRoot.querySelector(`[data-approval="${CSS.escape(this.focusApproval)}"]`);
      if (card instanceof AskCard) {
        card.scrollIntoView({ block: 'nearest' });
        card.focusDeny();
      }
    }
  }

  /** Scrolls the row that has the tab stop into sight. */
  reveal(): void {
    this.renderRoot.querySelector('.item[tabindex="0"]')?.scrollIntoView({ block: 'nearest' });
  }

  override render(): TemplateResult {
    const previewAt = this.#rows.findIndex((row) => row.kind === 'turn' && row.turn.id === this.turn);
    const previewsLine = this.#rows[previewAt]?.kind === 'turn' && !asideOf(this.#rows[previewAt]);
    return html`
      <div
        class="tree"
        role="tree"
        aria-label=${t('Turns, newest first')}
        @keydown=${(event: KeyboardEvent) => this.#onKey(event)}
      >
        ${repeat(
          this.#rows,
          (row) => row.key,
          (row, index) => this.#row(row, previewsLine && index < previewAt, index),
        )}
      </div>
    `;
  }

  #row(row: RailRow, later: boolean, index: number): TemplateResult {
    switch (row.kind) {
      case 'turn':
        return this.#turn(row, later, index);
      case 'fold':
        return this.#fold(row, later, index);
      case 'aside':
        return this.#aside(row, later, index);
      case 'branch':
        return this.#branch(row, later, index);
    }
  }

  #turn(row: Extract<RailRow, { kind: 'turn' }>, later: boolean, index: number): TemplateResult {
    const { turn, asks, aside } = row;
    const selected = turn.id === this.turn;
    const asking = asks.length > 0;
    const title = titleOf(turn);
    const settled = this.settled.filter((each) => each.turn === turn.id);
    return html`
      <div
        class="item ${selected ? 'selected' : ''} ${row.aside ? 'aside' : ''}"
        role="treeitem"
        aria-level=${aside ? 2 : 1}
        aria-selected=${selected}
        aria-label=${spokenTurn(turn, asking, settled) + (row.aside ? `, ${t('set aside')}` : '')}
        aria-current=${row.head && !asking ? 'step' : nothing}
        tabindex=${this.active === row.key ? 0 : -1}
        data-turn=${turn.id}
        @focus=${() => (this.active = row.key)}
        @click=${() => this.#pick(row)}
      >
        ${this.#gutter(index, later, aside, svg`${markShape(markOf(turn, asking), aside)}`)}
        <div class="body">
          <div class="title">
            <span class="number">${turn.id}</span>
            <span class="clip" title=${titleText(turn)}
              >${title.words ? html`<span>${title.words}</span> ` : nothing}${
                title.code ? html`<span class="mono">${title.code}</span>` : nothing
              }</span
            >
            ${failed(turn) ? html`<span class="error small end">${failureWords(turn)}</span>` : nothing}
          </div>
          <div class="facts small muted">${this.#facts(turn, asks, settled)}</div>
        </div>
      </div>
      ${asks.map(
        (ask) =>
          html`<div class="item-ask">
            <turntable-ask-card
              data-approval=${ask.id}
              .approval=${ask}
              .agent=${agentName(this.session)}
              .workspace=${this.session.workspace}
            ></turntable-ask-card>
          </div>`,
      )}
    `;
  }

  #facts(turn: Turn, asks: Approval[], settled: Approval[]): TemplateResult | TemplateResult[] {
    const ask = asks[0];
    if (ask) return html`<span>${t('waiting {0}', formatClock(this.now - ask.askedAt))}</span>`;
    if (turn.state !== 'closed')
      return html`<span>${turn.state === 'closing' ? t('keeping what changed…') : t('working…')}</span>`;
    if (turn.kind === 'start') return html`<span>${t('where the session began')}</span>`;
    return [...factsOf(turn), ...settled.map(answerFact)].map(
      (fact) => html`<span class=${fact.tone ?? ''} title=${fact.spoken ?? nothing}>${fact.text}</span>`,
    );
  }

  #fold(row: Extract<RailRow, { kind: 'fold' }>, later: boolean, index: number): TemplateResult {
    const first = row.turns[0];
    const last = row.turns.at(-1);
    const failures = row.turns.filter(failed).length;
    const titles = [...new Set(row.turns.map(titleText))].join(', ');
    return html`
      <div
        class="item fold ${row.aside ? 'aside' : ''}"
        role="treeitem"
        aria-level=${row.aside ? 2 : 1}
        aria-expanded=${row.expanded}
        aria-label=${t('Turns {0} to {1}, {2}, nothing to keep', first?.id ?? 0, last?.id ?? 0, titles)}
        tabindex=${this.active === row.key ? 0 : -1}
        @focus=${() => (this.active = row.key)}
        @click=${() => this.#pick(row)}
      >
        ${this.#gutter(index, later, row.aside, svg`${markShape('none', row.aside)}`)}
        <div class="body">
          <div class="title">
            <span class="number">${first?.id}–${last?.id}</span>
            <span class="clip mono" title=${titles}>${titles}</span>
            ${failures > 0 ? html`<span class="error small end">${t('{0} failed', failures)}</span>` : nothing}
          </div>
          <div class="facts small muted">
            <span>${t('nothing to keep')}</span
            ><span class="twist" aria-hidden="true">${row.expanded ? t('fold') : t('unfold')}</span>
          </div>
        </div>
      </div>
    `;
  }

  #aside(row: Extract<RailRow, { kind: 'aside' }>, later: boolean, index: number): TemplateResult {
    const words = row.turns.length === 1 ? t('1 turn set aside') : t('{0} turns set aside', row.turns.length);
    return html`
      <div
        class="item offshoot"
        role="treeitem"
        aria-level="1"
        aria-expanded=${row.expanded}
        aria-label=${t('{0} after turn {1}; select one to go back to it', words, row.from)}
        tabindex=${this.active === row.key ? 0 : -1}
        @focus=${() => (this.active = row.key)}
        @click=${() => this.#pick(row)}
      >
        ${this.#curve(index, later, 'aside')}
        <div class="body small">
          <strong>${words}</strong>
          <span class="muted">${row.expanded ? t('pick one to redo') : t('unfold to redo')}</span>
        </div>
      </div>
    `;
  }

  #branch(row: Extract<RailRow, { kind: 'branch' }>, later: boolean, index: number): TemplateResult {
    const { session } = row;
    // What it shares with its origin is not its own work.
    const own = session.turns.filter((turn) => turn.id > row.from).length;
    const words = own === 1 ? t('branch · 1 turn') : t('branch · {0} turns', own);
    const state =
      session.agent.status === 'finished'
        ? t('finished')
        : session.status === 'running'
          ? t('running')
          : session.status;
    return html`
      <div
        class="item offshoot branch"
        role="treeitem"
        aria-level="1"
        aria-label=${t('{0}, {1}, {2}; opens it', session.title, words, state)}
        tabindex=${this.active === row.key ? 0 : -1}
        @focus=${() => (this.active = row.key)}
        @click=${() => this.#pick(row)}
      >
        ${this.#curve(index, later, 'branch')}
        <div class="body small clip">
          <strong>${session.title}</strong> <span class="muted">${words} · ${state}</span>
        </div>
      </div>
    `;
  }

  #gutter(index: number, later: boolean, aside: boolean, mark: unknown): TemplateResult {
    const last = index === this.#rows.length - 1;
    return html`<div
      class="gutter ${later ? 'later' : ''} ${aside ? 'aside' : ''} ${index === 0 ? 'first' : ''} ${last ? 'last' : ''}"
      aria-hidden="true"
    >
      <svg class="shape" viewBox="0 0 18 18" width="18" height="18">${mark}</svg>
    </div>`;
  }

  #curve(index: number, later: boolean, kind: 'aside' | 'branch'): TemplateResult {
    return html`<div class="gutter ${later ? 'later' : ''} ${index === 0 ? 'first' : ''}" aria-hidden="true">
      <svg class="curve ${kind}" viewBox="0 0 44 40" width="44" height="40">
        <path d="M22 40 C22 28 38 30 39 17" />
        <circle cx="39.5" cy="14" r="3.5" />
      </svg>
    </div>`;
  }

  #pick(row: RailRow): void {
    this.active = row.key;
    switch (row.kind) {
      case 'turn':
        choose(this, { do: 'select', turn: row.turn.id === this.turn ? null : row.turn.id });
        break;
      case 'branch':
        choose(this, { do: 'session', sessionId: row.session.id });
        break;
      case 'fold':
      case 'aside':
        this.#toggle(row.key);
        break;
    }
  }

  #toggle(key: string): void {
    const toggled = new Set(this.toggled);
    if (!toggled.delete(key)) toggled.add(key);
    this.toggled = toggled;
  }

  #onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    // Keys inside an ask card are its own.
    if (event.composedPath().some((each) => each instanceof AskCard)) return;
    const at = this.#rows.findIndex((row) => row.key === this.active);
    const row = this.#rows[at];
    const go = (to: number): void => this.#moveTo(Math.min(this.#rows.length - 1, Math.max(0, to)));
    switch (event.key) {
      case 'ArrowDown':
        go(at + 1);
        break;
      case 'ArrowUp':
        go(at - 1);
        break;
      case 'Home':
        go(0);
        break;
      case 'End':
        go(this.#rows.length - 1);
        break;
      case 'ArrowRight':
      case 'ArrowLeft':
        if (row && 'expanded' in row && row.expanded !== (event.key === 'ArrowRight')) this.#toggle(row.key);
        break;
      case 'Enter':
      case ' ':
        this.#open(row);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #moveTo(index: number): void {
    const row = this.#rows[index];
    if (!row) return;
    this.active = row.key;
    this.#focusActive = true;
    if (row.kind === 'turn') choose(this, { do: 'select', turn: row.turn.id });
    this.requestUpdate();
  }

  /** Enter on a turn that asks goes to its Deny button; on another it previews. */
  #open(row: RailRow | undefined): void {
    if (!row) return;
    const ask = row.kind === 'turn' ? row.asks[0] : undefined;
    if (ask) {
      const card = this.renderRoot.querySelector(`[data-approval="${CSS.escape(ask.id)}"]`);
      if (card instanceof AskCard) card.focusDeny();
    } else if (row.kind === 'turn') {
      choose(this, { do: 'select', turn: row.turn.id });
    } else {
      this.#pick(row);
    }
  }
}

function asideOf(row: RailRow | undefined): boolean {
  return row !== undefined && 'aside' in row && row.aside;
}

function agentName(session: SessionState): string {
  return session.agent.name === 'none' ? t('A command') : session.agent.name;
}

function failureWords(turn: Turn): string {
  if (turn.conversation?.error !== undefined) return t('model error');
  if (turn.exitCode !== undefined && turn.exitCode !== 0) return t('exit {0}', turn.exitCode);
  return cautionOf(turn) === t('not restorable') ? t('failed, not restorable') : t('failed');
}

customElements.define('turntable-turn-rail', TurnRail);
