/** What is said of an archive that cannot be trusted: one form for all reasons. */

import { TurntableError } from '../protocol/errors.ts';

/** `why` completes "This archive cannot be used: …". */
export function archiveInvalid(why: string, cause?: unknown): TurntableError {
  return new TurntableError(
    'archiveInvalid',
    `This archive cannot be used: ${why}. Nothing of it was kept; copy it again, or export the session again.`,
    cause === undefined ? {} : { cause },
  );
}
