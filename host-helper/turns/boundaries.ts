/**
 * Decides which requests are turn boundaries. Knows histories and what became of them; knows no sockets, bytes or clocks of its own.
 *
 * - A side call (no tools, wants JSON, an errand) never is one.
 * - The same history sent again while, or after, the first was not answered is a retry: same turn, same number.
 * - A different history that arrives while another is still being answered is a sub-agent working beside the main loop: it belongs
 *   to the open turn. Unless it continues that very history: then the agent had its answer before the stream was over.
 * - Everything else is a boundary.
 */

import type { MainLoopRequest, WireFormat } from './model-endpoint.ts';
import { trailingResults, trailingUserText } from './wire/wire-message.ts';
import type { WireMessage, WireRequest } from './wire/wire-message.ts';

const userTextChars = 4_000;
const rememberedExchanges = 32;

/** One history that the agent asked about, over all its attempts. */
export interface Exchange {
  readonly request: MainLoopRequest;
  /** Settles when the turn before is safe; every attempt's reply waits for it. Never rejects. */
  readonly safe: Promise<void>;
  readonly history: string;
  /** One key a message, to see whether a later history continues this one. */
  readonly messages: readonly string[];
  attempts: number;
  answered: boolean;
  /** Whether `safe` has settled. */
  isSafe: boolean;
}

export type Arrival =
  | { readonly kind: 'side' }
  | { readonly kind: 'boundary' | 'resent'; readonly exchange: Exchange }
  | { readonly kind: 'parallel'; readonly safe: Promise<void> };

export class BoundaryTracker {
  readonly #onBoundary: (request: MainLoopRequest) => Promise<void>;
  #exchanges: Exchange[] = [];
  #number = 0;
  #seenResults = new Set<string>();

  /** `onBoundary` is called once for each boundary; its promise must not reject. */
  constructor(onBoundary: (request: MainLoopRequest) => Promise<void>) {
    this.#onBoundary = onBoundary;
  }

  get pending(): number {
    return this.#exchanges.filter((exchange) => exchange.attempts > 0).length;
  }

  arrive(format: WireFormat, wire: WireRequest): Arrival {
    if (wire.side) return { kind: 'side' };
    const again = this.#exchanges.findLast((exchange) => exchange.history === wire.history);
    if (again && !again.answered) {
      again.attempts += 1;
      return { kind: 'resent', exchange: again };
    }
    const messages = wire.messages.map(messageKey);
    const busy = this.#exchanges.findLast(
      (exchange) => exchange.attempts > 0 && !exchange.answered && !startsWith(messages, exchange.messages),
    );
    if (busy) return { kind: 'parallel', safe: busy.safe };

    const request = this.#describe(format, wire);
    const safe = this.#onBoundary(request);
    const exchange: Exchange = {
      request,
      history: wire.history,
      messages,
      safe,
      attempts: 1,
      answered: false,
      isSafe: false,
    };
    void safe.then(() => {
      exchange.isSafe = true;
    });
    this.#exchanges = [...this.#exchanges.slice(1 - rememberedExchanges), exchange];
    return { kind: 'boundary', exchange };
  }

  /** One attempt is over. `answered` once any attempt brought a whole reply. */
  settle(exchange: Exchange, answered: boolean): void {
    exchange.attempts = Math.max(0, exchange.attempts - 1);
    exchange.answered ||= answered;
  }

  reset(): void {
    this.#exchanges = [];
    this.#seenResults = new Set();
  }

  #describe(format: WireFormat, wire: WireRequest): MainLoopRequest {
    const results = trailingResults(wire.messages).filter(({ id }) => !this.#seenResults.has(id));
    this.#seenResults = new Set(wire.messages.flatMap((message) => message.results.map(({ id }) => id)));
    this.#number += 1;
    return {
      number: this.#number,
      format,
      model: wire.model,
      userText: trailingUserText(wire.messages)?.slice(0, userTextChars),
      toolResults: results,
      at: Date.now(),
    };
  }
}

function messageKey(message: WireMessage): string {
  const ids = [...message.calls, ...message.results].map(({ id }) => id).join(',');
  return `${message.role}:${ids}:${message.text.slice(0, 200)}`;
}

function startsWith(messages: readonly string[], start: readonly string[]): boolean {
  return messages.length > start.length && start.every((key, index) => messages[index] === key);
}
