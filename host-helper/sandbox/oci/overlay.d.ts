import type { Logger } from '../../log.ts';
export interface OverlayMount {
  /** Topmost first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
}
/** Mounts and returns the options in effect that matter here. Throws `sandboxFailed` with the kernel's last words. */
export declare function mountOverlay(mount: OverlayMount, logger: Logger): Promise<string[]>;
/** Whether a failure means that the upper or work directory belongs to another mount: one that is still held, or one of another lower. */
export declare function isHeld(words: string): boolean;
/** Colons separate lowers, commas separate options, and both may be in a folder's name. */
export declare function escapeLower(path: string): string;
