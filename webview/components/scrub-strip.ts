/**
 * The strip: the whole session left to right, a bar a turn. Drag, wheel or arrow keys preview a turn; nothing here
 * changes the session. A slider for a screen reader.
 */

import { css, html, LitElement, nothing, svg, type SVGTemplateResult, type TemplateResult } from 'lit';
import type { SessionState } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { formatBytes } from '../view-model/format.ts';
import { stripTurns } from '../view-model/rail.ts';
import { barAt, layoutBars, type Bar } from '../view-model/strip.ts';
import { spokenTurn } from '../view-model/turn-facts.ts';
import { choose } from './intents.ts';
import { theme } from './theme.ts';

const wide = 1000;
const high = 40;
/** How far a wheel turns before it is one step: one notch of a mouse, a small stroke on a pad. */
const wheelStep = 40;

export class ScrubStrip extends LitElement {
  static override properties = {
    session: { attribute: false },
    turn: { attribute: false },
    asking: { attribute: false },
  };
  declare session: SessionState;
  /** The previewed turn; null is now. */
  declare turn: number | null;
  /** Turns that wait for a person. */
  declare asking: ReadonlySet<number>;
  #wheel = 0;
  #dragging = false;

  static override styles = [
    theme,
    css`
      :host {
        display: block;
        padding: 2px 12px 8px;
      }
      .strip {
        cursor: pointer;
        outline-offset: 3px;
        padding-top: 6px;
        position: relative;
        touch-action: none;
      }
      svg {
        display: block;
        height: 40px;
        overflow: visible;
        width: 100%;
      }
      .bar {
        fill: var(--tt-none);
        opacity: 0.75;
      }
      .bar.files {
        fill: var(--tt-files);
        opacity: 1;
      }
      .bar.processes {
        fill: var(--tt-processes);
        opacity: 1;
      }
      .bar.full {
        fill: var(--tt-full);
        opacity: 1;
      }
      .bar.asking {
        fill: var(--tt-ask);
        opacity: 1;
      }
      .bar.later {
        opacity: 0.4;
      }
      .bar.aside {
        fill: none;
        stroke: var(--tt-muted);
        stroke-dasharray: 3 2;
        vector-effect: non-scaling-stroke;
      }
      .window {
        fill: none;
        stroke: var(--tt-text);
        stroke-width: 2;
        vector-effect: non-scaling-stroke;
      }
      .needle {
        stroke: var(--tt-text);
        stroke-width: 1.5;
        vector-effect: non-scaling-stroke;
      }
      .summary {
        margin-top: 3px;
      }
      .kept {
        white-space: nowrap;
      }
    `,
  ];

  override render(): TemplateResult {
    const bars = this.#bars();
    const at = bars.findIndex((bar) => bar.turn.id === this.turn);
    const shown = bars[at];
    const newest = bars.at(-1);
    const quiet = bars.filter((bar) => !bar.aside && bar.mark === 'none').length;
    const counted = bars.filter((bar) => !bar.aside && bar.mark !== 'start' && bar.mark !== 'open').length;
    return html`
      <div
        class="strip"
        role="slider"
        tabindex="0"
        aria-label=${t('Scrub through the turns: arrow keys preview, Escape returns to now')}
        aria-valuemin="0"
        aria-valuemax=${bars.length}
        aria-valuenow=${at < 0 ? bars.length : at}
        aria-valuetext=${shown ? spokenTurn(shown.turn, this.asking.has(shown.turn.id)) : t('Now, after turn {0}', newest?.turn.id ?? 0)}
        @keydown=${(event: KeyboardEvent) => this.#onKey(event)}
        @wheel=${(event: WheelEvent) => this.#onWheel(event)}
        @pointerdown=${(event: PointerEvent) => this.#onDown(event)}
        @pointermove=${(event: PointerEvent) => this.#onMove(event)}
        @pointerup=${() => (this.#dragging = false)}
        @pointercancel=${() => (this.#dragging = false)}
      >
        <svg viewBox="0 0 ${wide} ${high}" preserveAspectRatio="none" aria-hidden="true">
          ${bars.map((bar, index) => this.#bar(bar, at >= 0 && index > at))}
          ${shown ? needle(shown) : nothing}
        </svg>
      </div>
      <div class="row spread small muted summary">
        <span class="clip">${t('{0} of {1} needed no checkpoint', quiet, counted)}</span>
        <span class="kept">${t('{0} kept', formatBytes(this.session.bytesStored))}</span>
      </div>
    `;
  }

  #bars(): Bar[] {
    return layoutBars(stripTurns(this.session), this.asking);
  }

  #bar(bar: Bar, later: boolean): SVGTemplateResult {
    const gap = Math.min(6, (bar.width * wide) / 5);
    const height = bar.height * high;
    return svg`<rect class="bar ${bar.mark} ${later ? 'later' : ''} ${bar.aside ? 'aside' : ''}"
      x=${bar.left * wide + gap / 2} y=${high - height} width=${bar.width * wide - gap} height=${height} rx="1"
    ><title>${spokenTurn(bar.turn, this.asking.has(bar.turn.id))}</title></rect>`;
  }

  #onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    switch (event.key) {
      case 'ArrowLeft':
      case 'ArrowDown':
        choose(this, { do: 'step', by: -1 });
        break;
      case 'ArrowRight':
      case 'ArrowUp':
        choose(this, { do: 'step', by: 1 });
        break;
      case 'PageDown':
        choose(this, { do: 'step', by: -10 });
        break;
      case 'PageUp':
        choose(this, { do: 'step', by: 10 });
        break;
      case 'Home':
        choose(this, { do: 'first' });
        break;
      case 'End':
        choose(this, { do: 'select', turn: null });
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    this.#wheel += Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
    const steps = Math.trunc(this.#wheel / wheelStep);
    if (steps === 0) return;
    this.#wheel -= steps * wheelStep;
    choose(this, { do: 'step', by: -steps });
  }

  #onDown(event: PointerEvent): void {
    if (event.button !== 0 || !(event.currentTarget instanceof HTMLElement)) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.#dragging = true;
    this.#scrubTo(event);
  }

  #onMove(event: PointerEvent): void {
    if (this.#dragging) this.#scrubTo(event);
  }

  #scrubTo(event: PointerEvent): void {
    if (!(event.currentTarget instanceof HTMLElement)) return;
    const box = event.currentTarget.getBoundingClientRect();
    const bar = barAt(this.#bars(), (event.clientX - box.left) / Math.max(1, box.width));
    if (bar && bar.turn.id !== this.turn) choose(this, { do: 'select', turn: bar.turn.id });
  }
}

function needle(bar: Bar): SVGTemplateResult {
  const left = bar.left * wide;
  const middle = left + (bar.width * wide) / 2;
  return svg`<rect class="window" x=${left} y="-3" width=${bar.width * wide} height=${high + 6} rx="2"/>
    <line class="needle" x1=${middle} x2=${middle} y1="-3" y2=${high + 3}/>`;
}

customElements.define('turntable-scrub-strip', ScrubStrip);
