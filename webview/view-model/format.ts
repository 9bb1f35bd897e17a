/** Numbers as a person reads them: sizes, durations, countdowns. Pure; knows no DOM. */

const units = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** `0 B`, `812 B`, `3 KB`, `1.9 MB`: decimal units, one digit after the point from MB up. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit >= 2 && value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit] ?? 'B'}`;
}

/** `6 ms`, `310 ms`, `1.4 s`, `2m 5s`, `1h 3m`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
}

/** `0:14`, `12:05`, `1:02:09`: for clocks that run. Never negative. */
export function formatClock(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const seconds = String(whole % 60).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${seconds}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${seconds}`;
}

/** `1 876`: thousands apart by a narrow space that does not break. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** A path without the session's workspace in front, when it is inside it. */
export function shortPath(path: string, workspace: string): string {
  if (path === workspace) return '.';
  return path.startsWith(`${workspace}/`) ? path.slice(workspace.length + 1) : path;
}

/** A clause with a full stop behind it. It may begin with a program's name, so its first letter stays as it is. */
export function withFullStop(words: string): string {
  const text = words.trim();
  return text === '' || /[.!?\u2026]$/.test(text) ? text : `${text}.`;
}

/** The last part of a program's path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1) || path;
}
