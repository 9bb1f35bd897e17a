/**
 * The seam between the server and the parts that do the work: one function per method of the protocol. Owns only
 * types. A method added to protocol/methods.ts does not compile until somebody handles it.
 */

import type { MethodName, ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { NotificationName, NotificationParams } from '../protocol/notifications.ts';

/** Methods that the server answers itself. */
export type ServerOwnedMethod = 'hello' | 'subscribe' | 'request/cancel';
export type HandledMethod = Exclude<MethodName, ServerOwnedMethod>;

/** What a handler may know of the client that asks. */
export interface RequestContext {
  /** Unique for the life of the server; the same for all requests of one connection. */
  readonly clientId: string;
  /** What the client called itself in `hello`: for display, not for trust. */
  readonly clientName: string;
  /** Fires when the client cancels this request or disappears during it. The handler decides what that means. */
  readonly signal: AbortSignal;
  /** Fires when the client is gone, also long after this request: release what it attached to. */
  readonly clientClosed: AbortSignal;
  /** Sends a notification to this client alone. Does nothing once it is gone. */
  notify<Name extends NotificationName>(name: Name, params: NotificationParams<Name>): void;
}

export type Handler<Name extends HandledMethod> = (
  params: ParamsOf<Name>,
  context: RequestContext,
) => Promise<ResultOf<Name>>;

/** Errors meant for the client are TurntableErrors; anything else reaches it as `internal` without its text. */
export type Handlers = { readonly [Name in HandledMethod]: Handler<Name> };
