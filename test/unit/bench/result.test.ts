import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  figuresSchema,
  mergeFigures,
  missingFigures,
  resultSchema,
} from '../../../host-helper/bench/result.ts';
import { completeFigures } from './figures.ts';

const envelope = {
  startedAt: '2026-01-01T00:00:00.000Z',
  tookMs: 1,
  quick: true,
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
    'colocation.addedRatio',
    'colocation.holdBackP95',
    'colocation.sandboxes',
    'files.changeMs.1k',
    'files.changeMs.20k',
    'files.changeMs.250k',
    'files.onePageOf1GBStoredBytes',
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
    'inspector.turns',
    'recovery.conversationOnly',
    'recovery.filesOnly',
    'recovery.fullEveryTurn',
    'recovery.ours',
    'time.addedRatio',
    'time.holdBackP95',
    'traffic.savedVsFull',
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
  const { overhead, ...corpus } = completeFigures.inspector;
  const merged = mergeFigures({ inspector: { overhead } }, { inspector: corpus });
  assert.deepEqual(merged, { inspector: completeFigures.inspector });
});

test('a figure that is not a number is refused', () => {
  const bad = { ...envelope, traffic: { savedVsFull: 'much' } };
  assert.equal(resultSchema.safeParse(bad).success, false);
});

function leaves(data: unknown, path: readonly string[] = []): string[] {
  if (typeof data !== 'object' || data === null) return [path.join('.')];
  return Object.entries(data).flatMap(([key, value]) => leaves(value, [...path, key]));
}
