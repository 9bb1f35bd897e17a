/**
 * Every change of state, as one discriminated union. Each is numbered when it is sent; both sides apply it with the
 * same pure reducer (reducer.ts). Actions carry whole values, never diffs of diffs: applying one twice changes nothing more.
 */

import { z } from 'zod';
import {
  agentStateSchema,
  approvalSchema,
  featureSchema,
  progressSchema,
  sessionStateSchema,
  turnSchema,
} from './state.ts';

const sessionPatchSchema = sessionStateSchema
  .omit({ id: true, turns: true, agent: true, head: true })
  .partial();

export const actionSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('helper/features'), features: z.array(featureSchema) }),
  z.object({ type: z.literal('session/added'), session: sessionStateSchema }),
  z.object({ type: z.literal('session/changed'), sessionId: z.string(), patch: sessionPatchSchema }),
  z.object({ type: z.literal('session/removed'), sessionId: z.string() }),
  z.object({ type: z.literal('agent/changed'), sessionId: z.string(), agent: agentStateSchema }),
  z.object({ type: z.literal('head/moved'), sessionId: z.string(), head: z.number() }),
  /** Adds the turn, or replaces the one with the same id. */
  z.object({ type: z.literal('turn/set'), sessionId: z.string(), turn: turnSchema }),
  /** Adds the approval, or replaces the one with the same id. */
  z.object({ type: z.literal('approval/set'), approval: approvalSchema }),
  z.object({ type: z.literal('progress/set'), progress: progressSchema }),
  z.object({ type: z.literal('progress/done'), id: z.string() }),
]);
export type Action = z.infer<typeof actionSchema>;
export type ActionOf<Type extends Action['type']> = Extract<Action, { type: Type }>;
export type SessionPatch = z.infer<typeof sessionPatchSchema>;
