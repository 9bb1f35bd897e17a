/** Finds the version of this installation: from the sources and from a bundle, package.json lies in a folder above. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';

const manifestSchema = z.object({ name: z.literal('turntable'), version: z.string() });

/** The version in Turntable's package.json, or "0.0.0" when it was left out of the installation. */
export function packageVersion(): string {
  for (
    let directory = import.meta.dirname;
    directory !== dirname(directory);
    directory = dirname(directory)
  ) {
    try {
      const manifest = manifestSchema.safeParse(
        JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')),
      );
      if (manifest.success) return manifest.data.version;
    } catch {
      // Not in this folder.
    }
  }
  return '0.0.0';
}
