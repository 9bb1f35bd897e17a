/** Checkpoints of files: by size of the repository beside shadow git, by size of the session, and of one page of a large file. */

import { join } from 'node:path';
import { formatSize } from '../../cli/format/units.ts';
import { HelperProcess } from '../../demo/helper-process.ts';
import { measureFileCheckpoints, type FileCheckpoints } from '../file-checkpoints.ts';
import { measureGrowth, type GrowthRow } from '../growth.ts';
import { measureLargeFile } from '../large-file.ts';
import type { SizeKey } from '../result.ts';
import type { Section } from '../section.ts';

const sizes: Readonly<Record<SizeKey, number>> = { '1k': 1_000, '20k': 20_000, '250k': 250_000 };
const largeBytes = 1_000_000_000;

export const files: Section = {
  name: 'files',
  text: 'checkpoints of files, beside shadow git',
  async run({ directory, quick, signal, say }) {
    await using helper = await HelperProcess.up(join(directory, 'state'));
    const measure = (size: SizeKey): Promise<FileCheckpoints> => {
      say(`files: a change of three in a repository of ${size} …`);
      return measureFileCheckpoints(helper, {
        directory,
        files: sizes[size],
        rounds: quick ? 5 : 25,
        peerRounds: quick ? 3 : 15,
        rewinds: quick ? 2 : 5,
        signal,
      });
    };
    const bySize = { '1k': await measure('1k'), '20k': await measure('20k') };
    say('files: growth with what a session has changed, and with its length …');
    const growth = await measureGrowth(helper, {
      directory,
      changedBefore: quick ? [1_000, 4_000] : [1_000, 4_000, 20_000],
      turns: quick ? [10, 40] : [10, 100, 500],
      rounds: quick ? 5 : 11,
      signal,
    });
    say('files: one page of a file of 1 GB …');
    const large = await measureLargeFile(helper, {
      ...{ directory, sizeBytes: largeBytes, rounds: quick ? 1 : 3 },
      rewind: !quick,
    });
    const all = { ...bySize, '250k': await measure('250k') };
    return {
      figures: {
        files: {
          changeMs: {
            '1k': all['1k'].checkpointMs,
            '20k': all['20k'].checkpointMs,
            '250k': all['250k'].checkpointMs,
          },
          shadowGitMs: {
            '1k': all['1k'].shadowGitMs,
            '20k': all['20k'].shadowGitMs,
            '250k': all['250k'].shadowGitMs,
          },
          rewindMs: all['20k'].rewindMs,
          rewindBySizeMs: {
            '1k': all['1k'].rewindMs,
            '20k': all['20k'].rewindMs,
            '250k': all['250k'].rewindMs,
          },
          onePageOf1GBStoredBytes: large.onePageStoredBytes,
          onePageOf1GBMs: large.onePageMs,
          afterChanged: growth.byChangedBefore.map(({ at, checkpointMs }) => ({
            files: at,
            ms: checkpointMs,
          })),
          atTurn: growth.byTurn.map(({ at, checkpointMs }) => ({ turn: at, ms: checkpointMs })),
        },
      },
      details: { bySize: all, growth, large },
      tables: [
        {
          title: 'A change of three files',
          head: [
            'repository',
            'checkpoint ms, all in',
            'p95 ms',
            'deciding',
            'capturing',
            'shadow git ms',
            'times',
            'bytes',
            'rewind ms',
          ],
          rows: Object.values(all).map((row) => [
            row.files,
            row.checkpointMs,
            row.checkpointP95Ms,
            row.inspectMs,
            row.captureMs,
            row.shadowGitMs,
            row.ratio,
            row.bytesStored,
            row.rewindMs,
          ]),
        },
        {
          title: 'The same change with so many files changed before',
          head: ['changed before', 'checkpoint ms', 'deciding', 'capturing', 'that turn itself ms'],
          rows: growth.byChangedBefore.map((row) => [...growthCells(row), row.bulkMs]),
        },
        {
          title: 'The same change at turn …',
          head: ['turn', 'checkpoint ms', 'deciding', 'capturing'],
          rows: growth.byTurn.map(growthCells),
        },
        {
          title: `A file of ${formatSize(large.sizeBytes)}`,
          head: ['', 'stored', 'ms'],
          rows: [
            ['kept the first time', formatSize(large.firstStoredBytes), large.firstMs],
            ['one page changed', formatSize(large.onePageStoredBytes), large.onePageMs],
            ...(large.rewindMs === undefined ? [] : [['rewound', '', large.rewindMs]]),
          ],
        },
      ],
      ...(quick
        ? {
            leftOut:
              'more than 5 rounds (3 of shadow git and 2 rewinds), sessions of more than 4,000 changed files and 40 turns, the rewind of 1 GB',
          }
        : {}),
    };
  },
};

function growthCells(row: GrowthRow): (string | number)[] {
  return [row.at, row.checkpointMs, row.inspectMs, row.captureMs];
}
