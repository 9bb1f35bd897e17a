/**
 * Draws the main figures as one SVG, without any library: small panels, each with its own scale and its aims as marks. Owns shapes
 * and colours; which figures there are comes from the result. A panel whose figures were not measured is left out.
 */

import { panels, type Bar, type ChartData, type Panel } from './chart-panels.ts';

export type Theme = 'light' | 'dark';

interface Colours {
  readonly ground: string;
  readonly text: string;
  readonly faint: string;
  readonly track: string;
  readonly ours: string;
  readonly peer: string;
  readonly aim: string;
}

const colours: Readonly<Record<Theme, Colours>> = {
  light: {
    ...{ ground: '#ffffff', text: '#1f2328', faint: '#59636e', track: '#eff1f4' },
    ...{ ours: '#0a66c2', peer: '#9aa4b1', aim: '#bc4c00' },
  },
  dark: {
    ...{ ground: '#0d1117', text: '#e6edf3', faint: '#9198a1', track: '#1b212a' },
    ...{ ours: '#4aa3ff', peer: '#6e7885', aim: '#f0883e' },
  },
};

const widthPx = 880;
const marginPx = 24;
const gutterPx = 32;
const columnPx = (widthPx - 2 * marginPx - gutterPx) / 2;
const titlePx = 44;
const rowPx = 22;
const barPx = 12;
const labelPx = 128;
const valuePx = 92;
const panelGapPx = 22;

/** The whole picture as text of an SVG file. */
export function drawChart(data: ChartData, theme: Theme): string {
  const colour = colours[theme];
  const shown = panels(data);
  const heights: [number, number] = [marginPx, marginPx];
  const drawn = shown.map((panel) => {
    const column = heights[0] <= heights[1] ? 0 : 1;
    const x = marginPx + column * (columnPx + gutterPx);
    const y = heights[column];
    heights[column] += titlePx + panel.bars.length * rowPx + panelGapPx;
    return drawPanel(panel, x, y, colour);
  });
  const heightPx = Math.max(...heights) + marginPx - panelGapPx;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}" role="img" aria-labelledby="title description" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif">`,
    '<title id="title">What Turntable costs, and what comes back</title>',
    `<desc id="description">${escape(shown.map(describe).join(' '))}</desc>`,
    `<rect width="${widthPx}" height="${heightPx}" rx="10" fill="${colour.ground}"/>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function drawPanel(panel: Panel, x: number, y: number, colour: Colours): string {
  const place = scaleOf(panel);
  const left = x + labelPx;
  const lines = [
    text(x, y + 14, panel.title, `font-size="14" font-weight="600" fill="${colour.text}"`),
    text(x, y + 31, panel.subtitle, `font-size="11" fill="${colour.faint}"`),
    ...panel.bars.map((bar, index) => drawBar(bar, left, y + titlePx + index * rowPx, place, colour)),
  ];
  return `<g>\n${lines.join('\n')}\n</g>`;
}

function drawBar(
  bar: Bar,
  left: number,
  y: number,
  place: (value: number) => number,
  colour: Colours,
): string {
  const full = columnPx - labelPx - valuePx;
  const length = round(Math.max(1.5, place(bar.value)));
  const top = y + (rowPx - barPx) / 2 - 2;
  const base = top + barPx - 2;
  return [
    text(left - 8, base, bar.label, `font-size="12" text-anchor="end" fill="${colour.text}"`),
    `<rect x="${left}" y="${top}" width="${full}" height="${barPx}" rx="2" fill="${colour.track}"/>`,
    `<rect x="${left}" y="${top}" width="${length}" height="${barPx}" rx="2" fill="${bar.ours ? colour.ours : colour.peer}"/>`,
    text(left + full + 8, base, bar.shown, `font-size="12" fill="${colour.text}"`),
    ...(bar.aim === undefined ? [] : [aimMark(round(left + place(bar.aim)), top, colour)]),
  ].join('\n');
}

function aimMark(x: number, top: number, colour: Colours): string {
  return `<line x1="${x}" x2="${x}" y1="${top - 3}" y2="${top + barPx + 3}" stroke="${colour.aim}" stroke-width="2"/>`;
}

/** From a value to the length of its bar. On a logarithmic scale the bars begin a tenth below the smallest value. */
function scaleOf(panel: Panel): (value: number) => number {
  const full = columnPx - labelPx - valuePx;
  const values = panel.bars.flatMap((bar) => [bar.value, ...(bar.aim === undefined ? [] : [bar.aim])]);
  const most = panel.most ?? Math.max(...values) * 1.02;
  if (panel.scale === 'linear') return (value) => (full * Math.min(Math.max(value, 0), most)) / most;
  const least = Math.min(...values) / 10;
  return (value) => (full * Math.log(Math.max(value, least) / least)) / Math.log(most / least);
}

function describe(panel: Panel): string {
  const bars = panel.bars.map((bar) => `${bar.label}: ${bar.shown}`).join(', ');
  return `${panel.title}, ${panel.subtitle}: ${bars}.`;
}

function text(x: number, y: number, words: string, attributes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escape(words)}</text>`;
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
