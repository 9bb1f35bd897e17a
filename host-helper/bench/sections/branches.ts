/** Many branches from one turn of a small session. */

import { join } from 'node:path';
import { HelperProcess } from '../../demo/helper-process.ts';
import { plainRows } from '../report.ts';
import { branchSchema } from '../result.ts';
import type { Section } from '../section.ts';

export const branches: Section = {
  name: 'branch',
  text: 'branches of one turn',
  async run({ directory, quick, say }) {
    const { measureBranches } = await import('../branches.ts');
    await using helper = await HelperProcess.up(join(directory, 'state'));
    const measured = await measureBranches(helper, directory, quick ? 8 : 32, say);
    return {
      figures: { branch: branchSchema.parse(measured) },
      details: measured,
      tables: [{ title: 'Branches from one turn', head: ['figure', 'value'], rows: plainRows(measured) }],
      ...(quick ? { leftOut: '24 of 32 branches' } : {}),
    };
  },
};
