/**
 * Reads a copy of a reply on the side and makes a Conversation of it. Must never throw into the traffic, change it or slow it:
 * what it cannot read becomes the conversation's `error`.
 */

import { createParser } from 'eventsource-parser';
import type { IncomingHttpHeaders } from 'node:http';

import type { Conversation } from '../protocol/state.ts';
import type { ReplyReader } from './wire/wire-message.ts';

const maxBodyBytes = 16 * 1024 * 1024;
const maxEventChars = 8 * 1024 * 1024;
const maxErrorBodyChars = 4_000;

export class ReplyTap {
  readonly #reader: ReplyReader;
  readonly #status: number;
  readonly #streaming: boolean;
  readonly #expectedBytes: number | undefined;
  readonly #decoder = new TextDecoder();
  readonly #parser;
  #body = '';
  #bytes = 0;
  #fault: string | undefined;
  #stopped = false;
  #brokenOff = false;
  #final = false;

  constructor(reader: ReplyReader, status: number, headers: IncomingHttpHeaders) {
    this.#reader = reader;
    this.#status = status;
    this.#streaming = /^text\/event-stream/i.test(headers['content-type'] ?? '') && status < 400;
    const length = headers['content-length'];
    this.#expectedBytes = length === undefined ? undefined : Number(length);
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      this.#fault = `The reply came encoded (${encoding}) although it was asked for plain; it could not be read.`;
    }
    this.#parser = createParser({
      maxBufferSize: maxEventChars,
      onEvent: ({ data }) => this.#readEvent(data),
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') throw error;
      },
    });
  }

  /** True once the whole reply was seen, which may be before the connection ends. */
  get final(): boolean {
    return this.#final;
  }

  /** True when the model said all it wanted to say and reported no error. */
  get answered(): boolean {
    const told = (this.#final || this.#stopped) && !this.#brokenOff;
    return told && this.#status < 400 && this.conversation().error === undefined;
  }

  feed(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#final) return;
    if (this.#fault === undefined) this.#guard(() => this.#read(chunk));
    if (this.#expectedBytes !== undefined && this.#bytes >= this.#expectedBytes) this.end();
  }

  /** The upstream ended the reply in good order. */
  end(): void {
    if (this.#final) return;
    if (!this.#streaming && this.#fault === undefined && this.#status < 400) {
      this.#guard(() => this.#reader.body(this.#body));
      this.#final = true;
    } else if (this.#streaming && !this.#stopped) {
      this.#fault ??= 'The reply ended before it was complete.';
    }
    // Unread (encoded, too large) but ended in good order: the agent has its answer.
    this.#final = true;
  }

  /** The reply was cut: `reason` says by whom. Nothing is lost of what was read before. */
  cut(reason: string, by: 'agent' | 'provider'): void {
    if (!this.#final && !this.#stopped) this.#fault ??= reason;
    // An agent that hangs up after the last word has its answer; one whose connection broke there may well ask again.
    if (!this.#final && by === 'provider') this.#brokenOff = true;
    this.#final = true;
  }

  conversation(): Conversation {
    const conversation = this.#reader.conversation();
    if (this.#status >= 400) {
      const shown = errorMessage(this.#body) ?? '';
      return { ...conversation, error: `HTTP ${this.#status} ${shown}`.trim().slice(0, 500) };
    }
    return this.#fault === undefined || conversation.error !== undefined
      ? conversation
      : { ...conversation, error: this.#fault };
  }

  #read(chunk: Uint8Array): void {
    const text = this.#decoder.decode(chunk, { stream: true });
    if (this.#streaming) {
      this.#parser.feed(text);
      return;
    }
    if (this.#bytes > maxBodyBytes) throw new Error(`it is larger than ${maxBodyBytes} bytes`);
    this.#body += text;
  }

  #readEvent(data: string): void {
    if (this.#final) return;
    const progress = this.#reader.event(data);
    if (progress !== 'partial') this.#stopped = true;
    if (progress === 'final') this.#final = true;
  }

  #guard(read: () => void): void {
    try {
      read();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#fault = `The reply could not be read: ${why.slice(0, 300)}`;
      this.#body = '';
    }
  }
}

function errorMessage(body: string): string | undefined {
  const text = body.slice(0, maxErrorBodyChars);
  const found = /"message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text);
  return found?.[1] ?? (text.trim() === '' ? undefined : text.trim().replace(/\s+/g, ' '));
}
