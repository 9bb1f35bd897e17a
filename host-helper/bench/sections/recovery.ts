/** Recovery, checkpoint traffic and added time on workloads that a real agent carries out. */

import { z } from 'zod';
import type { PolicyRecovery } from '../recovery.ts';
import { recoverySchema, timeSchema, trafficSchema } from '../result.ts';
import { plainRows } from '../report.ts';
import type { Section, Table } from '../section.ts';
import { percentile } from '../statistics.ts';

const figuresSchema = z.object({ recovery: recoverySchema, traffic: trafficSchema, time: timeSchema });
const names = ['ours', 'filesOnly', 'conversationOnly', 'fullEveryTurn'] as const;
const policyNames = {
  ours: 'Turntable',
  filesOnly: 'files only',
  conversationOnly: 'conversation only',
  fullEveryTurn: 'everything every turn',
} as const;

export const recovery: Section = {
  name: 'recovery',
  text: 'workloads: what comes back, what it costs',
  async run({ directory, quick, signal, say }) {
    const { measureRecovery } = await import('../recovery.ts');
    const measured = await measureRecovery({ directory, quick, signal, say });
    const { traffic, time, sessionLength, counts, failures } = measured;
    return {
      // A share of nothing is undefined, and no figure.
      figures: figuresSchema.parse(measured),
      details: measured,
      tables: [
        recoveryTable(counts),
        {
          title: 'Traffic, time and turns',
          head: ['figure', 'value'],
          rows: plainRows({ traffic, time, sessionLength }),
          note: measured.sampled,
        },
        ...(failures.length === 0
          ? []
          : [
              {
                title: 'What did not come back as it was, or did not go on',
                head: [''],
                rows: failures.map((each) => [each]),
              },
            ]),
      ],
      ...(quick
        ? {
            leftOut: 'most tasks and turns, and all kills',
          }
        : {}),
    };
  },
};

function recoveryTable(counts: Readonly<Record<(typeof names)[number], PolicyRecovery>>): Table {
  return {
    title: 'Restored turns beside the fault-free state, and killed runs',
    head: ['policy', 'restored', 'equal', 'restore ms p50', 'p95', 'killed', 'came to their end'],
    rows: names.map((name) => {
      const { restored, equal, restoreMs, killed, finished } = counts[name];
      return [
        ...[policyNames[name], restored, equal],
        ...(restoreMs.length === 0 ? ['–', '–'] : [percentile(restoreMs, 50), percentile(restoreMs, 95)]),
        ...[killed, finished],
      ];
    }),
  };
}
