/**
 * One pool of connections to the providers, and one exchange on it: send what comes, wait for the head of the reply.
 * Knows nothing of turns.
 */

import http from 'node:http';
import https from 'node:https';

export interface UpstreamPool extends Disposable {
  open(url: URL, method: string, headers: http.OutgoingHttpHeaders): http.ClientRequest;
}

/** Keeps connections alive; goes through the host's HTTP(S)_PROXY where one is set, never for loopback. */
export function createUpstreamPool(): UpstreamPool {
  const direct = new http.Agent({ keepAlive: true });
  const proxied = new http.Agent({ keepAlive: true, proxyEnv: process.env });
  const secureDirect = new https.Agent({ keepAlive: true });
  const secureProxied = new https.Agent({ keepAlive: true, proxyEnv: process.env });
  return {
    open(url, method, headers) {
      const local = /^(localhost|127\.|\[::1\])/.test(url.hostname);
      return url.protocol === 'https:'
        ? https.request(url, { method, headers, agent: local ? secureDirect : secureProxied })
        : http.request(url, { method, headers, agent: local ? direct : proxied });
    },
    [Symbol.dispose]() {
      for (const agent of [direct, proxied, secureDirect, secureProxied]) agent.destroy();
    },
  };
}

/** Settles with the head of the reply; rejects when the connection fails or `timeoutMs` pass without one after the request was sent. */
export function replyHead(request: http.ClientRequest, timeoutMs: number): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const error = new UpstreamSilent(`no answer within ${Math.round(timeoutMs / 1000)} s`);
      reject(error);
      request.destroy(error);
    }, timeoutMs);
    request.on('response', (reply) => {
      clearTimeout(timer);
      resolve(reply);
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.on('close', () => {
      clearTimeout(timer);
      reject(new Error('the connection was closed'));
    });
  });
}

export class UpstreamSilent extends Error {
  override readonly name = 'UpstreamSilent';
}

/** True for the race in which a kept-alive connection was closed just as it was used again; such a request may be sent once more. */
export function isStaleConnection(request: http.ClientRequest, error: unknown): boolean {
  return request.reusedSocket && error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
}
