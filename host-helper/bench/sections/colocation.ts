/** Many sandboxes at once on this machine, with and without the engine's scheduling. */

import { z } from 'zod';
import { plainRows } from '../report.ts';
import type { Section } from '../section.ts';

const measuredSchema = z.looseObject({
  sandboxes: z.number(),
  addedRatio: z.number(),
  holdBackP95Ms: z.number(),
});

export const colocation: Section = {
  name: 'colocation',
  text: 'many sandboxes replaying together',
  async run({ directory, quick, say }) {
    const { measureColocation } = await import('../colocation.ts');
    const measured = measuredSchema.parse(
      // Model waits are shortened: a median of 10 s would take an hour, and the more they are, the harder it gets.
      await measureColocation({ directory, sandboxes: quick ? 8 : 32, timeScale: quick ? 0.1 : 0.5, say }),
    );
    const { sandboxes, addedRatio, holdBackP95Ms } = measured;
    return {
      figures: { colocation: { sandboxes, addedRatio, holdBackP95: holdBackP95Ms } },
      details: measured,
      tables: [{ title: 'Sandboxes together', head: ['figure', 'value'], rows: plainRows(measured) }],
    };
  },
};
