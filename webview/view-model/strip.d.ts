/**
 * The strip above the rail: a bar a turn, its height what was kept, on a logarithmic scale so that a kilobyte
 * beside a megabyte is still seen. Pure geometry and words; the component draws it.
 */
import type { Turn } from '../../host-helper/protocol/state.ts';
import { type Mark } from './turn-facts.ts';
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
/** Bars for turns, left to right. `asking` are the turns that wait for a person. */
export declare function layoutBars(turns: {
    turn: Turn;
    aside: boolean;
}[], asking: ReadonlySet<number>): Bar[];
/** The bar under a position (0..1 from the left); the nearest when it is outside. */
export declare function barAt(bars: Bar[], position: number): Bar | undefined;
/** Bytes that a turn's checkpoint added. */
export declare function keptBytes(turn: Turn): number;
