/** Numbers as a person reads them: sizes, durations, countdowns. Pure; knows no DOM. */
/** `0 B`, `812 B`, `3 KB`, `1.9 MB`: decimal units, one digit after the point from MB up. */
export declare function formatBytes(bytes: number): string;
/** `6 ms`, `310 ms`, `1.4 s`, `2m 5s`, `1h 3m`. */
export declare function formatDuration(ms: number): string;
/** `0:14`, `12:05`, `1:02:09`: for clocks that run. Never negative. */
export declare function formatClock(ms: number): string;
/** `1 876`: thousands apart by a narrow space that does not break. */
export declare function formatCount(count: number): string;
/** A path without the session's workspace in front, when it is inside it. */
export declare function shortPath(path: string, workspace: string): string;
/** The last part of a program's path. */
export declare function baseName(path: string): string;
