/** A complete set of figures, none of them measured. */

import type { Figures } from '../../../host-helper/bench/result.ts';

export const completeFigures: Figures = {
  inspector: {
    turns: 500,
    falseNegatives: 0,
    nothingTurns: 200,
    nothingRecognised: 196,
    decisionMs: { p50: 3, p95: 14 },
    overhead: {
      gitClone: 1.012,
      untar: 1.018,
      find: 1.001,
      cBuild: 1.004,
      npmInstall: 0.998,
      outside: 1.006,
    },
  },
  recovery: { ours: 1, filesOnly: 0.42, conversationOnly: 0.08, fullEveryTurn: 1 },
  traffic: { savedVsFull: 0.93 },
  time: { addedRatio: 1.008, holdBackP95: 12 },
  files: {
    changeMs: { '1k': 12, '20k': 12.5, '250k': 13 },
    shadowGitMs: { '1k': 24, '20k': 110, '250k': 2100 },
    rewindMs: 300,
    onePageOf1GBStoredBytes: 70_000,
  },
  branch: { oneMs: 300, marginalMs: 120, count: 32 },
  colocation: { sandboxes: 32, addedRatio: 0.006, holdBackP95: 20 },
};
