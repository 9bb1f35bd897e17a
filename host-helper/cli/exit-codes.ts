/** The exit codes of `turntable`: scripts rely on them. `exec` alone ends with the command's own code. */

import type { ErrorName } from '../protocol/errors.ts';

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** No helper answers, or one that speaks another version. */
  notReachable: 3,
  /** The helper, its owner, or the person at the terminal said no. */
  refused: 4,
} as const;

const byError: Partial<Record<ErrorName, number>> = {
  invalidParams: exitCodes.usage,
  helperNotRunning: exitCodes.notReachable,
  versionMismatch: exitCodes.notReachable,
  notPermitted: exitCodes.refused,
  unauthorized: exitCodes.refused,
  notRestorable: exitCodes.refused,
  conflict: exitCodes.refused,
  cancelled: exitCodes.refused,
};

/** The exit code that stands for an error. */
export function exitCodeOf(error: ErrorName): number {
  return byError[error] ?? exitCodes.failed;
}
