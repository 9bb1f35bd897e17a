/** Colours by meaning, and text made safe for a terminal. Knows no protocol. */

import { styleText } from 'node:util';

export type Style = Record<
  'strong' | 'faint' | 'good' | 'bad' | 'warn' | 'accent' | 'process',
  (text: string) => string
>;

/** Colours only where `stream` is a terminal; honours NO_COLOR, NODE_DISABLE_COLORS and FORCE_COLOR. */
export function createStyle(stream: NodeJS.WriteStream): Style {
  const paint = (format: Parameters<typeof styleText>[0]) => (text: string) =>
    styleText(format, text, { stream });
  return {
    strong: paint('bold'),
    faint: paint('dim'),
    good: paint('green'),
    bad: paint('red'),
    warn: paint('yellow'),
    accent: paint('cyan'),
    process: paint('magenta'),
  };
}

/** Control characters, line and paragraph separators, and everything that sets a direction. */
const harmful = /\p{Cc}|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/**
 * Text that an agent wrote, made harmless: control characters could move the cursor and bidirectional marks could turn
 * words around, so that a person approves something else than what they read. They are shown as escapes.
 */
export function printable(text: string, options: { lines?: boolean } = {}): string {
  return text.replace(harmful, (character) => {
    if (options.lines && (character === '\n' || character === '\t')) return character;
    if (character === '\n') return '⏎';
    if (character === '\t') return ' ';
    return '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0');
  });
}
