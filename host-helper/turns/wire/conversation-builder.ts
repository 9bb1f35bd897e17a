/**
 * Builds a Conversation out of pieces as a stream brings them, within bounds. Knows no wire format.
 * Tool input is collected up to `collectedInputChars` so that a summary can be read from it, and shown up to `limits.toolInputChars`.
 */

import { limits } from '../../protocol/state.ts';
import type { Conversation } from '../../protocol/state.ts';
import { summarizeToolInput } from './tool-summary.ts';

const collectedInputChars = 256 * 1024;
const maxToolCalls = 64;

interface OpenCall {
  id: string;
  name: string;
  input: string;
}

export class ConversationBuilder {
  #text = '';
  readonly #calls = new Map<string, OpenCall>();
  #model: string | undefined;
  #inputTokens: number | undefined;
  #outputTokens: number | undefined;
  #error: string | undefined;

  addText(text: string | null | undefined): void {
    if (!text || this.#text.length >= limits.conversationChars) return;
    this.#text = (this.#text + text).slice(0, limits.conversationChars);
  }

  /** The call under `key` (an index or item id of the stream), made when new. Pieces of the id, the name and the input are given as they come. */
  addCall(
    key: string | number,
    piece: { id?: string | null; name?: string | null; input?: string | null },
  ): void {
    const known = this.#calls.get(String(key));
    if (known === undefined && this.#calls.size >= maxToolCalls) return;
    const call = known ?? { id: '', name: '', input: '' };
    if (known === undefined) this.#calls.set(String(key), call);
    if (piece.id) call.id = piece.id;
    if (piece.name) call.name = piece.name;
    if (piece.input && call.input.length < collectedInputChars) {
      call.input = (call.input + piece.input).slice(0, collectedInputChars);
    }
  }

  /** Replaces the input collected so far by the final one, which some streams repeat in full. */
  finishCall(key: string | number, input: string): void {
    const call = this.#calls.get(String(key));
    if (call) call.input = input.slice(0, collectedInputChars);
  }

  setModel(model: string | null | undefined): void {
    if (model) this.#model = model;
  }

  /** Usage numbers as they are known; later ones win. */
  setUsage(inputTokens: number | null | undefined, outputTokens: number | null | undefined): void {
    if (typeof inputTokens === 'number') this.#inputTokens = inputTokens;
    if (typeof outputTokens === 'number') this.#outputTokens = outputTokens;
  }

  /** The first error stays. */
  setError(error: string): void {
    this.#error ??= error.slice(0, 500);
  }

  build(): Conversation {
    return {
      text: this.#text,
      toolCalls: [...this.#calls.entries()].map(([key, call]) => ({
        id: call.id === '' ? `call-${key}` : call.id,
        name: call.name,
        summary: summarizeToolInput(call.name, call.input),
        input: call.input.slice(0, limits.toolInputChars),
      })),
      ...(this.#model === undefined ? {} : { model: this.#model }),
      ...(this.#inputTokens === undefined ? {} : { inputTokens: this.#inputTokens }),
      ...(this.#outputTokens === undefined ? {} : { outputTokens: this.#outputTokens }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }
}
