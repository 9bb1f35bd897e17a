/**
 * JSON-RPC 2.0 frames as they cross the socket: one JSON text per WebSocket message, no batches.
 * Parses only the envelope; methods.ts and notifications.ts parse what is inside.
 */

import { z } from 'zod';
import { TurntableError } from './errors.ts';

export const requestFrameSchema = z.object({
  jsonrpc: z.literal('2.0'),
  id: z.union([z.number().int(), z.string().max(100)]),
  method: z.string().max(100),
  params: z.unknown().optional(),
});
export type RequestFrame = z.infer<typeof requestFrameSchema>;

export const notificationFrameSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  method: z.string().max(100),
  params: z.unknown().optional(),
});
export type NotificationFrame = z.infer<typeof notificationFrameSchema>;

export const responseFrameSchema = z.union([
  z.strictObject({ jsonrpc: z.literal('2.0'), id: z.union([z.number(), z.string()]), result: z.unknown() }),
  z.strictObject({
    jsonrpc: z.literal('2.0'),
    id: z.union([z.number(), z.string(), z.null()]),
    error: z.object({
      code: z.number().int(),
      message: z.string(),
      data: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
]);
export type ResponseFrame = z.infer<typeof responseFrameSchema>;

/** Parses a client's frame; throws `parseError` or `invalidRequest`. */
export function parseRequestFrame(text: string): RequestFrame {
  const frame = requestFrameSchema.safeParse(parseJson(text));
  if (!frame.success) {
    throw new TurntableError('invalidRequest', `Not a JSON-RPC 2.0 request: ${z.prettifyError(frame.error)}`);
  }
  return frame.data;
}

/** Parses a helper's frame; throws `parseError` or `invalidRequest`. */
export function parseHelperFrame(text: string): ResponseFrame | NotificationFrame {
  const frame = z.union([responseFrameSchema, notificationFrameSchema]).safeParse(parseJson(text));
  if (!frame.success) {
    throw new TurntableError('invalidRequest', `Not a JSON-RPC 2.0 frame: ${z.prettifyError(frame.error)}`);
  }
  return frame.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TurntableError('parseError', 'The frame is not JSON: send one JSON text per message.', {
      cause,
    });
  }
}
