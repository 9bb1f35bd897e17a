/**
 * Every request a client may make: name, parameters, result, side by side. Direction: client to helper.
 * Notifications the other way are in notifications.ts.
 */

import { z } from 'zod';
import {
  approvalSchema,
  changedPathSchema,
  featureSchema,
  rootStateSchema,
  survivorSchema,
  turnSchema,
  reachedHostSchema,
} from './state.ts';

const sessionId = z.string().min(1).max(64);
const turn = z.number().int().nonnegative();
const absolutePath = z.string().min(1).max(4096).startsWith('/');
const prompt = z.string().max(100_000);

const waitsSchema = z.object({ p50: z.number(), p95: z.number(), max: z.number() });
const engineStatsSchema = z.object({
  /** `off`: every checkpoint starts at once, for comparison (TURNTABLE_ENGINE=off). */
  mode: z.enum(['on', 'off']),
  pressure: z.enum(['none', 'long', 'full']),
  queued: z.number(),
  running: z.number(),
  /** Jobs begun, done together with another one, and not taken, since the helper started. */
  started: z.number(),
  merged: z.number(),
  refused: z.number(),
  bytes: z.number(),
  /** Negative is debt; null without a limit. */
  balanceBytes: z.number().nullable(),
  waitMs: waitsSchema,
  /** How late the helper's event loop was. */
  loopDelayMs: waitsSchema,
  sandboxes: z
    .array(
      z.object({
        sandboxId: z.string(),
        queued: z.number(),
        started: z.number(),
        bytes: z.number(),
        busyMs: z.number(),
        waitMs: waitsSchema,
      }),
    )
    .max(256),
});

/** How a change that the agent did not make is treated by a rewind. */
export const conflictChoiceSchema = z.enum(['keep-mine', 'take-theirs', 'merge', 'keep-both']);

const storeUsage = z.object({
  storeBytes: z.number(),
  cacheBytes: z.number(),
  maxStoreBytes: z.number().optional(),
  freeBytes: z.number(),
  reserveFreeBytes: z.number(),
  roomBytes: z.number(),
});

/** What `store/fsck` found; also what the helper prints when it checks a store that no helper uses. */
export const fsckResultSchema = z.object({
  contents: z.number(),
  bytes: z.number(),
  checkpoints: z.number(),
  versions: z.number(),
  images: z.number(),
  damagedContents: z.number(),
  /** In words; a bounded number of them. */
  problems: z.array(z.string()),
  /** Every other checkpoint restores whole. `files` absent: its files still restore. */
  damagedCheckpoints: z.array(
    z.object({
      id: z.string(),
      sessionId: z.string(),
      turn: z.number(),
      files: z.string().optional(),
      processes: z.string().optional(),
    }),
  ),
  /** Damaged contents count as absent from now on: what is seen again is stored again. */
  repaired: z.boolean(),
});

export const methods = {
  /** Must be the first frame. */
  hello: {
    params: z.object({
      client: z.object({ name: z.string().max(100), version: z.string().max(100) }),
      protocol: z.object({ minimum: z.number().int(), current: z.number().int() }),
      /** Only for TCP connections that could not set a header. Unix sockets rely on file permissions. */
      token: z.string().max(200).optional(),
    }),
    result: z.object({ protocol: z.number().int(), helperVersion: z.string(), helperPid: z.number() }),
  },
  /** The snapshot; numbered `state/action` notifications follow from `sequence + 1`. */
  subscribe: {
    params: z.object({}),
    result: z.object({ sequence: z.number().int(), state: rootStateSchema }),
  },
  /** Fires the AbortSignal of this connection's own request `id`; its handler decides what can still be undone. */
  'request/cancel': {
    params: z.object({ id: z.union([z.number().int(), z.string().max(100)]) }),
    result: z.object({}),
  },
  doctor: { params: z.object({}), result: z.object({ features: z.array(featureSchema) }) },
  /** How the queue of checkpoint work goes, and how long this process kept others waiting. Times in milliseconds, over the last jobs. */
  'engine/stats': { params: z.object({}), result: engineStatsSchema },
  'helper/stop': {
    params: z.object({
      /** Stop sessions too (default), or leave their sandboxes to be adopted. */ sessions: z
        .boolean()
        .optional(),
    }),
    result: z.object({}),
  },
  'session/start': {
    params: z.object({
      workspace: absolutePath,
      /** An agent profile's name, or "none" for an outside agent that drives `session/exec`. */
      agent: z.string().max(64),
      prompt: prompt.optional(),
      title: z.string().max(200).optional(),
      /** Variables for the agent (API keys, base URLs); never stored or shown. */
      env: z.record(z.string().max(200), z.string().max(32_768)).optional(),
      /** Where model requests go; the scripted model when absent and no key is given. */
      upstream: z.string().max(2000).optional(),
    }),
    result: z.object({ sessionId }),
  },
  'session/stop': { params: z.object({ sessionId }), result: z.object({}) },
  /** Starts the sandbox of a stopped session again at its head; resumes the agent unless told not to. */
  'session/resume': {
    params: z.object({ sessionId, prompt: prompt.optional() }),
    result: z.object({}),
  },
  'session/remove': { params: z.object({ sessionId }), result: z.object({}) },
  /** One command as one turn. Output is bounded; `truncated` says so. Resolves when the turn is closed. */
  'session/exec': {
    params: z.object({
      sessionId,
      argv: z.array(z.string().max(131_072)).min(1).max(4096),
      cwd: absolutePath.optional(),
      env: z.record(z.string(), z.string()).optional(),
      stdin: z.string().max(1_048_576).optional(),
      timeoutMs: z.number().int().positive().max(86_400_000).optional(),
    }),
    result: z.object({
      exitCode: z.number(),
      /** Base64. */
      stdout: z.string(),
      stderr: z.string(),
      truncated: z.boolean(),
      turn: turnSchema,
    }),
  },
  /** A new message for the agent of a session (resumes it if it has finished). */
  'session/prompt': { params: z.object({ sessionId, prompt }), result: z.object({}) },
  /** What changed between two turns of a session (`from` defaults to the turn's parent). */
  'turn/changes': {
    params: z.object({ sessionId, turn, from: turn.optional() }),
    result: z.object({ changes: z.array(changedPathSchema), truncated: z.boolean() }),
  },
  /** A file as it was at the end of a turn. `path` is the path inside the sandbox. */
  'file/read': {
    params: z.object({ sessionId, turn, path: absolutePath }),
    result: z.object({ /** Base64. */ content: z.string(), mode: z.number(), mtimeMs: z.number() }),
  },
  'file/stat': {
    params: z.object({ sessionId, turn, path: absolutePath }),
    result: z.object({
      kind: z.enum(['file', 'directory', 'symlink', 'other']),
      sizeBytes: z.number(),
      mode: z.number(),
      mtimeMs: z.number(),
    }),
  },
  'rewind/preview': {
    params: z.object({ sessionId, turn }),
    result: z.object({
      restorable: z.boolean(),
      reason: z.string(),
      /** How files would change from now. */
      changes: z.array(changedPathSchema),
      truncated: z.boolean(),
      processesBack: z.array(survivorSchema),
      processesLost: z.array(survivorSchema),
      /** Changed in the mounted folder by somebody other than the agent since the head. */
      outsideChanges: z.array(z.string()),
      /** Hosts reached in the turns that would be set aside: not taken back. */
      leftTheMachine: z.array(reachedHostSchema),
      turnsSetAside: z.array(turn),
    }),
  },
  rewind: {
    params: z.object({
      sessionId,
      turn,
      prompt: prompt.optional(),
      /** Resume the agent from its transcript (default true when the session has an agent). */
      resume: z.boolean().optional(),
      conflicts: conflictChoiceSchema.optional(),
    }),
    result: z.object({
      /** The turn that holds what was there before: rewind to it to undo. */
      safetyTurn: turn,
      head: turn,
      restoredProcesses: z.boolean(),
      tookMs: z.number(),
      /** What could not be brought back, in words. */
      notes: z.array(z.string()),
    }),
  },
  branch: {
    params: z.object({
      sessionId,
      turn,
      prompt: prompt.optional(),
      resume: z.boolean().optional(),
      title: z.string().max(200).optional(),
    }),
    result: z.object({
      sessionId,
      restoredProcesses: z.boolean(),
      tookMs: z.number(),
      notes: z.array(z.string()),
    }),
  },
  /** Several branches from one turn. Without `allOrNothing` those that could be made stay, and the others are told. */
  'branch/many': {
    params: z.object({
      sessionId,
      turn,
      count: z.number().int().min(1).max(64),
      prompt: prompt.optional(),
      resume: z.boolean().optional(),
      /** Numbered for each branch. */
      title: z.string().max(200).optional(),
      allOrNothing: z.boolean().optional(),
    }),
    result: z.object({
      branches: z.array(
        z.object({
          sessionId,
          restoredProcesses: z.boolean(),
          tookMs: z.number(),
          notes: z.array(z.string()),
        }),
      ),
      /** Why the others were not made, in words. */
      failed: z.array(z.string()),
      tookMs: z.number(),
    }),
  },
  /** Begins an archive of the line of turns up to `turn` (the head when absent); `export/read` brings it. */
  'session/export': {
    params: z.object({
      sessionId,
      turn: turn.optional(),
      /** Only the last checkpoint: smaller, and nothing earlier can be gone back to. */
      onlyHead: z.boolean().optional(),
      /** Leave out the developer's folder: the importing side must have the same one. */
      withoutBase: z.boolean().optional(),
    }),
    result: z.object({ exportId: z.string(), turn, checkpoint: z.string() }),
  },
  /** The next bytes of an archive; the export is over with `done`, an error, or the connection. */
  'export/read': {
    params: z.object({ exportId: z.string().max(64) }),
    result: z.object({ /** Base64. */ data: z.string(), done: z.boolean() }),
  },
  /** Begins to take an archive in; `import/write` brings its bytes, `import/finish` makes the session. */
  'session/import': {
    params: z.object({
      /** The folder to work on: the same as the session's, or empty. Absent: the session's own path, or a copy of its own. */
      workspace: absolutePath.optional(),
      title: z.string().max(200).optional(),
      /** Bring processes back too. Their images can do anything on this machine: only from somebody who is trusted with it. */
      processes: z.boolean().optional(),
      /** As for `session/start`. An archive's own address is never followed: keys go there. */
      upstream: z.string().max(2000).optional(),
      env: z.record(z.string().max(200), z.string().max(32_768)).optional(),
    }),
    result: z.object({ importId: z.string() }),
  },
  'import/write': {
    params: z.object({ importId: z.string().max(64), /** Base64. */ data: z.string().max(6_000_000) }),
    result: z.object({}),
  },
  /** Proves the whole and makes a session of it, stopped at its head. On failure nothing stays. */
  'import/finish': {
    params: z.object({ importId: z.string().max(64) }),
    result: z.object({
      sessionId,
      turn,
      turns: z.number(),
      processes: z.boolean(),
      /** The folder of this machine below the session. */
      workspace: z.string(),
      /** That folder is the session's own copy: there is nothing to apply to. */
      ownWorkspace: z.boolean(),
      /** What did not come along, in words. */
      notes: z.array(z.string()),
    }),
  },
  /** Ends an export or import early; nothing of it stays. */
  'transfer/close': { params: z.object({ id: z.string().max(64) }), result: z.object({}) },
  'apply/preview': {
    params: z.object({ sessionId }),
    result: z.object({
      changes: z.array(changedPathSchema),
      /** Paths (in the workspace) that both the developer and the session changed, and cannot be merged line by line. */
      conflicts: z.array(z.string()),
      merged: z.array(z.string()),
    }),
  },
  apply: {
    params: z.object({
      sessionId,
      /** Only these paths (absolute, inside the workspace); all when absent. */
      paths: z.array(absolutePath).max(100_000).optional(),
      conflicts: conflictChoiceSchema.optional(),
    }),
    result: z.object({ applied: z.array(z.string()), skipped: z.array(z.string()), undoId: z.string() }),
  },
  'apply/undo': {
    params: z.object({ sessionId, undoId: z.string().max(100) }),
    result: z.object({ restored: z.array(z.string()) }),
  },
  /** Expires what retention says and removes what nothing needs; with `dryRun` only tells. */
  'store/gc': {
    params: z.object({ dryRun: z.boolean().optional() }),
    result: z.object({
      dryRun: z.boolean(),
      expired: z.array(z.object({ sessionId, turn, reason: z.string() })),
      /** Process images and file versions that no checkpoint needs (any more). */
      images: z.number(),
      versions: z.number(),
      freedBytes: z.number(),
      usage: storeUsage,
    }),
  },
  /** Reads and checks everything that is stored. */
  'store/fsck': { params: z.object({ repair: z.boolean().optional() }), result: fsckResultSchema },
  approvals: {
    params: z.object({ sessionId: sessionId.optional(), all: z.boolean().optional() }),
    result: z.object({ approvals: z.array(approvalSchema) }),
  },
  'approval/answer': {
    params: z.object({
      id: z.string().max(100),
      decision: z.enum(['allow', 'deny']),
      scope: z.enum(['once', 'session']).optional(),
      reason: z.string().max(1000).optional(),
    }),
    result: z.object({ approval: approvalSchema }),
  },
  audit: {
    params: z.object({
      sessionId: sessionId.optional(),
      limit: z.number().int().positive().max(10_000).optional(),
    }),
    result: z.object({
      entries: z.array(
        z.object({
          sequence: z.number(),
          at: z.number(),
          kind: z.string(),
          sessionId: z.string().optional(),
          data: z.record(z.string(), z.unknown()),
          hash: z.string(),
        }),
      ),
      /** True when the hash chain of the whole log holds. */
      intact: z.boolean(),
    }),
  },
  /** Attach to the agent's terminal; `terminal/data` notifications follow. */
  'terminal/attach': {
    params: z.object({
      sessionId,
      columns: z.number().int().min(1).max(1000),
      rows: z.number().int().min(1).max(1000),
    }),
    result: z.object({ /** Base64: what the screen has shown lately. */ backlog: z.string() }),
  },
  'terminal/detach': { params: z.object({ sessionId }), result: z.object({}) },
  'terminal/input': {
    params: z.object({ sessionId, /** Base64. */ data: z.string().max(1_400_000) }),
    result: z.object({}),
  },
  'terminal/resize': {
    params: z.object({
      sessionId,
      columns: z.number().int().min(1).max(1000),
      rows: z.number().int().min(1).max(1000),
    }),
    result: z.object({}),
  },
} as const;

export type MethodName = keyof typeof methods;
export type ParamsOf<Name extends MethodName> = z.infer<(typeof methods)[Name]['params']>;
export type ResultOf<Name extends MethodName> = z.infer<(typeof methods)[Name]['result']>;

/** True for a name this version knows. */
export function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
