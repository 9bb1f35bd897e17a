/** One digest of everything below a folder (names, kinds, modes, contents, link targets): to prove that nothing was touched. */

import { createHash, type Hash } from 'node:crypto';
import { readdir, readFile, readlink, lstat } from 'node:fs/promises';
import { join } from 'node:path';

export async function treeDigest(directory: string): Promise<string> {
  const hash = createHash('sha256');
  await add(hash, directory, '');
  return hash.digest('hex');
}

async function add(hash: Hash, root: string, relative: string): Promise<void> {
  const names = (await readdir(join(root, relative))).sort();
  for (const name of names) {
    const path = join(relative, name);
    const full = join(root, path);
    const status = await lstat(full);
    hash.update(`${path}\0${status.mode}\0${status.mtimeMs}\0`);
    if (status.isDirectory()) await add(hash, root, path);
    else if (status.isSymbolicLink()) hash.update(await readlink(full));
    else if (status.isFile()) hash.update(await readFile(full));
  }
}
