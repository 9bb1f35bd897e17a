/**
 * `npm run bench`: first figures, as medians and ratios taken side by side in one run. `-- --quick` leaves out the largest
 * repository and does fewer rounds; `-- --json` ends with one line of JSON. Always writes bench.json.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { HelperProcess, productRoot } from '../demo/helper-process.ts';
import { measureFileCheckpoints, type FileCheckpoints } from './file-checkpoints.ts';
import { measureOverhead } from './overhead.ts';
import { measureSampleTurns } from './sample-turns.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const rounds = values.quick ? 5 : 15;
const sizes = values.quick ? [1_000, 20_000] : [1_000, 20_000, 250_000];

const directory = await mkdtemp('/var/tmp/turntable-bench-');
try {
  const startedAt = new Date().toISOString();
  const files: FileCheckpoints[] = [];
  await using helper = await HelperProcess.up(join(directory, 'state'));
  for (const size of sizes) {
    say(`file checkpoints in a repository of ${size} files …`);
    files.push(await measureFileCheckpoints(helper, directory, size, rounds));
  }
  print(
    [
      'files',
      'checkpoint ms',
      'inspect ms',
      'capture ms',
      'shadow git ms',
      'git / ours',
      'bytes',
      'rewind ms',
    ],
    files.map((row) => [
      row.files,
      row.checkpointMs,
      row.inspectMs,
      row.captureMs,
      row.shadowGitMs,
      row.ratio,
      row.bytesStored,
      row.rewindMs,
    ]),
  );
  say('sample session …');
  const sample = await measureSampleTurns(helper, directory, values.quick ? 1 : 3);
  print(
    ['turn', 'what', 'class', 'bytes', 'held ms', 'inspect ms'],
    sample.turns.map((turn) => [
      turn.turn,
      turn.label.slice(0, 40),
      turn.class,
      turn.bytes,
      turn.heldMs,
      turn.inspectMs,
    ]),
  );
  say(
    `rewind ${sample.rewindMs} ms, branch ${sample.branchMs} ms${sample.withProcesses ? ', processes included' : ' (files only)'}`,
  );
  say('inspector overhead …');
  const overhead = await measureOverhead(
    directory,
    join(productRoot, 'dist', 'bin', 'sentry'),
    values.quick ? 3 : 9,
  );
  print(
    ['work', 'watched / not', 'not watched ms'],
    Object.entries(overhead).map(([work, row]) => [work, row.ratio, row.baseMs]),
  );
  const result = {
    startedAt,
    machine: { cpus: cpus().length, memoryBytes: totalmem(), kernel: release() },
    quick: values.quick,
    files,
    sample,
    overhead,
  };
  await writeFile(join(productRoot, 'bench.json'), JSON.stringify(result, undefined, 2) + '\n');
  if (values.json) process.stdout.write(JSON.stringify(result) + '\n');
} finally {
  await rm(directory, { recursive: true, force: true });
}

function print(head: string[], rows: (string | number)[][]): void {
  const table = new Table({
    head,
    style: { head: [], border: [] },
    colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')),
  });
  table.push(...rows);
  say(table.toString());
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
