/**
 * Every error a client can meet: a stable numeric code, a stable name, and a message that says what to do next.
 * Codes are JSON-RPC's own where it has one; ours start at 1000 and are never reused.
 */

export const errorCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** First frame was not `hello`, or `hello` came twice. */
  outOfOrder: 1000,
  versionMismatch: 1001,
  unauthorized: 1002,
  frameTooLarge: 1003,
  overloaded: 1004,
  sessionNotFound: 1100,
  turnNotFound: 1101,
  notRestorable: 1102,
  sessionBusy: 1103,
  sessionNotRunning: 1104,
  workspaceInvalid: 1105,
  agentUnknown: 1106,
  agentMissing: 1107,
  fileNotFound: 1108,
  conflict: 1109,
  approvalNotFound: 1200,
  approvalSettled: 1201,
  sandboxFailed: 1300,
  sentryFailed: 1301,
  checkpointFailed: 1302,
  restoreFailed: 1303,
  storeDamaged: 1304,
  diskFull: 1305,
  unsupportedHost: 1306,
  helperRunning: 1307,
  helperNotRunning: 1308,
  notPermitted: 1309,
  cancelled: 1310,
  timedOut: 1311,
  /** The state directory has no room left by its quota. */
  quotaExceeded: 1320,
  /** A session archive that is cut short, changed, or not one at all. */
  archiveInvalid: 1400,
  /** A session of which no archive can be made that an import would take. */
  archiveTooLarge: 1401,
} as const;

export type ErrorName = keyof typeof errorCodes;

/** The one error type that crosses the protocol. `message` must name the next step; `data` is small and JSON. */
export class TurntableError extends Error {
  override readonly name = 'TurntableError';
  readonly code: ErrorName;
  readonly data: Record<string, unknown> | undefined;

  constructor(
    code: ErrorName,
    message: string,
    options: { data?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.data = options.data;
  }

  get number(): number {
    return errorCodes[this.code];
  }
}

/** The name of a numeric code, or `internal` for one that this version does not know. */
export function errorNameOf(code: number): ErrorName {
  for (const [name, value] of Object.entries(errorCodes)) {
    if (value === code && isErrorName(name)) return name;
  }
  return 'internal';
}

function isErrorName(name: string): name is ErrorName {
  return name in errorCodes;
}
