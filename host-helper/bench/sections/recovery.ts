/** Recovery, checkpoint traffic and added time on workloads that a real agent carries out. */

import { z } from 'zod';
import { recoverySchema, timeSchema, trafficSchema } from '../result.ts';
import { plainRows } from '../report.ts';
import type { Section } from '../section.ts';

const measuredSchema = z.looseObject({
  recovery: recoverySchema.loose(),
  traffic: trafficSchema.loose(),
  time: timeSchema.loose(),
});

export const recovery: Section = {
  name: 'recovery',
  text: 'workloads: what comes back, what it costs',
  async run({ directory, quick, say }) {
    const { measureRecovery } = await import('../recovery.ts');
    const measured = measuredSchema.parse(await measureRecovery({ directory, quick, say }));
    const { recovery: shares, traffic, time } = measured;
    return {
      figures: {
        recovery: recoverySchema.parse(shares),
        traffic: trafficSchema.parse(traffic),
        time: timeSchema.parse(time),
      },
      details: measured,
      tables: [
        {
          title: 'Restored turns that equal the fault-free state (share)',
          head: ['ours', 'files only', 'conversation only', 'everything every turn'],
          rows: [[shares.ours, shares.filesOnly, shares.conversationOnly, shares.fullEveryTurn]],
        },
        {
          title: 'Traffic, time and turns',
          head: ['figure', 'value'],
          rows: plainRows({ ...measured, recovery: {} }),
        },
      ],
    };
  },
};
