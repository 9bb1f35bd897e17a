/** What watching costs: see ../overhead.ts for how it is measured. */

import { join } from 'node:path';
import type { z } from 'zod';
import { productRoot } from '../../demo/helper-process.ts';
import { measureOverhead, type WorkOverhead } from '../overhead.ts';
import type { overheadSchema } from '../result.ts';
import type { Section } from '../section.ts';
import { rounded } from '../statistics.ts';

export const overhead: Section = {
  name: 'overhead',
  text: 'CPU time that the BPF programs add to work, in a sandbox and outside',
  async run(context) {
    const measured = await measureOverhead({
      ...context,
      sentryPath: join(productRoot, 'dist', 'bin', 'sentry'),
    });
    const of = (value: (work: WorkOverhead) => number): z.infer<typeof overheadSchema> => ({
      gitClone: value(measured.gitClone),
      untar: value(measured.untar),
      find: value(measured.find),
      cBuild: value(measured.cBuild),
      npmInstall: value(measured.npmInstall),
      outside: value(measured.outside),
    });
    return {
      figures: {
        inspector: {
          overhead: of((work) => work.ratio),
          programShare: of((work) => work.programShare),
        },
      },
      details: measured,
      tables: [
        {
          title: 'CPU time watched / not watched',
          head: ['work', 'ratio', '95 % of medians', 'in programs', 'wall', 'pairs', 'CPU ms', 'wall ms'],
          rows: Object.values(measured).map((each) => [
            each.text,
            each.ratio,
            `${each.low} to ${each.high}`,
            `${rounded(each.programShare * 100, 2)} %`,
            each.wallRatio,
            each.pairs,
            each.baseCpuMs,
            each.baseWallMs,
          ]),
          note: 'Only the BPF programs are switched: the work runs in a control group and an overlay, with nothing else of a sandbox. “In programs” is the kernel’s own account of the time within them.',
        },
      ],
      ...(context.quick ? { leftOut: 'two thirds of the files to work on, and most pairs' } : {}),
    };
  },
};
