/**
 * The regular files that processes hold open, with their sizes. CRIU refuses to restore a process whose open file has another
 * size than at the dump; so an older process image may serve a newer file version only while these still agree.
 */

import { readdir, readlink, stat } from 'node:fs/promises';

export interface OpenFile {
  /** Path as the sandbox sees it. */
  readonly path: string;
  readonly sizeBytes: number;
}

/** Regular files open in any of `pids` (host pids), each once. */
export async function openFiles(pids: readonly number[]): Promise<OpenFile[]> {
  const found = new Map<string, OpenFile>();
  await Promise.all(
    pids.map(async (pid) => {
      const directory = `/proc/${pid}/fd`;
      for (const name of await readdir(directory).catch(() => [])) {
        const path = await readlink(`${directory}/${name}`).catch(() => '');
        if (!path.startsWith('/') || path.startsWith('/dev/')) continue;
        const status = await stat(`${directory}/${name}`).catch(() => undefined);
        if (status?.isFile()) found.set(path, { path, sizeBytes: status.size });
      }
    }),
  );
  return [...found.values()];
}

/** Whether every file still is there with its size, seen from the root of process `pid`. */
export async function stillFit(files: readonly OpenFile[], pid: number): Promise<boolean> {
  for (const file of files) {
    const status = await stat(`/proc/${pid}/root${file.path}`).catch(() => undefined);
    if (!status?.isFile() || status.size !== file.sizeBytes) return false;
  }
  return true;
}
