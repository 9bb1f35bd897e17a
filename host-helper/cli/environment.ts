/** Variables as they are given on a command line. */

import { TurntableError } from '../protocol/errors.ts';

/** `KEY` takes the value from here, `KEY=value` brings its own. */
export function environmentOf(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      if (at > 0) return [entry.slice(0, at), entry.slice(at + 1)];
      const value = process.env[entry];
      if (value === undefined) {
        throw new TurntableError(
          'invalidParams',
          `--env ${entry}: there is no such variable here; set it or give ${entry}=value.`,
        );
      }
      return [entry, value];
    }),
  );
}
