/**
 * Exports and imports under way: each belongs to the client that began it and ends with it. The helper neither reads nor writes
 * the archive's file; the client does, with the rights of whoever runs it. Owns their number, pace and end.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { Handlers, RequestContext } from '../server/handlers.ts';
import { ArchiveOutput } from './archive-output.ts';
import { exportSession } from './export-session.ts';
import { newId } from './ids.ts';
import type { SessionImport } from './import-session.ts';
import type { SessionParts } from './parts.ts';
import type { SessionRegistry } from './registry.ts';
import { checkpointOf } from './rewind.ts';

type TransferHandlers = Pick<
  Handlers,
  'session/export' | 'export/read' | 'session/import' | 'import/write' | 'import/finish' | 'transfer/close'
>;

const maxTransfers = 4;
/** A client that asks for nothing for so long has forgotten it. */
const idleMs = 10 * 60_000;
/** Base64 of it fits a frame with room to spare. */
const portionBytes = 4 << 20;

interface Transfer {
  readonly clientId: string;
  readonly kind: 'export' | 'import';
  readonly output: ArchiveOutput | undefined;
  readonly input: SessionImport | undefined;
  timer: NodeJS.Timeout;
  /** One call at a time. */
  last: Promise<unknown>;
  end(): Promise<void>;
}

export function createTransferHandlers(parts: SessionParts, registry: SessionRegistry): TransferHandlers {
  const transfers = new Map<string, Transfer>();

  const begin = (
    context: RequestContext,
    label: string,
    sessionId: string | undefined,
    what: Pick<Transfer, 'kind' | 'output' | 'input'> & { readonly end: () => Promise<void> },
  ): string => {
    const id = newId('x');
    const progress = newId('p');
    const end = async (): Promise<void> => {
      const transfer = transfers.get(id);
      if (!transfer) return;
      transfers.delete(id);
      clearTimeout(transfer.timer);
      context.clientClosed.removeEventListener('abort', gone);
      parts.dispatch({ type: 'progress/done', id: progress });
      // A step that is under way ends first.
      await transfer.last.catch(() => {});
      await what.end();
    };
    const gone = (): void => {
      end().catch((error: unknown) => parts.logger.warn('a transfer did not end in order', { error }));
    };
    context.clientClosed.addEventListener('abort', gone, { once: true });
    parts.dispatch({
      type: 'progress/set',
      progress: { id: progress, label, ...(sessionId === undefined ? {} : { sessionId }) },
    });
    transfers.set(id, {
      ...what,
      clientId: context.clientId,
      timer: setTimeout(gone, idleMs),
      last: Promise.resolve(),
      end,
    });
    return id;
  };

  const find = (id: string, context: RequestContext): Transfer => {
    const transfer = transfers.get(id);
    if (transfer?.clientId !== context.clientId) {
      throw new TurntableError(
        'invalidParams',
        `There is no transfer ${id} of this connection: begin a new one.`,
      );
    }
    transfer.timer.refresh();
    return transfer;
  };

  /** One step of a transfer; a failed one is its end. */
  const step = async <Value>(transfer: Transfer, work: () => Promise<Value>): Promise<Value> => {
    const turn = transfer.last.then(work);
    transfer.last = turn.catch(() => {});
    try {
      return await turn;
    } catch (error) {
      await transfer.end();
      throw error;
    }
  };

  const mustHaveRoom = (): void => {
    if (transfers.size < maxTransfers) return;
    throw new TurntableError(
      'overloaded',
      `${maxTransfers} exports and imports are under way already: wait until one has ended.`,
    );
  };

  return {
    'session/export': async ({ sessionId, ...request }, context) => {
      mustHaveRoom();
      const session = registry.get(sessionId);
      const turn = request.turn ?? session.record.head;
      const checkpoint = checkpointOf(session, turn);
      const abort = new AbortController();
      const output = new ArchiveOutput(abort.signal);
      const written = exportSession(
        session,
        { ...request, turn },
        parts.state().helper.version,
        output,
      ).catch((error: unknown) => output.fail(error));
      const exportId = begin(context, `Exporting turn ${turn}`, sessionId, {
        kind: 'export',
        output,
        input: undefined,
        end: async () => {
          abort.abort(new TurntableError('cancelled', 'The export was ended.'));
          await written;
        },
      });
      await parts.authority.audit.append('session.exported', sessionId, { turn, by: context.clientName });
      return { exportId, turn, checkpoint: checkpoint.id };
    },
    'export/read': async ({ exportId }, context) => {
      const transfer = find(exportId, context);
      const { output } = transfer;
      if (!output) throw new TurntableError('invalidParams', `${exportId} is an import: write to it.`);
      const { data, done } = await step(transfer, () => output.read(portionBytes));
      if (done) await transfer.end();
      return { data: data.toString('base64'), done };
    },
    'session/import': async (request, context) => {
      mustHaveRoom();
      const input = registry.beginImport(request);
      const importId = begin(context, 'Importing a session', undefined, {
        kind: 'import',
        output: undefined,
        input,
        end: () => Promise.resolve(input[Symbol.dispose]()),
      });
      return Promise.resolve({ importId });
    },
    'import/write': async ({ importId, data }, context) => {
      const transfer = find(importId, context);
      await step(transfer, () => inputOf(transfer, importId).write(Buffer.from(data, 'base64')));
      return {};
    },
    'import/finish': async ({ importId }, context) => {
      const transfer = find(importId, context);
      const result = await step(transfer, () => registry.finishImport(inputOf(transfer, importId)));
      await transfer.end();
      await parts.authority.audit.append('session.imported', result.sessionId, {
        turn: result.turn,
        processes: result.processes,
        by: context.clientName,
      });
      return result;
    },
    'transfer/close': async ({ id }, context) => {
      await find(id, context).end();
      return {};
    },
  };
}

function inputOf(transfer: Transfer, id: string): SessionImport {
  if (!transfer.input) throw new TurntableError('invalidParams', `${id} is an export: read from it.`);
  return transfer.input;
}
