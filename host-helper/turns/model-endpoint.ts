/**
 * What the session layer knows of a sandbox's model endpoint: it is told of boundaries and replies, and may hold a reply back.
 * Implemented by model-proxy.ts; wire formats live in turns/wire/.
 */

import type { Conversation } from '../protocol/state.ts';

export type WireFormat = 'openai-chat' | 'openai-responses' | 'anthropic-messages' | 'gemini';

export interface MainLoopRequest {
  /** Rising number within this endpoint. */
  readonly number: number;
  readonly format: WireFormat;
  readonly model: string | undefined;
  /** The last user message's text, when the request ends with one (bounded). */
  readonly userText: string | undefined;
  /** Results of tool calls that this request carries and the one before did not: id and the first characters. */
  readonly toolResults: readonly { readonly id: string; readonly text: string; readonly failed: boolean }[];
  readonly at: number;
}

export interface Upstream {
  /** Base URL for each wire format (for example https://api.anthropic.com); a format without one answers 501 naming the setting. */
  readonly baseUrls: Partial<Readonly<Record<WireFormat, string>>>;
  /** Headers set on every request, whatever its format. */
  readonly headers: Readonly<Record<string, string>>;
  /** Credential headers of one format only (`authorization`, `x-api-key`, `x-goog-api-key`): they never enter the sandbox and never reach another provider. */
  readonly credentials?: Partial<Readonly<Record<WireFormat, Readonly<Record<string, string>>>>>;
}

export interface ModelEndpointHooks {
  /** A main-loop request arrived and was already sent upstream: the turn before it is over. The first byte of the reply waits for the returned promise, at most `holdCapMs`. */
  readonly onBoundary: (request: MainLoopRequest) => Promise<void>;
  /** The reply is there and begins to wait for the boundary's promise: from now on every millisecond is felt. */
  readonly onWaiting?: (request: MainLoopRequest) => void;
  /**
   * The reply's conversation so far, at the end of the reply (also when it failed). `toolCalls` empty means that the agent will likely stop.
   * Comes after the promise of `onBoundary` has settled, and before the agent can see the end of a whole reply (unless the cap let it pass).
   * A request that the agent sends again reports under the same number: the later conversation replaces the earlier one.
   */
  readonly onReply: (request: MainLoopRequest, conversation: Conversation) => void;
  /** How long the first byte was really held back (0 mostly); `capped` when the cap ended the wait. Not called when the agent or the upstream went away first; called again for a reply to a request sent again. */
  readonly onReleased: (request: MainLoopRequest, heldMs: number, capped: boolean) => void;
}

export interface ModelEndpoint extends AsyncDisposable {
  readonly socketPath: string;
  /** Requests now being answered (main loop only). */
  readonly pending: number;
  /** Forgets what was asked before; called when the session goes back to another turn and keeps this endpoint. Numbers go on rising. */
  reset(): void;
  close(): Promise<void>;
}
