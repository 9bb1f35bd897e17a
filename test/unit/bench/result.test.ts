import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  comparable,
  figuresSchema,
  mergeFigures,
  missingFigures,
  resultSchema,
  withSections,
  type BenchResult,
} from '../../../host-helper/bench/result.ts';
import { completeFigures } from './figures.ts';

const envelope = {
  startedAt: '2026-01-01T00:00:00.000Z',
  tookMs: 1,
  quick: true,
  commit: '0123456789ab',
  runs: 1,
  machine: { cpus: 2, memoryBytes: 1, kernel: '6.18' },
  sections: [{ name: 'files', tookMs: 1 }],
  details: {},
};

test('a complete run has every promised figure under its promised name', () => {
  const paths = leaves(figuresSchema.parse(completeFigures));
  assert.deepEqual(paths.sort(), [
    'branch.count',
    'branch.marginalMs',
    'branch.oneMs',
    'branch.survivor.marginalMs',
    'branch.survivor.oneMs',
    'branch.survivor.withProcesses',
    'colocation.addedRatio',
    'colocation.addedRatioUnscaled',
    'colocation.holdBackP95',
    'colocation.sandboxes',
    'colocation.timeScale',
    'colocation.turnsCompared',
    'files.afterChanged.0.files',
    'files.afterChanged.0.ms',
    'files.afterChanged.1.files',
    'files.afterChanged.1.ms',
    'files.atTurn.0.ms',
    'files.atTurn.0.turn',
    'files.atTurn.1.ms',
    'files.atTurn.1.turn',
    'files.changeMs.1k',
    'files.changeMs.20k',
    'files.changeMs.250k',
    'files.onePageOf1GBMs',
    'files.onePageOf1GBStoredBytes',
    'files.rewindBySizeMs.1k',
    'files.rewindBySizeMs.20k',
    'files.rewindBySizeMs.250k',
    'files.rewindMs',
    'files.shadowGitMs.1k',
    'files.shadowGitMs.20k',
    'files.shadowGitMs.250k',
    'inspector.decisionMs.p50',
    'inspector.decisionMs.p95',
    'inspector.falseNegatives',
    'inspector.nothingRecognised',
    'inspector.nothingTurns',
    'inspector.overhead.cBuild',
    'inspector.overhead.find',
    'inspector.overhead.gitClone',
    'inspector.overhead.npmInstall',
    'inspector.overhead.outside',
    'inspector.overhead.untar',
    ...['cBuild', 'find', 'gitClone', 'npmInstall', 'outside', 'untar'].map(
      (work) => `inspector.programShare.${work}`,
    ),
    'inspector.turns',
    'recovery.conversationOnly',
    'recovery.filesOnly',
    'recovery.fullEveryTurn',
    'recovery.ours',
    'time.addedRatio',
    'time.holdBackP95',
    'time.thinkScale',
    'time.unscaled.addedRatio',
    'time.unscaled.holdBackP95',
    'traffic.savedVsFull',
    'traffic.savedVsPlainImages',
    'traffic.skipRate',
  ]);
  assert.deepEqual(missingFigures(completeFigures), []);
});

test('a run in which a section failed keeps the figures of the others and names what is missing', () => {
  const { files: _, ...others } = completeFigures;
  const result = resultSchema.parse({
    ...envelope,
    ...others,
    sections: [{ name: 'files', tookMs: 1, error: 'no space' }],
  });
  assert.equal(result.recovery?.ours, 1);
  assert.deepEqual(missingFigures(result), ['files']);
});

test('two sections bring two parts of the inspector’s figures', () => {
  const { overhead, programShare, ...corpus } = completeFigures.inspector;
  const merged = mergeFigures({ inspector: { overhead, programShare } }, { inspector: corpus });
  assert.deepEqual(merged, { inspector: completeFigures.inspector });
});

const whole: BenchResult = resultSchema.parse({
  ...{ ...envelope, ...completeFigures, runs: 1 },
  sections: [
    { name: 'corpus', tookMs: 5 },
    { name: 'overhead', tookMs: 7 },
    { name: 'files', tookMs: 10 },
  ],
  details: { files: 'old', corpus: 'old' },
});

test('some sections take the place of the same ones and leave the others', () => {
  const { overhead } = completeFigures.inspector;
  const part = resultSchema.parse({
    ...envelope,
    inspector: { overhead: { ...overhead, find: 1.5 } },
    sections: [{ name: 'overhead', tookMs: 3 }],
    details: { overhead: 'new' },
  });
  const both = withSections(whole, part);
  assert.equal(both.inspector?.overhead?.find, 1.5);
  assert.equal(both.inspector?.turns, completeFigures.inspector.turns);
  assert.deepEqual(both.sections.map(({ name }) => name).sort(), ['corpus', 'files', 'overhead']);
  assert.equal(both.tookMs, 18);
  assert.equal(both.runs, 2);
  assert.deepEqual(both.details, { files: 'old', corpus: 'old', overhead: 'new' });
  assert.deepEqual(missingFigures(both), []);
});

test('a section that failed leaves what was there', () => {
  const failed = resultSchema.parse({
    ...envelope,
    sections: [{ name: 'files', tookMs: 1, error: 'no space' }],
  });
  assert.deepEqual(withSections(whole, failed).sections, whole.sections);
  assert.deepEqual(withSections(whole, failed).files, whole.files);
});

test('figures stand beside each other only when the program, its tree, the machine and the pace are the same', () => {
  assert.ok(comparable(whole, whole));
  assert.equal(comparable(whole, { ...whole, commit: 'ba9876543210' }), false);
  assert.equal(comparable(whole, { ...whole, quick: false }), false);
  assert.equal(comparable(whole, { ...whole, machine: { ...whole.machine, cpus: 64 } }), false);
  for (const commit of ['unknown', '0123456789ab-dirty'])
    assert.equal(comparable({ ...whole, commit }, { ...whole, commit }), false);
});

test('a figure that is not a number is refused', () => {
  const bad = { ...envelope, traffic: { savedVsFull: 'much' } };
  assert.equal(resultSchema.safeParse(bad).success, false);
});

function leaves(data: unknown, path: readonly string[] = []): string[] {
  if (typeof data !== 'object' || data === null) return [path.join('.')];
  return Object.entries(data).flatMap(([key, value]) => leaves(value, [...path, key]));
}
