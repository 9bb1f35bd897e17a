/** Every notification the helper sends: name and parameters. Direction: helper to client. */

import { z } from 'zod';
import { actionSchema } from './actions.ts';

export const notifications = {
  /** The next change of state. A client that sees a gap in `sequence` subscribes again. */
  'state/action': z.object({ sequence: z.number().int(), action: actionSchema }),
  /** Output of a session's terminal, only to clients attached to it. Base64. */
  'terminal/data': z.object({ sessionId: z.string(), data: z.string() }),
} as const;

export type NotificationName = keyof typeof notifications;
export type NotificationParams<Name extends NotificationName> = z.infer<(typeof notifications)[Name]>;

/** True for a name this version knows. */
export function isNotificationName(name: string): name is NotificationName {
  return Object.hasOwn(notifications, name);
}
