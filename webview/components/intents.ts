/** How components say what the person wants: one bubbling event for what the extension does, others for the app itself. */

import type { Intent } from '../messages.ts';

/** Bubbles an intent up to the app, which posts it to the extension. */
export function send(from: EventTarget, intent: Intent): void {
  from.dispatchEvent(
    new CustomEvent<Intent>('turntable-intent', { detail: intent, bubbles: true, composed: true }),
  );
}

/** What the app itself does: preview a turn, step, show another session. */
export type Choice =
  | { do: 'select'; turn: number | null }
  | { do: 'step'; by: number }
  | { do: 'first' }
  | { do: 'session'; sessionId: string };

/** Bubbles a choice up to the app. */
export function choose(from: EventTarget, choice: Choice): void {
  from.dispatchEvent(
    new CustomEvent<Choice>('turntable-choice', { detail: choice, bubbles: true, composed: true }),
  );
}
