/**
 * The proxy that this host itself needs to reach the network, if it needs one: read from the helper's environment, and
 * chained through. It decides nothing about hosts.
 */

import { BlockList, connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TurntableError } from '../protocol/errors.ts';

export interface OuterProxy {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** A `Proxy-Authorization` header value. Never logged. */
  readonly authorization: string | undefined;
  /** Entries of NO_PROXY: hosts that are reached directly. */
  readonly except: readonly string[];
}

export interface OuterProxies {
  /** For CONNECT tunnels. */
  readonly https: OuterProxy | undefined;
  /** For plain HTTP. */
  readonly http: OuterProxy | undefined;
}

/** Reads HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, small letters first as curl does. Throws `unsupportedHost` for a URL that cannot be used. */
export function outerProxiesFrom(env: Readonly<Record<string, string | undefined>>): OuterProxies {
  const value = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  const except = (value('NO_PROXY') ?? '')
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((entry) => entry.toLowerCase());
  const parse = (name: string): OuterProxy | undefined => {
    const text = value(name) ?? value('ALL_PROXY');
    if (text === undefined) return undefined;
    let url: URL;
    try {
      url = new URL(text.includes('://') ? text : `http://${text}`);
    } catch (cause) {
      throw new TurntableError(
        'unsupportedHost',
        `${name} is not a URL. Set it to http://host:port and start the helper again.`,
        { cause },
      );
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TurntableError(
        'unsupportedHost',
        `${name} names a ${url.protocol} proxy; only http and https proxies can be used.`,
      );
    }
    const tls = url.protocol === 'https:';
    const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port) || (tls ? 443 : 80),
      tls,
      authorization: url.username === '' ? undefined : `Basic ${Buffer.from(user).toString('base64')}`,
      except,
    };
  };
  return { https: parse('HTTPS_PROXY'), http: parse('HTTP_PROXY') };
}

/** Whether NO_PROXY excepts this host: `*`, a name, `.domain`, `host:port`, an address or a network. */
export function isExcepted(proxy: OuterProxy, host: string, port: number): boolean {
  return proxy.except.some((entry) => {
    if (entry === '*') return true;
    const network = /^([0-9a-f.:]+)\/(\d+)$/.exec(entry);
    if (network?.[1] && network[2] && isIP(host) !== 0)
      return inNetwork(host, network[1], Number(network[2]));
    const [, name = entry, wanted] =
      /^\[?(.*?)\]?(?::(\d+))?$/.exec(isIP(entry) === 6 ? `[${entry}]` : entry) ?? [];
    if (wanted !== undefined && Number(wanted) !== port) return false;
    const bare = name.replace(/^\*?\./, '');
    return host === bare || host.endsWith(`.${bare}`);
  });
}

function inNetwork(host: string, network: string, prefix: number): boolean {
  const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
  if (isIP(network) !== isIP(host) || prefix > (family === 'ipv6' ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return list.check(host, family);
}

/** A connection to the proxy itself. */
export async function connectToProxy(proxy: OuterProxy, signal: AbortSignal): Promise<Socket> {
  const socket = proxy.tls
    ? connectTls({
        host: proxy.host,
        port: proxy.port,
        ...(isIP(proxy.host) === 0 ? { servername: proxy.host } : {}),
      })
    : connectTcp({ host: proxy.host, port: proxy.port });
  await opened(socket, proxy.tls ? 'secureConnect' : 'connect', signal);
  return socket;
}

/** Resolves when the socket is open; destroys it and rejects on failure or abort. */
export function opened(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: Error): void => {
      socket.off(event, ready);
      socket.off('error', end);
      signal.removeEventListener('abort', abort);
      if (error) {
        socket.on('error', () => undefined);
        socket.destroy();
        reject(error);
      } else resolve();
    };
    const ready = (): void => end();
    const abort = (): void => end(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    socket.once(event, ready);
    socket.once('error', end);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

const answerBytesLimit = 16 * 1024;

/** A tunnel to `host:port` through the proxy. Throws with the proxy's status when it refuses. */
export async function connectThroughProxy(
  proxy: OuterProxy,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = await connectToProxy(proxy, signal);
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`}\r\n`,
  );
  return new Promise((resolve, reject) => {
    let answer: Buffer = Buffer.alloc(0);
    const end = (error?: Error): void => {
      socket.off('data', read);
      socket.off('error', end);
      socket.off('close', gone);
      signal.removeEventListener('abort', gone);
      if (error) {
        socket.on('error', () => undefined);
        socket.destroy();
        reject(error);
      } else resolve(socket);
    };
    const gone = (): void => end(new Error('The outer proxy closed the connection.'));
    const read = (data: Buffer): void => {
      answer = Buffer.concat([answer, data]);
      const headEnd = answer.indexOf('\r\n\r\n');
      if (headEnd < 0) {
        if (answer.length > answerBytesLimit) end(new Error('The outer proxy answered with too much.'));
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer.toString('latin1', 0, headEnd))?.[1];
      if (status?.[0] !== '2') {
        end(new Error(`The outer proxy answered ${status ?? 'with something that is not HTTP'}.`));
        return;
      }
      socket.pause();
      const early = answer.subarray(headEnd + 4);
      if (early.length > 0) socket.unshift(early);
      end();
    };
    socket.on('data', read);
    socket.once('error', end);
    socket.once('close', gone);
    if (signal.aborted) gone();
    else signal.addEventListener('abort', gone, { once: true });
  });
}
