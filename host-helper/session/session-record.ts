/**
 * What is remembered of a session across helper restarts, as a schema: it is parsed when it is read back. Credentials are
 * never in it.
 */

import { z } from 'zod';
import { agentStateSchema } from '../protocol/state.ts';

export const sessionRecordSchema = z.object({
  id: z.string(),
  title: z.string(),
  workspace: z.string(),
  /** The folder of this host that stands for it, where that is another one: the session came from elsewhere. */
  workspaceLower: z.string().optional(),
  home: z.string(),
  agent: agentStateSchema,
  /** Which upstream was chosen, by name: "scripted", "keys" or a URL. */
  upstream: z.string(),
  origin: z.object({ sessionId: z.string(), turn: z.number() }).optional(),
  createdAt: z.number(),
  head: z.number(),
  status: z.enum(['running', 'stopped', 'failed']),
  detail: z.string().optional(),
  degraded: z.array(z.string()),
  /** Processes that lived before the first turn (keys of survivors.ts): furniture. */
  furniture: z.array(z.string()),
  /** What the agent was last told, and the head then: until a turn after it has a checkpoint, no transcript knows of it. */
  asked: z.object({ prompt: z.string(), turn: z.number() }).optional(),
  /** The supervisor's tag of the agent, while it runs. */
  agentTag: z.number().optional(),
});
export type SessionRecord = z.infer<typeof sessionRecordSchema>;

/** What a checkpoint remembers beyond files and processes. */
export const positionSchema = z.object({
  /** The turn whose process image this checkpoint uses; the agent inside is as of that turn. */
  imageTurn: z.number().optional(),
  /** The supervisor's tag of the agent inside the image. */
  agentTag: z.number().optional(),
  /** Pids in the sandbox that were the agent's own furniture, not survivors. */
  furniture: z.array(z.number()),
  /** The sandbox ended in the middle of the turn: the files are half of it, and the agent will take it again. */
  interrupted: z.boolean().optional(),
  /** What was alive, for previews. */
  survivors: z.array(
    z.object({
      pid: z.number(),
      command: z.string(),
      ports: z.array(z.number()),
      startedInTurn: z.boolean(),
      ran: z.boolean(),
    }),
  ),
});
export type Position = z.infer<typeof positionSchema>;

/** The position of a checkpoint whose image is not there. */
export function withoutImage({ imageTurn: _turn, agentTag: _tag, ...position }: Position): Position {
  return position;
}

/** How the reason begins of a checkpoint whose contents were found damaged: it may become whole again. */
export const damagedPrefix = 'not restorable: damaged: ';

/** Note of a rewind or a resume under way: until it is ended the folders may be half of something. */
export const restoreIntentSchema = z.object({
  /** Where to go back to. */
  safetyTurn: z.number(),
  target: z.number(),
});
export type RestoreIntent = z.infer<typeof restoreIntentSchema>;
