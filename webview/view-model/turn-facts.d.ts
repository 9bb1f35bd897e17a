/**
 * What a turn's card says: what it did, what lives on, what it cost. Pure functions from a turn to words;
 * no meaning is left to colour: every fact has its own words for a screen reader.
 */
import type { EffectClass, Survivor, Turn } from '../../host-helper/protocol/state.ts';
/** A piece of the card's second line. `spoken` replaces `text` for a screen reader where signs would be read oddly. */
export interface Fact {
    text: string;
    spoken?: string;
    tone?: 'added' | 'removed' | 'caution' | 'plain';
}
/** A turn's title: words, then what is code (a command, a path). */
export interface TurnTitle {
    words: string;
    code: string;
}
/** The shape on the rail. `asking` and `open` are states of a turn that has no class yet. */
export type Mark = EffectClass | 'asking' | 'open' | 'start';
/** The mark of a turn; `asking` when something in it waits for a person. */
export declare function markOf(turn: Turn, asking: boolean): Mark;
/** What a class means, in a word or two. */
export declare function className(effectClass: EffectClass): string;
/** The title of a turn. */
export declare function titleOf(turn: Turn): TurnTitle;
/** The title as one string. */
export declare function titleText(turn: Turn): string;
/** True when the command of the turn failed, something in it failed, or the model did. */
export declare function failed(turn: Turn): boolean;
/** `node :5173`, or the command when it listens nowhere. */
export declare function survivorName(survivor: Survivor): string;
/** The second line of a closed turn's card. */
export declare function factsOf(turn: Turn): Fact[];
/** `1.1 MB · 210 ms hidden`, `3 KB · held 12 ms`; empty for a turn that stored nothing. */
export declare function costOf(turn: Turn): string;
/** What the person should know before relying on this turn, or undefined. */
export declare function cautionOf(turn: Turn): string | undefined;
/** True when a rewind or a branch may start from this turn. */
export declare function restorable(turn: Turn): boolean;
/** One sentence for a screen reader: number, title, facts, failure. */
export declare function spokenTurn(turn: Turn, asking: boolean): string;
