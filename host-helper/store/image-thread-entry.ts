/**
 * The image thread's entry: one request at a time, each synchronous, on a connection that only reads. Knows which function a
 * request means; the work is in the files it imports.
 */

import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { TurntableError } from '../protocol/errors.ts';
import { ChunkReader } from './chunk-reader.ts';
import { NoRoom, packDump } from './image-packer.ts';
import {
  threadDataSchema,
  threadRequestSchema,
  type ThreadReply,
  type ThreadRequest,
} from './image-thread.ts';
import { markImages, unpackDump } from './image-unpacker.ts';
import { verifyStore } from './verify.ts';

const { databasePath, packDirectory } = threadDataSchema.parse(workerData);
const database = new DatabaseSync(databasePath, { readOnly: true });
database.exec('PRAGMA busy_timeout = 2000');
const chunks = new ChunkReader(database, packDirectory);

parentPort?.on('message', (message: unknown) => {
  const request = threadRequestSchema.parse(message);
  chunks.lostPacks = new Set(request.lostPacks);
  let reply: ThreadReply;
  try {
    reply = { ok: true, value: answer(request) };
  } catch (error) {
    reply = failure(error);
  } finally {
    // The helper removes packs meanwhile; one that is still open here would keep its place on the disk.
    chunks.close();
  }
  parentPort?.postMessage(reply);
});

function answer(request: ThreadRequest): unknown {
  switch (request.type) {
    case 'pack':
      return packDump(chunks, request);
    case 'unpack':
      unpackDump(chunks, request.image, request.directory);
      return undefined;
    case 'mark':
      return markImages(chunks, request.images, request.lastRow);
    case 'verify':
      return verifyStore(database, chunks, packDirectory, request, (progress) =>
        parentPort?.postMessage({ progress } satisfies { progress: number }),
      );
    case 'close':
      database.close();
      parentPort?.close();
      return undefined;
  }
}

function failure(error: unknown): ThreadReply {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof NoRoom) return { ok: false, kind: 'noRoom', code: '', message };
  if (error instanceof TurntableError) return { ok: false, kind: 'known', code: error.code, message };
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return { ok: false, kind: 'other', code, message };
}
