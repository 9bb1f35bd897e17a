/**
 * The state that every client sees, as schemas and the types derived from them: the single source of truth.
 * It imports nothing but its schema library. Times are milliseconds since the epoch, sizes are bytes.
 */

import { z } from 'zod';

export const effectClassSchema = z.enum(['none', 'files', 'processes', 'full']);
/** What a checkpoint of a turn must hold: nothing new, changed files, live processes, or both. */
export type EffectClass = z.infer<typeof effectClassSchema>;

export const changedPathSchema = z.object({
  path: z.string(),
  change: z.enum(['added', 'changed', 'removed']),
  kind: z.enum(['file', 'directory', 'symlink', 'other']),
  /** Size after the change (before it, for a removed file). */
  sizeBytes: z.number(),
  /** True for the agent's own book-keeping (its transcript): it never raises the effect class. */
  agentState: z.boolean().optional(),
});
export type ChangedPath = z.infer<typeof changedPathSchema>;

export const survivorSchema = z.object({
  /** Pid inside the sandbox. */
  pid: z.number(),
  command: z.string(),
  /** TCP ports it listens on. */
  ports: z.array(z.number()),
  startedInTurn: z.boolean(),
  /** Whether it was scheduled at all since the last process version. */
  ran: z.boolean(),
});
export type Survivor = z.infer<typeof survivorSchema>;

export const executedSchema = z.object({
  program: z.string(),
  argv: z.array(z.string()),
  exitCode: z.number().optional(),
});
export type Executed = z.infer<typeof executedSchema>;

export const reachedHostSchema = z.object({
  host: z.string(),
  port: z.number(),
  method: z.string().optional(),
  count: z.number(),
  allowed: z.boolean(),
});
/** A host that a turn asked the egress proxy for. An allowed one left the machine: a rewind does not take it back. */
export type ReachedHost = z.infer<typeof reachedHostSchema>;

export const effectsSchema = z.object({
  files: z.object({
    added: z.number(),
    changed: z.number(),
    removed: z.number(),
    /** At most `limits.changedPaths` of them; `truncated` says that there are more. */
    entries: z.array(changedPathSchema),
    truncated: z.boolean(),
  }),
  processes: z.object({
    survivors: z.array(survivorSchema),
    executed: z.array(executedSchema),
    executedCount: z.number(),
  }),
  network: z.array(reachedHostSchema),
  /** Why the inspector could not be sure, in words; each one raised the class. */
  uncertain: z.array(z.string()),
  droppedEvents: z.number(),
  /** Why the class is what it is, in words; at most `limits.reasons`. Absent in turns of older helpers. */
  reasons: z.array(z.string()).optional(),
});
/** What the kernel saw in a turn. */
export type Effects = z.infer<typeof effectsSchema>;

export const checkpointSchema = z.object({
  id: z.string(),
  restorable: z.boolean(),
  /** One sentence: why this class, or why it cannot be restored. */
  reason: z.string(),
  /** True when the turn changed nothing and the checkpoint before it serves. */
  reused: z.boolean(),
  hasProcesses: z.boolean(),
  bytesStored: z.number(),
  /** What was written to make it, before what the store had already was left out of the processes. Absent in older records. */
  bytesWritten: z.number().optional(),
  /** Milliseconds: deciding the class, capturing files, dumping processes. */
  inspectMs: z.number(),
  filesMs: z.number(),
  processesMs: z.number(),
  /** From the end of the turn until the checkpoint was published, with what it waited for; absent in older records. */
  closeMs: z.number().optional(),
  /** How long the model's reply was held back for this checkpoint. */
  heldMs: z.number(),
  /** What this checkpoint lacks, when something could not be done (for example "files only: no CRIU"). */
  degraded: z.string().optional(),
});
export type Checkpoint = z.infer<typeof checkpointSchema>;

export const toolCallSchema = z.object({
  id: z.string(),
  name: z.string(),
  /** One line for a person: the command or the path. */
  summary: z.string(),
  /** The arguments as the model wrote them, shortened to `limits.toolInputChars`. */
  input: z.string(),
});
export type ToolCall = z.infer<typeof toolCallSchema>;

export const conversationSchema = z.object({
  text: z.string(),
  toolCalls: z.array(toolCallSchema),
  model: z.string().optional(),
  inputTokens: z.number().optional(),
  outputTokens: z.number().optional(),
  /** Set when the upstream answered with an error or the stream broke. */
  error: z.string().optional(),
});
/** What the model said in a turn, read from the traffic. */
export type Conversation = z.infer<typeof conversationSchema>;

export const turnSchema = z.object({
  /** Unique and rising within its session; 0 is the state the session started from. */
  id: z.number().int().nonnegative(),
  /** The turn it follows; null only for turn 0. A rewind makes the next turn follow an older one: a tree. */
  parent: z.number().int().nonnegative().nullable(),
  kind: z.enum(['start', 'agent', 'command', 'rewind']),
  state: z.enum(['open', 'closing', 'closed']),
  /** One line: the tool call, the command, or the model's first words. */
  label: z.string(),
  startedAt: z.number(),
  endedAt: z.number().optional(),
  conversation: conversationSchema.optional(),
  effects: effectsSchema.optional(),
  effectClass: effectClassSchema.optional(),
  checkpoint: checkpointSchema.optional(),
  /** Exit code of a command turn. */
  exitCode: z.number().optional(),
});
export type Turn = z.infer<typeof turnSchema>;

export const agentStateSchema = z.object({
  name: z.string(),
  status: z.enum(['none', 'starting', 'running', 'thinking', 'stopped', 'finished', 'failed']),
  exitCode: z.number().optional(),
  detail: z.string().optional(),
});
export type AgentState = z.infer<typeof agentStateSchema>;

export const sessionStateSchema = z.object({
  id: z.string(),
  title: z.string(),
  /** The developer's own folder: never changed until they apply. */
  workspace: z.string(),
  /** The same folder as the session has it, on the host: what VS Code opens. */
  mount: z.string(),
  status: z.enum(['starting', 'running', 'rewinding', 'branching', 'stopped', 'failed']),
  /** What a `failed` or unusual status means and what to do. */
  detail: z.string().optional(),
  agent: agentStateSchema,
  /** Where a branch came from. */
  origin: z.object({ sessionId: z.string(), turn: z.number() }).optional(),
  createdAt: z.number(),
  /** The turn whose state the session has now (the last closed one on the current line). */
  head: z.number(),
  turns: z.array(turnSchema),
  /** What this session does without, in words (for example no CRIU: files only). */
  degraded: z.array(z.string()),
  bytesStored: z.number(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;

export const approvalSchema = z.object({
  id: z.string(),
  sessionId: z.string(),
  /** The open turn when it was asked. */
  turn: z.number(),
  askedAt: z.number(),
  expiresAt: z.number(),
  /** Which rule asked, in words. */
  rule: z.string(),
  subject: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('exec'),
      /** The resolved program. */
      program: z.string(),
      argv: z.array(z.string()),
      cwd: z.string(),
      pid: z.number(),
      /** What the check cannot vouch for (a script behind an interpreter), if anything. */
      caution: z.string().optional(),
    }),
    z.object({
      kind: z.literal('network'),
      host: z.string(),
      port: z.number(),
      method: z.string(),
    }),
  ]),
  state: z.enum(['pending', 'allowed', 'denied', 'expired', 'withdrawn']),
  scope: z.enum(['once', 'session']).optional(),
  answeredBy: z.string().optional(),
  reason: z.string().optional(),
});
export type Approval = z.infer<typeof approvalSchema>;

export const featureSchema = z.object({
  name: z.string(),
  status: z.enum(['ok', 'degraded', 'missing']),
  detail: z.string(),
  /** The command or step that mends it. */
  next: z.string().optional(),
});
/** One line of `doctor`. */
export type Feature = z.infer<typeof featureSchema>;

export const progressSchema = z.object({
  id: z.string(),
  sessionId: z.string().optional(),
  label: z.string(),
  /** 0..1, absent when unknown. */
  fraction: z.number().optional(),
});
export type Progress = z.infer<typeof progressSchema>;

export const rootStateSchema = z.object({
  helper: z.object({
    version: z.string(),
    startedAt: z.number(),
    features: z.array(featureSchema),
  }),
  sessions: z.record(z.string(), sessionStateSchema),
  approvals: z.record(z.string(), approvalSchema),
  progress: z.record(z.string(), progressSchema),
});
/** All that a client is shown. One tree, one numbered stream of actions. */
export type RootState = z.infer<typeof rootStateSchema>;

/** Bounds that both sides rely on. */
export const limits = {
  /** Of a client's frame. */
  frameBytes: 8 * 1024 * 1024,
  /** Of the helper's frames: a snapshot holds every session's turns. */
  helperFrameBytes: 128 * 1024 * 1024,
  changedPaths: 200,
  reasons: 20,
  executed: 50,
  toolInputChars: 4_000,
  conversationChars: 20_000,
  settledApprovals: 200,
  argvShown: 64,
  argShownChars: 400,
} as const;
