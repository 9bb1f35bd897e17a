/**
 * Places where a test may let the helper die as a power cut would. `TURNTABLE_CRASH_AT` in its environment is the name of one,
 * or the path of a file that holds the name when the time has come. Without the variable this does nothing; it is read once, so
 * that nobody can set it later. Must not know what happens at a place.
 */

import { readFileSync } from 'node:fs';

const wanted = process.env['TURNTABLE_CRASH_AT'];

/** Every place, as `WORK:STEP`, in the order in which the work passes them. */
export const crashPoints = [
  'start:recorded',
  'start:created',
  'start:running',
  'start:captured',
  'start:published',

  'launch:doors',
  'launch:noted',
  'launch:runs',
  'launch:attached',

  'checkpoint:observed',
  'checkpoint:planned',
  'checkpoint:begun',
  'checkpoint:frozen',
  'checkpoint:captured',
  'checkpoint:thawed',
  'checkpoint:unpublished',
  'checkpoint:published',
  'checkpoint:moved',
  'checkpoint:released',

  'capture:stored',
  'capture:flushed',
  'capture:committed',

  'dump:staged',
  'dump:detached',
  'dump:quiet',
  'dump:paused',
  'dump:gate',
  'dump:answered',
  'dump:written',
  'dump:resumed',
  'dump:attached',

  'image:packed',
  'image:stored',
  'image:recorded',
  'image:cached',

  'rewind:safe',
  'rewind:ended',
  'rewind:stopped',
  'rewind:prepared',
  'rewind:restored',
  'rewind:carried',
  'rewind:moved',
  'rewind:whole',
  'rewind:done',

  'renew:moved',
  'renew:cleared',
  'restore:files',
  'restore:opened',
  'restore:processes',

  'branch:noted',
  'branch:saved',
  'branch:recorded',
  'branch:created',
  'branch:restored',
  'branch:goesOn',
  'branch:done',

  'import:begun',
  'import:recorded',
  'import:restored',

  'apply:planned',
  'apply:recorded',
  'apply:written',
  'apply:done',
  'apply:confirmed',
  'undo:written',
  'undo:done',

  'gc:imageForgotten',
  'gc:imageRemoved',
  'gc:versionsForgotten',
  'gc:contentsForgotten',
  'gc:packGiven',

  'stop:closed',
  'stop:down',
  'stop:marked',
  'resume:kept',
  'resume:noted',
  'resume:restored',
  'resume:moved',
  'remove:down',
  'remove:destroyed',
  'remove:forgotten',
] as const;

export type CrashPoint = (typeof crashPoints)[number];

export function crashPoint(name: CrashPoint): void {
  if (wanted !== undefined && (wanted === name || named(wanted) === name))
    process.kill(process.pid, 'SIGKILL');
}

function named(path: string): string | undefined {
  if (!path.startsWith('/')) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
