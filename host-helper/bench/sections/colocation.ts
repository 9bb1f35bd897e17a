/** Many sandboxes at once on this machine, with and without the engine's scheduling. */

import { plainRows } from '../report.ts';
import type { Section } from '../section.ts';

export const colocation: Section = {
  name: 'colocation',
  text: 'many sandboxes replaying together',
  async run({ directory, quick, signal, say }) {
    const { measureColocation } = await import('../colocation.ts');
    // In a quick look the model's waits are shortened, which makes it the harder.
    const measured = await measureColocation({
      ...{ directory, sandboxes: quick ? 8 : 32, timeScale: quick ? 0.1 : 1 },
      ...{ signal, say },
    });
    const { sandboxes, addedRatio, addedRatioUnscaled, holdBackP95Ms, timeScale, withEngine } = measured;
    const { turnsCompared, dumps } = withEngine;
    return {
      figures: {
        colocation: {
          ...{ sandboxes, addedRatio, addedRatioUnscaled, holdBackP95: holdBackP95Ms, timeScale },
          turnsCompared,
        },
      },
      details: measured,
      tables: [{ title: 'Sandboxes together', head: ['figure', 'value'], rows: plainRows(measured) }],
      ...(quick
        ? {
            leftOut: `24 of 32 sandboxes, four fifths of the waits, all turns but ${turnsCompared}, in which ${dumps} times processes were dumped`,
          }
        : {}),
    };
  },
};
