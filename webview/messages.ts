/**
 * What crosses between the extension and its webview, as schemas: state is pushed in, intents come back. Both sides
 * parse with these. Must not know `vscode`, Node or the DOM.
 */

import { z } from 'zod';
import { actionSchema } from '../host-helper/protocol/actions.ts';
import { methods } from '../host-helper/protocol/methods.ts';
import { changedPathSchema, rootStateSchema } from '../host-helper/protocol/state.ts';

export const connectionStatusSchema = z.enum([
  'connecting',
  'connected',
  'not-installed',
  'not-running',
  'not-permitted',
  'wrong-version',
  'failed',
]);
/** Where the extension stands with the helper. */
export type ConnectionStatus = z.infer<typeof connectionStatusSchema>;

export const connectionViewSchema = z.object({
  status: connectionStatusSchema,
  /** One line for a heading. */
  title: z.string(),
  /** What it means and what to do, in a sentence or two. */
  message: z.string(),
  /** A command line a person may copy, when one helps. */
  command: z.string().optional(),
  /** What the button does next; absent when there is nothing to press. */
  action: z
    .object({
      id: z.enum(['start-helper', 'restart-helper', 'reconnect', 'open-walkthrough', 'fix-permission']),
      label: z.string(),
    })
    .optional(),
});
/** A connection state in words, with the next step. */
export type ConnectionView = z.infer<typeof connectionViewSchema>;

export const rewindPreviewSchema = methods['rewind/preview'].result;
/** What a rewind would do, as the helper foresees it. */
export type RewindPreview = z.infer<typeof rewindPreviewSchema>;

/** Extension to webview. */
export const hostMessageSchema = z.discriminatedUnion('type', [
  /** All there is to show; `state` is null while there is no helper. */
  z.object({
    type: z.literal('snapshot'),
    connection: connectionViewSchema,
    state: rootStateSchema.nullable(),
    /** Translated strings by English text; empty for English. */
    strings: z.record(z.string(), z.string()),
    /** False where no session can be started (no folder, or an untrusted one). */
    canStart: z.boolean(),
  }),
  z.object({ type: z.literal('connection'), connection: connectionViewSchema }),
  z.object({ type: z.literal('action'), action: actionSchema }),
  /** Show this session, and preview this turn (null: now). */
  z.object({ type: z.literal('show'), sessionId: z.string(), turn: z.number().nullable() }),
  /** Bring this request into view and put the focus on Deny. */
  z.object({ type: z.literal('show-approval'), approvalId: z.string() }),
  z.object({
    type: z.literal('forecast'),
    sessionId: z.string(),
    turn: z.number(),
    preview: rewindPreviewSchema.optional(),
    error: z.string().optional(),
  }),
  z.object({
    type: z.literal('changes'),
    sessionId: z.string(),
    turn: z.number(),
    changes: z.array(changedPathSchema),
    truncated: z.boolean(),
    error: z.string().optional(),
  }),
]);
export type HostMessage = z.infer<typeof hostMessageSchema>;

const target = { sessionId: z.string(), turn: z.number() };

/** Webview to extension. */
export const intentSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  /** The person looks at this session, previewing this turn (null: now). */
  z.object({ type: z.literal('selected'), sessionId: z.string().nullable(), turn: z.number().nullable() }),
  z.object({ type: z.literal('rewind'), ...target }),
  z.object({ type: z.literal('branch'), ...target }),
  /** The turn's changes in diff editors; with a path, that file alone. */
  z.object({ type: z.literal('diff'), ...target, path: z.string().optional() }),
  /** Every changed path of a turn, where the state holds only the first ones. */
  z.object({ type: z.literal('all-changes'), ...target }),
  z.object({
    type: z.literal('answer'),
    approvalId: z.string(),
    decision: z.enum(['allow', 'deny']),
    scope: z.enum(['once', 'session']),
  }),
  z.object({
    type: z.literal('session'),
    sessionId: z.string(),
    verb: z.enum(['terminal', 'apply', 'open-folder', 'stop', 'resume', 'prompt', 'remove']),
  }),
  z.object({ type: z.literal('start-session') }),
  z.object({ type: z.literal('open-wide') }),
  z.object({ type: z.literal('connection-action') }),
  z.object({ type: z.literal('copy'), text: z.string().max(1000) }),
]);
export type Intent = z.infer<typeof intentSchema>;

export const savedViewSchema = z.object({
  sessionId: z.string().nullable(),
  turn: z.number().nullable(),
});
/** What a webview keeps over a reload: where the person was. */
export type SavedView = z.infer<typeof savedViewSchema>;
