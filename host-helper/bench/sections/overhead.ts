/** What watching costs: see ../overhead.ts for how it is measured. */

import { join } from 'node:path';
import { productRoot } from '../../demo/helper-process.ts';
import { measureOverhead } from '../overhead.ts';
import type { Section } from '../section.ts';

export const overhead: Section = {
  name: 'overhead',
  text: 'CPU time that the BPF programs add to work, in a sandbox and outside',
  async run(context) {
    const measured = await measureOverhead({
      ...context,
      sentryPath: join(productRoot, 'dist', 'bin', 'sentry'),
    });
    const { gitClone, untar, find, cBuild, npmInstall, outside } = measured;
    return {
      figures: {
        inspector: {
          overhead: {
            gitClone: gitClone.ratio,
            untar: untar.ratio,
            find: find.ratio,
            cBuild: cBuild.ratio,
            npmInstall: npmInstall.ratio,
            outside: outside.ratio,
          },
        },
      },
      details: measured,
      tables: [
        {
          title: 'CPU time watched / not watched',
          head: ['work', 'ratio', '95 % of medians', 'wall', 'pairs', 'CPU ms', 'wall ms'],
          rows: Object.values(measured).map((each) => [
            each.text,
            each.ratio,
            `${each.low} to ${each.high}`,
            each.wallRatio,
            each.pairs,
            each.baseCpuMs,
            each.baseWallMs,
          ]),
          note: 'Only the BPF programs are switched: the work runs in a control group and an overlay, with nothing else of a sandbox.',
        },
      ],
      ...(context.quick ? { leftOut: 'half of the files to work on, and most pairs' } : {}),
    };
  },
};
