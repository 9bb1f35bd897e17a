/**
 * How long a file checkpoint takes: a 3-file change in a repository of so many files, medians of one run. Needs root.
 *
 *   node host-helper/store/store.bench.ts [FILES…]        prints one line of JSON for each number of files
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../log.ts';
import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { openStore } from './open-store.ts';

const rounds = 25;

function median(values: number[]): number {
  return Number((values.sort((a, b) => a - b)[values.length >> 1] ?? 0).toFixed(2));
}

/** `upperFiles` of them have been changed in the session before. */
async function measure(lowerFiles: number, upperFiles: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-bench-'));
  const at = (name: string): string => join(directory, name);
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(at(name));
  for (let file = 0; file < lowerFiles; file++) {
    const folder = at(`lower/d${file % 200}`);
    if (file < 200) mkdirSync(folder);
    writeFileSync(join(folder, `f${file}`), `file ${file}\n`.repeat(40));
  }
  const options = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')},index=on,nfs_export=on,redirect_dir=on`;
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, at('merged')]);
  const store = await openStore({
    directory: at('state'),
    treefsPath: join(import.meta.dirname, '../../dist/bin/treefs'),
    logger: silentLogger,
  });
  try {
    const root: TrackedRoot = {
      name: 'workspace',
      path: '/project',
      kind: 'overlay',
      lower: at('lower'),
      upper: at('upper'),
      merged: at('merged'),
    };
    const touch = (from: number, count: number, tag: string): void => {
      for (let file = from; file < from + count; file++)
        writeFileSync(at(`merged/d${file % 200}/f${file}`), `${tag} ${file}\n`.repeat(40));
    };
    touch(0, upperFiles, 'before');
    let previous: string | undefined;
    const capture = async (): Promise<number> => {
      const start = performance.now();
      const result = await store.files.capture({
        sandboxId: 's',
        roots: [root],
        previous,
        dirtyRoots: new Set([root.name]),
      });
      previous = result.version;
      return performance.now() - start;
    };
    const firstMs = await capture();
    const captureMs: number[] = [];
    const publishMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      touch((round * 3) % (lowerFiles - 3), 3, `round ${round}`);
      captureMs.push(await capture());
      const start = performance.now();
      store.metadata.publish(
        {
          id: `c${round}`,
          sessionId: 's',
          turn: round,
          fileVersion: previous ?? '',
          processImage: undefined,
          position: '{}',
          createdAt: 0,
        },
        '{}',
      );
      publishMs.push(performance.now() - start);
    }
    const idleMs: number[] = [];
    for (let round = 0; round < rounds; round++) idleMs.push(await capture());
    execFileSync('umount', [at('merged')]);
    const restoreMs: number[] = [];
    for (let round = 0; round < 6; round++) {
      const record = store.metadata.checkpoint(`c${round % 2 ? rounds - 1 : rounds - 2}`);
      const start = performance.now();
      await store.files.restore({ sandboxId: 's', roots: [root], version: record?.fileVersion ?? '' });
      restoreMs.push(performance.now() - start);
    }
    const figures = {
      captureMs: median(captureMs),
      publishMs: median(publishMs),
      nothingChangedMs: median(idleMs),
      restoreMs: median(restoreMs),
    };
    console.log(JSON.stringify({ lowerFiles, upperFiles, firstMs: Number(firstMs.toFixed(1)), ...figures }));
  } finally {
    try {
      execFileSync('umount', [at('merged')], { stdio: 'ignore' });
    } catch {
      // Already unmounted.
    }
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

const sizes = process.argv.slice(2).map(Number);
for (const files of sizes.length ? sizes : [1000, 20_000]) {
  await measure(files, 0);
  await measure(files, files / 2);
}
