/** Checks a store that no helper uses, perhaps because the helper refuses to. Reads only; opens nothing that it would have to mend. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { TurntableError } from '../protocol/errors.ts';
import { ChunkReader } from './chunk-reader.ts';
import { explainDatabaseError } from './database.ts';
import { verifyStore, type Verification } from './verify.ts';

/** `directory` is the store's own. The caller has made sure that no helper runs. Throws `storeDamaged` when the metadata cannot be read at all. */
export function fsckOffline(directory: string): Verification {
  const path = join(directory, 'state.sqlite');
  const packs = join(directory, 'packs');
  if (!existsSync(path)) {
    throw new TurntableError(
      'storeDamaged',
      `There is no store in ${directory}: give the right --state-dir. If it was there before, its database ${path} is lost.`,
    );
  }
  try {
    using database = new DatabaseSync(path, { readOnly: true });
    const chunks = new ChunkReader(database, packs);
    try {
      return verifyStore(database, chunks, packs, { contents: true }, () => {});
    } finally {
      chunks.close();
    }
  } catch (error) {
    const explained = explainDatabaseError(error, path);
    if (explained instanceof TurntableError) throw explained;
    throw new TurntableError(
      'storeDamaged',
      `The metadata ${path} cannot be read (${error instanceof Error ? error.message : String(error)}). Nothing of it restores as it is. Move the state directory aside and start the helper again; the developer's folders are not affected.`,
      { cause: error },
    );
  }
}
