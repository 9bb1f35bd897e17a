/** The sample session turn by turn, with a real agent: classes, bytes, hold-back, and what rewind and branch take with processes. */

import { join } from 'node:path';
import { HelperProcess } from '../../demo/helper-process.ts';
import { measureSampleTurns } from '../sample-turns.ts';
import type { Section } from '../section.ts';

export const sample: Section = {
  name: 'sample',
  text: 'the sample session, turn by turn',
  async run({ directory, quick, signal }) {
    await using helper = await HelperProcess.up(join(directory, 'state'));
    const measured = await measureSampleTurns(helper, directory, quick ? 1 : 3, signal);
    return {
      figures: {},
      details: measured,
      tables: [
        {
          title: `Sample session (rewind ${measured.rewindMs} ms, branch ${measured.branchMs} ms, ${measured.withProcesses ? 'processes included' : 'files only'})`,
          head: ['turn', 'what', 'class', 'bytes', 'held ms', 'decided in ms', 'closed in ms'],
          rows: measured.turns.map((turn) => [
            turn.turn,
            turn.label.slice(0, 40),
            turn.class,
            turn.bytes,
            turn.heldMs,
            turn.inspectMs,
            turn.closeMs,
          ]),
        },
      ],
      ...(quick ? { leftOut: 'two of three runs' } : {}),
    };
  },
};
