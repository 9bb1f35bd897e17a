/**
 * Opens a state directory: takes its lock, checks it, clears what a dead helper left unfinished, and puts the parts of the
 * store together. The layout of the directory is known here alone.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { FolderApply } from './apply.ts';
import { ChunkStore, explainWriteError } from './chunks.ts';
import { collectContents } from './collection.ts';
import { openDatabase } from './database.ts';
import { VersionedFiles } from './file-store.ts';
import { DirectoryImages } from './image-store.ts';
import { SqliteMetadata } from './metadata.ts';
import type { Store } from './store.ts';
import { ObjectTransfer } from './transfer.ts';
import { TreeError, TreeWorker } from './treefs.ts';
import { VersionStore } from './versions.ts';

/** How long a helper that is just ending may still hold the directory. */
const lockTries = 20;
const lockRetryMs = 100;

export interface StoreOptions {
  /** The state directory; made when missing. Everything below it belongs to the store but `sandboxes/`. */
  readonly directory: string;
  /** The tree worker's binary (dist/bin/treefs). */
  readonly treefsPath: string;
  readonly logger: Logger;
}

/** Throws `helperRunning` (with the pid), `storeDamaged`, `diskFull`. */
export async function openStore({ directory, treefsPath, logger }: StoreOptions): Promise<Store> {
  const packs = join(directory, 'packs');
  const image = {
    images: join(directory, 'images'),
    staging: join(directory, 'staging'),
    opened: join(directory, 'opened'),
  };
  try {
    for (const path of [directory, packs, image.images, image.staging, image.opened])
      mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw explainWriteError(error);
  }
  const worker = new TreeWorker(treefsPath, logger.child('treefs'));
  // Restores and applies may take long; a capture that a reply waits for must not stand behind them.
  const background = new TreeWorker(treefsPath, logger.child('treefs'));
  try {
    await lockDirectory(worker, directory, 'lock');
    await lockDirectory(background, directory, 'lock.background');
    const database = openDatabase(join(directory, 'state.sqlite'));
    try {
      const chunks = new ChunkStore(database, packs, background);
      const versions = new VersionStore(database, chunks);
      const images = new DirectoryImages(database, image, chunks, logger);
      chunks.checkPacks();
      versions.checkPublished();
      await images.recover();
      const files = new VersionedFiles({ worker, background }, chunks, versions, logger);
      let closed = false;
      const close = async (): Promise<void> => {
        if (closed) return;
        closed = true;
        await images.close();
        await Promise.all([worker.close(), background.close()]);
        chunks.close();
        database.close();
      };
      return {
        files,
        transfer: new ObjectTransfer(background, chunks, versions),
        images,
        metadata: new SqliteMetadata(database, () => void close()),
        apply: new FolderApply(background, chunks, versions, database, logger),
        collect: async () =>
          (await images.collect()) +
          (await collectContents(
            database,
            chunks,
            versions,
            () => files.pinned(),
            () => images.packedHashes(),
          )),
        close,
      };
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    await Promise.all([worker.close(), background.close()]);
    throw explainWriteError(error);
  }
}

async function lockDirectory(worker: TreeWorker, directory: string, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await worker.lock(join(directory, name), process.pid);
    } catch (error) {
      if (!(error instanceof TreeError) || error.code !== 'EAGAIN') throw error;
      const pid = Number(/\d+/.exec(error.text)?.[0] ?? 0);
      // A lock whose helper is dead is only held by its worker finishing a last step.
      if (attempt >= lockTries || (pid !== 0 && isAlive(pid))) {
        throw new TurntableError(
          'helperRunning',
          `Another helper (pid ${pid}) uses ${directory}. Stop it with \`turntable down\`, or use another state directory.`,
          {
            data: { pid },
            cause: error,
          },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
