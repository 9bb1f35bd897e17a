/**
 * Opens a state directory: takes its lock, checks it, clears what a dead helper left unfinished, and puts the parts of the
 * store together. The layout of the directory is known here alone.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import { FolderApply } from './apply.ts';
import { fromHex } from './chunk-reader.ts';
import { ChunkStore, explainWriteError } from './chunks.ts';
import { collect, surveyCollection } from './collection.ts';
import { openDatabase, reusableBytes } from './database.ts';
import { VersionedFiles } from './file-store.ts';
import { PagedImages, wholeImages } from './image-store.ts';
import { ImageThread } from './image-thread.ts';
import { SqliteMetadata } from './metadata.ts';
import { StoreQuota, type StoreLimits } from './quota.ts';
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
  /** Without them the store takes what there is. */
  readonly limits?: StoreLimits;
}

/**
 * Throws `helperRunning` (with the pid), `diskFull`, and `storeDamaged` when the metadata cannot be read. Lost contents are no
 * reason to refuse: the checkpoints that need them are in `damagedCheckpoints`.
 */
export async function openStore({ directory, treefsPath, logger, limits }: StoreOptions): Promise<Store> {
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
    const databasePath = join(directory, 'state.sqlite');
    const database = openDatabase(databasePath);
    const threadOptions = { databasePath, packDirectory: packs, lostPacks: () => chunks.lostPacks };
    // One that a checkpoint may wait for, and one that may be busy for long.
    const thread = new ImageThread(threadOptions);
    const slowThread = new ImageThread(threadOptions);
    const quota = new StoreQuota(directory, limits ?? {}, {
      reusableBytes: () => reusableBytes(database),
      wholeImages: () => wholeImages(database, image),
    });
    const chunks = new ChunkStore(database, packs, background, limits && quota);
    try {
      const versions = new VersionStore(database, chunks);
      const images = new PagedImages(database, image, chunks, thread, logger);
      chunks.checkPacks();
      await images.recover();
      const whole = chunks.isWhole && versions.allPublished && images.allPresent;
      let damagedCheckpoints = whole
        ? []
        : (await slowThread.ask('verify', { contents: false })).damagedCheckpoints;
      for (const damage of damagedCheckpoints.slice(0, 20))
        logger.error('A checkpoint is damaged', { ...damage });
      const files = new VersionedFiles({ worker, background }, chunks, versions, logger);
      const parts = { database, chunks, versions, images, thread: slowThread, pinned: () => files.pinned() };
      let collecting: Promise<unknown> = Promise.resolve();
      const oneByOne = <T>(work: () => Promise<T>): Promise<T> => {
        const run = collecting.then(work);
        collecting = run.catch(() => {});
        return run;
      };
      let closed = false;
      const close = async (): Promise<void> => {
        if (closed) return;
        closed = true;
        await images.close();
        await Promise.all([worker.close(), background.close(), thread.close(), slowThread.close()]);
        chunks.close();
        database.close();
      };
      return {
        files,
        transfer: new ObjectTransfer(background, chunks, versions),
        images,
        metadata: new SqliteMetadata(
          database,
          () => void close(),
          (versions) => files.expired(versions),
        ),
        apply: new FolderApply(background, chunks, versions, database, logger),
        get damagedCheckpoints() {
          return damagedCheckpoints;
        },
        collect: (options) =>
          oneByOne(async () => {
            const freed = await collect(parts, options);
            quota.changed();
            return freed;
          }),
        survey: (without, options) => oneByOne(() => surveyCollection(parts, without, options)),
        verify: async (onProgress) => {
          // Its snapshot of the metadata does not keep contents from being given back.
          using _held = chunks.holdSweep();
          const found = await slowThread.ask('verify', { contents: true }, onProgress);
          damagedCheckpoints = found.damagedCheckpoints;
          return found;
        },
        forgetContents: (hashes) => {
          chunks.forget(hashes.map(fromHex));
          files.lookAgain();
        },
        usage: () => quota.usage(chunks.addedBytes, images.cacheBytes),
        dropCaches: () => images.dropCaches(),
        close,
      };
    } catch (error) {
      await Promise.all([thread.close(), slowThread.close()]);
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
