/** What is said of an archive that cannot be trusted, or would be too large for any import: one form for all reasons. */

import { TurntableError } from '../protocol/errors.ts';

/** `why` completes "This archive cannot be used: …". */
export function archiveInvalid(why: string, cause?: unknown): TurntableError {
  return new TurntableError(
    'archiveInvalid',
    `This archive cannot be used: ${why}. Nothing of it was kept; copy it again, or export the session again.`,
    cause === undefined ? {} : { cause },
  );
}

/** `why` completes "This session does not fit into an archive: …". */
export function archiveTooLarge(why: string): TurntableError {
  return new TurntableError(
    'archiveTooLarge',
    `This session does not fit into an archive: ${why}. Export it with --only-head, or from another turn.`,
  );
}
