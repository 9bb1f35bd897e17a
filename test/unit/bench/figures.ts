/** A complete set of figures, none of them measured. */

import type { Figures } from '../../../host-helper/bench/result.ts';

export const completeFigures: Figures = {
  inspector: {
    turns: 500,
    falseNegatives: 0,
    nothingTurns: 200,
    nothingRecognised: 0.98,
    decisionMs: { p50: 3, p95: 14 },
    overhead: {
      gitClone: 1.012,
      untar: 1.018,
      find: 1.001,
      cBuild: 1.004,
      npmInstall: 0.998,
      outside: 1.006,
    },
    programShare: {
      gitClone: 0.008,
      untar: 0.009,
      find: 0,
      cBuild: 0.003,
      npmInstall: 0.005,
      outside: 0.004,
    },
  },
  recovery: { ours: 1, filesOnly: 0.42, conversationOnly: 0.08, fullEveryTurn: 1 },
  traffic: { savedVsFull: 0.93, savedVsPlainImages: 0.99, skipRate: 0.75 },
  time: {
    ...{ addedRatio: 0.008, holdBackP95: 12, thinkScale: 0.05 },
    unscaled: { addedRatio: 0.001, holdBackP95: 0 },
  },
  files: {
    changeMs: { '1k': 12, '20k': 12.5, '250k': 13 },
    shadowGitMs: { '1k': 24, '20k': 110, '250k': 2100 },
    rewindMs: 300,
    rewindBySizeMs: { '1k': 200, '20k': 300, '250k': 2000 },
    onePageOf1GBStoredBytes: 70_000,
    onePageOf1GBMs: 900,
    afterChanged: [
      { files: 1000, ms: 14 },
      { files: 4000, ms: 15 },
    ],
    atTurn: [
      { turn: 10, ms: 12 },
      { turn: 40, ms: 12 },
    ],
  },
  branch: {
    ...{ oneMs: 300, marginalMs: 120, count: 32 },
    survivor: { oneMs: 500, marginalMs: 220, withProcesses: 32 },
  },
  colocation: {
    ...{ sandboxes: 32, addedRatio: 0.006, holdBackP95: 20 },
    ...{ timeScale: 0.5, addedRatioUnscaled: 0.003, turnsCompared: 400 },
  },
};
