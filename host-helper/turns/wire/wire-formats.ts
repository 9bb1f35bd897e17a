/**
 * Which wire format a request speaks, and the error shape each format's clients understand.
 */

import type { IncomingHttpHeaders } from 'node:http';

import type { WireFormat } from '../model-endpoint.ts';
import { anthropicMessages } from './anthropic-messages.ts';
import { gemini } from './gemini.ts';
import { openaiChat } from './openai-chat.ts';
import { openaiResponses } from './openai-responses.ts';
import type { WireReader } from './wire-message.ts';

export const wireReaders: Readonly<Record<WireFormat, WireReader>> = {
  'openai-chat': openaiChat,
  'openai-responses': openaiResponses,
  'anthropic-messages': anthropicMessages,
  gemini,
};

/** The format of a request by its path, then by the headers its client sends; `fallback` for paths that several share (model lists). */
export function formatOf(path: string, headers: IncomingHttpHeaders, fallback: WireFormat): WireFormat {
  if (/\/chat\/completions$/.test(path)) return 'openai-chat';
  if (/\/responses(\/|$)/.test(path)) return 'openai-responses';
  if (/\/messages(\/|$)/.test(path) || headers['anthropic-version'] !== undefined)
    return 'anthropic-messages';
  if (/^\/v1(alpha|beta)/.test(path) || headers['x-goog-api-key'] !== undefined) return 'gemini';
  return fallback;
}

/** A JSON error body as clients of that format expect it. */
export function errorBody(format: WireFormat, status: number, message: string): string {
  switch (format) {
    case 'anthropic-messages':
      return JSON.stringify({ type: 'error', error: { type: 'api_error', message } });
    case 'gemini':
      return JSON.stringify({ error: { code: status, message, status: 'UNAVAILABLE' } });
    default:
      return JSON.stringify({
        error: { message, type: 'server_error', param: null, code: 'turntable_upstream' },
      });
  }
}
