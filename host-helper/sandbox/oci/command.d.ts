export interface CommandResult {
  /** Exit code, or 128 + signal number is not known: a signal counts as 1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
export interface CommandOptions {
  readonly timeoutMs?: number;
  /** Nothing is captured and all three descriptors are /dev/null, because the command hands them on to what it starts. */
  readonly detached?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}
/** Runs and returns whatever the exit code is. Throws `sandboxFailed` when it cannot start, `timedOut` when it takes too long. */
export declare function tryCommand(
  command: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult>;
/** Runs and returns stdout. Throws `sandboxFailed` with the command's own words when it fails. */
export declare function runCommand(
  command: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<string>;
/** The last non-empty lines of a text, joined for one message. */
export declare function lastLines(text: string, count: number): string;
