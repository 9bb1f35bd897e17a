export interface MountEntry {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}
/** All mounts of this mount namespace, in the kernel's order. */
export declare function readMounts(): Promise<MountEntry[]>;
/** Parses proc(5) mountinfo. Lines that are not understood are left out. */
export declare function parseMountInfo(text: string): MountEntry[];
/** Unmounts everything at or below a directory, topmost first; lazily where a process on the host still holds it. */
export declare function unmountBelow(directory: string): Promise<void>;
/** Unmounts the topmost mount at a path. Returns false when it had to stay attached to its holders (lazy). */
export declare function unmount(target: string): Promise<boolean>;
