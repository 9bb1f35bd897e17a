/**
 * The strip above the rail: a bar a turn, its height what was kept, on a logarithmic scale so that a kilobyte
 * beside a megabyte is still seen. Pure geometry and words; the component draws it.
 */

import type { Turn } from '../../host-helper/protocol/state.ts';
import { markOf, type Mark } from './turn-facts.ts';

export interface Bar {
  turn: Turn;
  mark: Mark;
  aside: boolean;
  /** 0..1 of the strip's width. */
  left: number;
  width: number;
  /** 0..1 of the strip's height; never 0, so that every turn can be seen and hit. */
  height: number;
}

const leastHeight = 0.1;

/** Bars for turns, left to right. `asking` are the turns that wait for a person. */
export function layoutBars(turns: { turn: Turn; aside: boolean }[], asking: ReadonlySet<number>): Bar[] {
  const most = Math.max(1, ...turns.map(({ turn }) => keptBytes(turn)));
  const width = 1 / Math.max(1, turns.length);
  return turns.map(({ turn, aside }, index) => ({
    turn,
    mark: markOf(turn, asking.has(turn.id)),
    aside,
    left: index * width,
    width,
    height: barHeight(keptBytes(turn), most),
  }));
}

/** The bar under a position (0..1 from the left); the nearest when it is outside. */
export function barAt(bars: Bar[], position: number): Bar | undefined {
  const index = Math.floor(position * bars.length);
  return bars[Math.min(bars.length - 1, Math.max(0, index))];
}

/** Bytes that a turn's checkpoint added. */
export function keptBytes(turn: Turn): number {
  return turn.checkpoint && !turn.checkpoint.reused ? turn.checkpoint.bytesStored : 0;
}

function barHeight(bytes: number, most: number): number {
  if (bytes <= 0) return leastHeight;
  // From 256 bytes up: below that everything looks alike anyway.
  const floor = 8;
  const scaled =
    Math.max(0, Math.log2(Math.max(bytes, 1)) - floor) / Math.max(1, Math.log2(Math.max(most, 2)) - floor);
  return leastHeight * 2 + (1 - leastHeight * 2) * Math.min(1, scaled);
}
