/**
 * How a request of the sandbox becomes one to the provider: where it goes and which headers it carries. Opens no connection.
 * Credentials are added here, outside the sandbox; what the agent sent as a key is a placeholder.
 */

import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';

import type { Upstream, WireFormat } from './model-endpoint.ts';
import { hopByHopHeaders } from '../hop-by-hop.ts';

/** The key that agents in a sandbox are given. Never a secret. */
export const placeholderKey = 'turntable-placeholder';

const credentialHeaders = ['authorization', 'x-api-key', 'x-goog-api-key', 'api-key'];

/** Also `expect`, which was answered already. */
const hopByHop = new Set<string>([...hopByHopHeaders, 'expect']);

/** Joins the base URL and the request's path. A base that already ends in the path's version (`…/v1`) is not doubled. */
export function upstreamUrl(baseUrl: string, path: string, query: string, ownKeys: boolean): URL {
  const url = new URL(baseUrl);
  const base = url.pathname.replace(/\/+$/, '');
  const version = /\/v1(?:alpha|beta)?$/.exec(base)?.[0];
  url.pathname =
    version !== undefined && path.startsWith(`${version}/`) ? base + path.slice(version.length) : base + path;
  url.search = query.replace(/([?&])key=([^&]*)(&|$)/, (all, start: string, key: string, end: string) =>
    ownKeys || key === placeholderKey ? (end === '' ? '' : start) : all,
  );
  return url;
}

/** True when the helper holds credentials for this format, so that the agent's own are dropped. */
export function hasCredentials(upstream: Upstream, format: WireFormat): boolean {
  const names = Object.keys({ ...upstream.headers, ...upstream.credentials?.[format] });
  return names.some((name) => credentialHeaders.includes(name.toLowerCase()));
}

/** The agent's headers without those of its connection and its placeholder keys, with the helper's own set over them. */
export function upstreamHeaders(
  request: IncomingMessage,
  upstream: Upstream,
  format: WireFormat,
): OutgoingHttpHeaders {
  const own = hasCredentials(upstream, format);
  const named = connectionTokens(request.headers.connection);
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || name === 'host' || hopByHop.has(name) || named.has(name)) continue;
    if (credentialHeaders.includes(name) && (own || String(value).includes(placeholderKey))) continue;
    headers[name] = value;
  }
  // Plain, so that the conversation can be read from a copy without undoing a compression.
  headers['accept-encoding'] = 'identity';
  for (const [name, value] of Object.entries({ ...upstream.headers, ...upstream.credentials?.[format] })) {
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

/** A reply's headers as raw pairs, without those of the upstream connection. */
export function replyHeaders(reply: IncomingMessage): string[] {
  const named = connectionTokens(reply.headers.connection);
  const pairs: string[] = [];
  for (let index = 0; index + 1 < reply.rawHeaders.length; index += 2) {
    const name = reply.rawHeaders[index] ?? '';
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && !named.has(lower)) pairs.push(name, reply.rawHeaders[index + 1] ?? '');
  }
  return pairs;
}

function connectionTokens(header: string | undefined): ReadonlySet<string> {
  return new Set((header ?? '').split(',').map((token) => token.trim().toLowerCase()));
}
