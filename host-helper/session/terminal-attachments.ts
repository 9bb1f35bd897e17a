/** Which client watches which session's terminal; a client that goes away stops watching. */

import type { RequestContext } from '../server/handlers.ts';
import type { TerminalFeed } from './terminal.ts';

export class TerminalAttachments {
  readonly #watches = new Map<string, () => void>();

  attach(context: RequestContext, sessionId: string, terminal: TerminalFeed): void {
    this.detach(context.clientId, sessionId);
    const unwatch = terminal.watch((data) =>
      context.notify('terminal/data', { sessionId, data: Buffer.from(data).toString('base64') }),
    );
    this.#watches.set(keyOf(context.clientId, sessionId), unwatch);
    context.clientClosed.addEventListener('abort', () => this.detach(context.clientId, sessionId), {
      once: true,
    });
  }

  detach(clientId: string, sessionId: string): void {
    const key = keyOf(clientId, sessionId);
    this.#watches.get(key)?.();
    this.#watches.delete(key);
  }
}

function keyOf(clientId: string, sessionId: string): string {
  return `${clientId} ${sessionId}`;
}
