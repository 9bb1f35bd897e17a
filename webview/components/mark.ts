/**
 * The mark of a turn on the rail: its shape says the effect class (ring, half, disc, disc in a ring), colour only
 * repeats it. Drawn as SVG with presentation attributes, because the page's policy allows no inline styles.
 */

import { css, svg, type SVGTemplateResult } from 'lit';
import type { Mark } from '../view-model/turn-facts.ts';

/** An 18 × 18 drawing; the caller puts it in an `svg` of that view box. */
export function markShape(mark: Mark, aside: boolean): SVGTemplateResult {
  const classes = `mark ${mark}${aside ? ' aside' : ''}`;
  switch (mark) {
    case 'start':
      return svg`<g class=${classes}><circle class="ground" cx="9" cy="9" r="6"/><circle class="dot" cx="9" cy="9" r="3.5"/></g>`;
    case 'none':
      return svg`<g class=${classes}><circle class="ring" cx="9" cy="9" r="6.2"/></g>`;
    case 'open':
      return svg`<g class=${classes}><circle class="ring" cx="9" cy="9" r="6.2" stroke-dasharray="3 2.6"/><circle class="dot" cx="9" cy="9" r="2.4"/></g>`;
    case 'files':
      return svg`<g class=${classes}><circle class="ring" cx="9" cy="9" r="6.2"/><path class="fill" d="M9 2.8 A6.2 6.2 0 0 0 9 15.2 Z"/></g>`;
    case 'processes':
      return svg`<g class=${classes}><circle class="ring fill" cx="9" cy="9" r="6.2"/></g>`;
    case 'full':
      return svg`<g class=${classes}><circle class="ring" cx="9" cy="9" r="7.2"/><circle class="fill" cx="9" cy="9" r="4.8"/></g>`;
    case 'asking':
      return svg`<g class=${classes}><circle class="ring fill" cx="9" cy="9" r="6.8"/><path class="sign" d="M9 5.2v4.6M9 12v.9"/></g>`;
  }
}

/** The colours and strokes of the shapes. */
export const markStyles = css`
  .mark {
    --tt-mark: var(--tt-none);
  }
  .mark.files {
    --tt-mark: var(--tt-files);
  }
  .mark.processes {
    --tt-mark: var(--tt-processes);
  }
  .mark.full {
    --tt-mark: var(--tt-full);
  }
  .mark.asking {
    --tt-mark: var(--tt-ask);
  }
  .mark .ring {
    fill: var(--tt-ground);
    stroke: var(--tt-mark);
    stroke-width: 1.8;
  }
  .mark .ground {
    fill: var(--tt-ground);
  }
  .mark .fill,
  .mark .dot {
    fill: var(--tt-mark);
  }
  .mark .sign {
    fill: none;
    stroke: var(--tt-ground);
    stroke-linecap: round;
    stroke-width: 1.8;
  }
  .mark.aside .ring:not(.fill) {
    stroke-dasharray: 2.5 2;
  }
  .mark.open .dot {
    animation: breathe 1.6s ease-in-out infinite;
  }
  @keyframes breathe {
    50% {
      opacity: 0.25;
    }
  }
`;
