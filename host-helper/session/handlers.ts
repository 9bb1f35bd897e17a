/**
 * What each request of the protocol does with sessions: thin, one line of meaning each. Parsing is done before, error frames
 * after; the work is in the files beside this one.
 */

import type { Handlers } from '../server/handlers.ts';
import { TurntableError } from '../protocol/errors.ts';
import { limits, type Feature } from '../protocol/state.ts';
import { shownChanges } from '../inspector/effects.ts';
import { createApplyHandlers } from './apply-session.ts';
import { execCommand } from './exec-command.ts';
import type { Housekeeping } from './housekeeping.ts';
import type { LoopDelay } from './loop-delay.ts';
import type { SessionParts } from './parts.ts';
import type { SessionRegistry } from './registry.ts';
import { checkpointOf, previewRewind, rewind } from './rewind.ts';
import type { Session } from './session.ts';
import { TerminalAttachments } from './terminal-attachments.ts';
import { createTransferHandlers } from './transfers.ts';
import { withProgress } from './with-progress.ts';

export interface HandlersOptions {
  readonly parts: SessionParts;
  readonly registry: SessionRegistry;
  readonly housekeeping: Housekeeping;
  readonly features: () => Promise<Feature[]>;
  readonly stop: (sessions: boolean) => void;
  readonly loopDelay: LoopDelay;
}

export function createHandlers(options: HandlersOptions): Handlers {
  const { parts, registry } = options;
  const attachments = new TerminalAttachments();
  const progress = <Value>(
    label: string,
    sessionId: string | undefined,
    work: (onProgress: (fraction: number) => void) => Promise<Value>,
  ): Promise<Value> => withProgress(parts.dispatch, label, sessionId, work);

  return {
    doctor: async () => ({ features: await options.features() }),
    'engine/stats': () =>
      Promise.resolve({
        ...parts.engine.stats(),
        sandboxes: [...parts.engine.stats().sandboxes],
        loopDelayMs: options.loopDelay.read(),
      }),
    'helper/stop': (params) => {
      options.stop(params.sessions ?? true);
      return Promise.resolve({});
    },
    'session/start': (params) => progress('Starting the session', undefined, () => registry.start(params)),
    'session/stop': async ({ sessionId }) => {
      await progress('Stopping', sessionId, () => registry.stop(sessionId));
      return {};
    },
    'session/resume': async ({ sessionId, prompt }) => {
      await progress('Resuming', sessionId, () => registry.resume(sessionId, prompt));
      return {};
    },
    'session/remove': async ({ sessionId }) => {
      await registry.remove(sessionId);
      return {};
    },
    'session/exec': (params, context) => execCommand(registry.get(params.sessionId), params, context.signal),
    'session/prompt': async ({ sessionId, prompt }) => {
      await registry.prompt(sessionId, prompt);
      return {};
    },
    'turn/changes': async ({ sessionId, turn, from }) => {
      const session = registry.get(sessionId);
      const to = checkpointOf(session, turn);
      const parent = from ?? session.turns.get(turn).parent;
      if (parent === null) return { changes: [], truncated: false };
      const base = checkpointOf(session, parent);
      const changes = shownChanges(
        await parts.store.files.changes(base.fileVersion, to.fileVersion, session.runtime.sandbox.roots),
        session.isAgentState,
      );
      const bound = limits.changedPaths * 50;
      return { changes: changes.slice(0, bound), truncated: changes.length > bound };
    },
    'file/read': async ({ sessionId, turn, path }) => {
      const session = registry.get(sessionId);
      const { fileVersion } = checkpointOf(session, turn);
      const { roots } = session.runtime.sandbox;
      const status = await parts.store.files.stat(fileVersion, roots, path);
      // Base64 must fit a frame.
      if (status.sizeBytes > limits.frameBytes * 0.7) {
        throw new TurntableError(
          'frameTooLarge',
          `${path} is too large to show (${status.sizeBytes} bytes): open it in the session's folder.`,
        );
      }
      const content = await parts.store.files.read(fileVersion, roots, path);
      return { content: Buffer.from(content).toString('base64'), mode: status.mode, mtimeMs: status.mtimeMs };
    },
    'file/stat': async ({ sessionId, turn, path }) => {
      const session = registry.get(sessionId);
      const { fileVersion } = checkpointOf(session, turn);
      const status = await parts.store.files.stat(fileVersion, session.runtime.sandbox.roots, path);
      return { kind: status.kind, sizeBytes: status.sizeBytes, mode: status.mode, mtimeMs: status.mtimeMs };
    },
    'rewind/preview': ({ sessionId, turn }) => previewRewind(registry.get(sessionId), turn),
    rewind: async (params, context) => {
      const session = registry.get(params.sessionId);
      const result = await progress(`Rewinding to turn ${params.turn}`, session.id, () =>
        rewind(session, params),
      );
      await parts.authority.audit.append('session.rewound', session.id, {
        to: params.turn,
        by: context.clientName,
        ...result,
      });
      return result;
    },
    branch: async (params, context) => {
      const result = await progress(`Branching from turn ${params.turn}`, params.sessionId, () =>
        registry.branch(params),
      );
      await parts.authority.audit.append('session.branched', params.sessionId, {
        from: params.turn,
        to: result.sessionId,
        by: context.clientName,
      });
      return result;
    },
    'branch/many': async (params, context) => {
      const result = await registry.branchMany(params, context.signal);
      await parts.authority.audit.append('session.branched', params.sessionId, {
        from: params.turn,
        to: result.branches.map((each) => each.sessionId),
        by: context.clientName,
      });
      return result;
    },
    ...createTransferHandlers(parts, registry),
    ...createApplyHandlers(parts, (id): Session => registry.get(id)),
    'store/gc': async ({ dryRun }, context) => {
      const result = await progress(
        dryRun ? 'Looking for what nothing needs' : 'Removing what nothing needs',
        undefined,
        (onProgress) => options.housekeeping.gc(dryRun ?? false, onProgress),
      );
      if (!result.dryRun && result.expired.length > 0) {
        await parts.authority.audit.append('store.expired', undefined, {
          turns: result.expired.length,
          by: context.clientName,
        });
      }
      return result;
    },
    'store/fsck': ({ repair }) =>
      progress('Checking every checkpoint', undefined, (onProgress) =>
        options.housekeeping.fsck(repair ?? false, onProgress),
      ),
    approvals: ({ sessionId, all }) =>
      Promise.resolve({
        approvals: parts.authority.approvals.list({
          ...(sessionId === undefined ? {} : { sessionId }),
          ...(all === undefined ? {} : { all }),
        }),
      }),
    'approval/answer': async ({ id, decision, scope, reason }, context) => ({
      approval: await parts.authority.approvals.answer(id, decision, scope, context.clientName, reason),
    }),
    audit: async ({ sessionId, limit }) => {
      const { audit } = parts.authority;
      const records = await audit.read({
        ...(sessionId === undefined ? {} : { sessionId }),
        limit: limit ?? 200,
      });
      const { intact } = await audit.verify();
      return { entries: records.map((record) => ({ ...record, data: { ...record.data } })), intact };
    },
    'terminal/attach': ({ sessionId, columns, rows }, context) => {
      const session = registry.get(sessionId);
      if (!session.agent) {
        throw new TurntableError(
          'agentMissing',
          'This session has no agent, so it has no terminal: run commands with `turntable exec`.',
        );
      }
      const { terminal } = session.agent;
      const backlog = Buffer.from(terminal.backlog).toString('base64');
      attachments.attach(context, sessionId, terminal);
      session.agent.running?.resize(columns, rows);
      return Promise.resolve({ backlog });
    },
    'terminal/detach': ({ sessionId }, context) => {
      attachments.detach(context.clientId, sessionId);
      return Promise.resolve({});
    },
    'terminal/input': ({ sessionId, data }) => {
      registry.get(sessionId).agent?.running?.write(Buffer.from(data, 'base64'));
      return Promise.resolve({});
    },
    'terminal/resize': ({ sessionId, columns, rows }) => {
      registry.get(sessionId).agent?.running?.resize(columns, rows);
      return Promise.resolve({});
    },
  };
}
