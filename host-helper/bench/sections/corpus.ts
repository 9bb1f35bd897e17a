/** The inspector against the labelled corpus, which lives with the tests and runs in a process of its own. */

import { join } from 'node:path';
import { z } from 'zod';
import { productRoot } from '../../demo/helper-process.ts';
import { corpusSchema } from '../result.ts';
import { run } from '../run-command.ts';
import type { Section } from '../section.ts';

const reportSchema = corpusSchema.loose();
const familiesSchema = z.array(z.looseObject({ family: z.string() }));

export const corpus: Section = {
  name: 'corpus',
  text: 'labelled turns: what the inspector misses and recognises',
  async run({ quick, signal }) {
    const program = join(productRoot, 'test', 'corpus', 'main.ts');
    // It ends with 1 when it found a false negative: the figure says that, so the line is read all the same.
    const output = await run([process.execPath, program, '--json', ...(quick ? ['--quick'] : [])], {
      signal,
      cwd: productRoot,
      acceptFailure: true,
    });
    const line = output.trimEnd().split('\n').at(-1) ?? '';
    const { turns, falseNegatives, nothingTurns, nothingRecognised, decisionMs, ...rest } =
      reportSchema.parse(JSON.parse(line));
    const families = familiesSchema.safeParse(rest['families']).data;
    return {
      figures: { inspector: { turns, falseNegatives, nothingTurns, nothingRecognised, decisionMs } },
      details: rest,
      tables: [
        {
          title: 'Inspector on the labelled corpus',
          head: [
            'turns',
            'false negatives',
            'nothing-turns',
            'recognised (share)',
            'decision p50 ms',
            'p95 ms',
          ],
          rows: [[turns, falseNegatives, nothingTurns, nothingRecognised, decisionMs.p50, decisionMs.p95]],
          ...(families ? { note: `families: ${families.map(({ family }) => family).join(', ')}` } : {}),
        },
      ],
      ...(quick
        ? { leftOut: `all but ${turns} turns, about a fifth of the corpus, of every family some` }
        : {}),
    };
  },
};
