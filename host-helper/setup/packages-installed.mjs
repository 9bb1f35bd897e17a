/**
 * Exits 0 when DIR/node_modules holds what DIR/package-lock.json asks for, so that set-up need not reinstall what a developer
 * installed by hand. Runs on the machine's own Node (20 or newer), before any package is there.
 *
 *   node packages-installed.mjs DIR
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = process.argv[2] ?? '.';

/** @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean, peer?: boolean, link?: boolean }>} */
const packagesOf = (file) => JSON.parse(readFileSync(join(directory, file), 'utf8')).packages;

try {
  const wanted = packagesOf('package-lock.json');
  const present = packagesOf('node_modules/.package-lock.json');
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue;
    const found = present[path];
    // Optional ones are often for another platform.
    if (found === undefined ? !entry.optional : found.version !== entry.version) process.exit(1);
  }
} catch {
  process.exit(1);
}
