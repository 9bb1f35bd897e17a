/** Apply, as the protocol asks for it: the head's files (or what an open turn has made of them) against the developer's folder. */

import type { Handlers } from '../server/handlers.ts';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import { limits } from '../protocol/state.ts';
import type { ApplyItem, FileVersionId } from '../store/store.ts';
import type { SessionParts } from './parts.ts';
import { SessionRuntime } from './runtime.ts';
import type { Session } from './session.ts';

type ApplyHandlers = Pick<Handlers, 'apply/preview' | 'apply' | 'apply/undo'>;

const shownItems = limits.changedPaths * 50;

export function createApplyHandlers(
  parts: SessionParts,
  find: (sessionId: string) => Session,
): ApplyHandlers {
  const { apply } = parts.store;
  return {
    'apply/preview': async ({ sessionId }) => {
      const session = find(sessionId);
      const version = await versionToApply(session);
      const items = await apply.previewApply({ version, roots: session.runtime.sandbox.roots });
      return {
        changes: items
          .slice(0, shownItems)
          .map(({ path, change, kind, sizeBytes }) => ({ path, change, kind, sizeBytes })),
        conflicts: pathsWith(items, ['conflict', 'unsupported']),
        merged: pathsWith(items, ['merged']),
      };
    },
    apply: async ({ sessionId, paths, conflicts }, context) => {
      const session = find(sessionId);
      mustHaveFolder(session);
      const version = await versionToApply(session);
      const result = await apply.applyChanges({
        sessionId,
        version,
        roots: session.runtime.sandbox.roots,
        ...(paths === undefined ? {} : { paths }),
        ...(conflicts === undefined ? {} : { conflicts }),
      });
      try {
        await parts.authority.audit.append('apply.done', sessionId, {
          by: context.clientName,
          paths: result.applied.slice(0, limits.changedPaths),
          count: result.applied.length,
          undoId: result.undoId,
        });
      } finally {
        // Also where that failed: it must not be taken back long after.
        apply.confirmApply(result.undoId);
      }
      crashPoint('apply:confirmed');
      return {
        applied: [...result.applied],
        skipped: result.skipped.map(({ path, reason }) => `${path}: ${reason}`),
        undoId: result.undoId,
      };
    },
    'apply/undo': async ({ sessionId, undoId }, context) => {
      const { restored } = await apply.undoApply(sessionId, undoId);
      await parts.authority.audit.append('apply.undone', sessionId, {
        by: context.clientName,
        undoId,
        count: restored.length,
      });
      return { restored: [...restored] };
    },
  };
}

/** An imported session may work on a copy of its own: nobody would find there what was applied. */
function mustHaveFolder(session: Session): void {
  const { id, parts, record } = session;
  const own = SessionRuntime.directoryOf(parts.stateDirectory, id);
  if (record.workspaceLower?.startsWith(`${own}/`) !== true) return;
  throw new TurntableError(
    'workspaceInvalid',
    `Session ${id} was imported without a folder of yours, so there is nothing to apply to: copy from its mounted folder, or import the archive again with --workspace.`,
  );
}

function versionToApply(session: Session): Promise<FileVersionId> {
  return session.lock.run(async () => {
    const version = session.runtime.up
      ? (await session.checkpointer.look(session.runtime.sandbox)).version
      : session.checkpointer.fileVersion;
    if (version === undefined) {
      throw new TurntableError(
        'notRestorable',
        'This session has no checkpoint yet: wait for its first turn to end.',
      );
    }
    return version;
  });
}

function pathsWith(items: readonly ApplyItem[], outcomes: readonly ApplyItem['outcome'][]): string[] {
  return items.filter((item) => outcomes.includes(item.outcome)).map((item) => item.path);
}
