/** Sizes, durations and times for people. Pure. */

const sizeUnits = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `1.5 kB`: decimal units, at most three digits. */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 999.5 && unit < sizeUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${sizeUnits[unit] ?? ''}`;
}

/** `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 20 min`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 999.5) return `${Math.round(durationMs)} ms`;
  if (durationMs < 9_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** `5 min ago`, or `now`. */
export function formatAgo(at: number, now: number): string {
  const passedMs = now - at;
  if (passedMs < 1_000) return 'now';
  const minutes = Math.floor(passedMs / 60_000);
  if (minutes < 1) return `${Math.floor(passedMs / 1000)} s ago`;
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 60 / 24)} days ago`;
}

/** `2026-01-31 23:59:59`, in local time. */
export function formatTime(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  );
}

/** `1 file`, `3 files`. */
export function plural(count: number, noun: string, many = noun + 's'): string {
  return `${count} ${count === 1 ? noun : many}`;
}
