/**
 * Places where a test may let the helper die as a power cut would: `TURNTABLE_CRASH_AT=NAME` in its environment. Without the
 * variable this does nothing. The variable is read once, so that nobody can set it later.
 */

const wanted = process.env['TURNTABLE_CRASH_AT'];

/** Names are `WORK:STEP`, for example `rewind:stopped`. */
export function crashPoint(name: string): void {
  if (wanted === name) process.kill(process.pid, 'SIGKILL');
}
