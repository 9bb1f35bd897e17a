/**
 * The common shape into which every wire format is read: enough to see turns, never enough to rebuild a request.
 * It must not know any one provider. Traffic itself is never built from these values.
 */

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import type { Conversation } from '../../protocol/state.ts';
import type { WireFormat } from '../model-endpoint.ts';

export interface WireToolResult {
  readonly id: string;
  readonly text: string;
  readonly failed: boolean;
}

/** One message of a request's history. Formats that spread one message over several items give several. */
export interface WireMessage {
  readonly role: 'user' | 'assistant' | 'tool';
  /** Text of the message; empty when it holds only calls or results. */
  readonly text: string;
  readonly calls: readonly { readonly id: string; readonly name: string }[];
  readonly results: readonly WireToolResult[];
}

/** A tool that the agent offers to the model. `schema` is its JSON schema as sent, unparsed. */
export interface WireTool {
  readonly name: string;
  readonly schema: unknown;
  /** True for a tool whose input is free text, not JSON. */
  readonly freeform: boolean;
}

export interface WireRequest {
  readonly model: string | undefined;
  readonly streaming: boolean;
  readonly messages: readonly WireMessage[];
  readonly tools: readonly WireTool[];
  /** True when the request is one of the agent's own errands: it offers no tools, wants JSON, or says so. */
  readonly side: boolean;
  /** Digest of the messages without cache marks: equal for the same request sent again. */
  readonly history: string;
}

/**
 * How far a reply has come: `final` when the format's last event was seen, `enough` when the model has said why it stopped
 * but more (usage) may follow, `partial` before.
 */
export type ReplyProgress = 'partial' | 'enough' | 'final';

/** Collects one reply. `event` takes the data of one server-sent event, `body` a whole JSON reply. Both throw on what they cannot read. */
export interface ReplyReader {
  event(data: string): ReplyProgress;
  body(text: string): void;
  conversation(): Conversation;
}

export interface WireReader {
  readonly format: WireFormat;
  /** Reads a request that may be of the main loop; undefined for other paths (model list, token count). Throws when the body is not of this format. */
  readRequest(path: string, headers: IncomingHttpHeaders, body: unknown): WireRequest | undefined;
  createReplyReader(request: WireRequest): ReplyReader;
}

/** Digest of a history, blind to cache marks, which agents move from message to message. */
export function historyDigest(messages: unknown): string {
  const text = JSON.stringify(messages, (key, value: unknown) =>
    key === 'cache_control' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/**
 * Neighbouring results by their ids. Agents that run calls side by side tell the results in the order in which they came, which may
 * be another one when they ask again. `idOf` gives undefined for what is no result, or has no id to go by.
 */
export function resultsInOrder<Item>(
  items: readonly Item[],
  idOf: (item: Item) => string | null | undefined,
): Item[] {
  const ordered: Item[] = [];
  let run: { readonly id: string; readonly item: Item }[] = [];
  const endRun = (): void => {
    ordered.push(...run.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).map(({ item }) => item));
    run = [];
  };
  for (const item of items) {
    const id = idOf(item);
    if (id == null) {
      endRun();
      ordered.push(item);
    } else run.push({ id, item });
  }
  endRun();
  return ordered;
}

/** All tool calls in a history, in order. */
export function callsOf(messages: readonly WireMessage[]): readonly { id: string; name: string }[] {
  return messages.flatMap((message) => message.calls);
}

/** The results after the last assistant message: what the agent did since the model last spoke. */
export function trailingResults(messages: readonly WireMessage[]): readonly WireToolResult[] {
  const results: WireToolResult[] = [];
  for (const message of messages) {
    if (message.role === 'assistant') results.length = 0;
    else results.push(...message.results);
  }
  return results;
}

/** The last user message's text when the request ends with one in which a person said something. */
export function trailingUserText(messages: readonly WireMessage[]): string | undefined {
  const last = messages.at(-1);
  const said = last?.role === 'user' ? spokenText(last.text) : '';
  return said === '' ? undefined : said;
}

/** A user message without the blocks that agents put before what the person typed. */
export function spokenText(text: string): string {
  return text
    .replace(/<(system-reminder|session_context|environment_context|user_instructions)>[\s\S]*?<\/\1>/g, '')
    .trim();
}
