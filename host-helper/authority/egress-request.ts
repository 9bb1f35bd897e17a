/**
 * Reads what a program in the sandbox asks the egress proxy for: targets, addresses and headers, strictly. Pure; the
 * text is hostile.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hopByHopHeaders } from '../hop-by-hop.ts';

export interface Target {
  /** Lower case, no brackets, no trailing dot: a name or an address. */
  readonly host: string;
  readonly port: number;
}

export interface HttpTarget extends Target {
  /** What belongs into the Host header. */
  readonly authority: string;
  /** Path and query. */
  readonly path: string;
  readonly absolute: string;
}

/** `host:port` or `[v6]:port`; undefined for anything else. */
export function parseTarget(text: string): Target | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const host = normaliseHost(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535 || (match[1] !== undefined && isIP(host) !== 6))
    return undefined;
  return { host, port };
}

/** `http://host[:port]/path`; undefined for anything else, also for one with a user name. */
export function parseAbsoluteUrl(text: string): HttpTarget | undefined {
  if (!/^http:\/\//i.test(text) || text.length > 32_768) return undefined;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return undefined;
  }
  if (url.protocol !== 'http:' || url.username !== '' || url.password !== '') return undefined;
  const host = normaliseHost(url.hostname.replace(/^\[|\]$/g, ''));
  if (host === undefined) return undefined;
  return {
    host,
    port: url.port === '' ? 80 : Number(url.port),
    authority: url.host,
    path: `${url.pathname}${url.search}`,
    absolute: `${url.origin}${url.pathname}${url.search}`,
  };
}

/** One spelling for one host, so that rules and grants cannot be walked around by another. */
function normaliseHost(text: string): string | undefined {
  const host = text.toLowerCase().replace(/\.$/, '');
  if (host === '' || host.length > 253) return undefined;
  if (isIP(host) === 6) return new URL(`http://[${host}]`).hostname.slice(1, -1);
  if (isIP(host) === 4) return host;
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)) return undefined;
  // `127.1`, `0x7f000001`, `2130706433`: the resolver takes these for addresses, so they are written as such here.
  if (/^(0x[0-9a-f]*|\d+)$/.test(host.slice(host.lastIndexOf('.') + 1))) {
    try {
      return new URL(`http://${host}`).hostname;
    } catch {
      return undefined;
    }
  }
  return host;
}

/** Also the ones that would tell of this hop. */
const hopByHop = new Set<string>([...hopByHopHeaders, 'forwarded', 'via']);

/** Headers that concern the next hop too; those that `Connection` names, and all about proxies, stay here (RFC 9110, 7.6.1). */
export function forwardableHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  const kept: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || hopByHop.has(name) || named.has(name) || name.startsWith('x-forwarded-'))
      continue;
    kept[name] = value;
  }
  return kept;
}
