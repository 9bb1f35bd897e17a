/** Ctrl-C of `npm run bench`, as a terminal sends it: to everything in its group. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { resultSchema } from '../../host-helper/bench/result.ts';
import { exitCodeOf } from '../../host-helper/demo/exit-code.ts';
import { productRoot } from '../../host-helper/demo/helper-process.ts';

const skip = process.getuid?.() === 0 ? false : 'the bench needs root';
const program = join(productRoot, 'host-helper', 'bench', 'main.ts');

test('an interrupted bench keeps what its sections had measured, and leaves nothing', { skip }, async (t) => {
  const directory = await mkdtemp('/var/tmp/turntable-test-');
  t.after(() => rm(directory, { recursive: true, force: true }));
  const out = join(directory, 'bench.json');
  const before = await runDirectories();
  const child = spawn(process.execPath, [program, '--quick', '--only', 'sample,branch', '--out', out], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const ended = exitCodeOf(child);
  const { promise: branching, resolve } = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.includes('branches of files only')) resolve();
  });
  await Promise.race([branching, ended]);
  assert.ok(child.pid !== undefined && child.exitCode === null, `it ended early (${child.exitCode})`);
  process.kill(-child.pid, 'SIGINT');
  assert.equal(await ended, 130);

  const result = resultSchema.parse(JSON.parse(await readFile(out, 'utf8')));
  assert.deepEqual(
    result.sections.map(({ name, error }) => [name, error]),
    [
      ['sample', undefined],
      ['branch', 'interrupted'],
    ],
  );
  assert.ok('sample' in result.details);
  // Of processes, mounts and namespaces the runner makes sure.
  const left = (await runDirectories()).filter((name) => !before.includes(name));
  assert.deepEqual(left, []);
});

async function runDirectories(): Promise<string[]> {
  return (await readdir('/var/tmp')).filter((name) => name.startsWith('turntable-bench-'));
}
