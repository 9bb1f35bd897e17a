/**
 * The one logger: small, injected, line-oriented. It knows levels and fields, and nothing of the parts that use it.
 * The audit log is something else (authority/audit.ts): append-only and never optional.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Writes one record per call. `child` prefixes the scope of a part, so that a line tells who speaks. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  child(scope: string): Logger;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A logger that hands finished lines (without a newline) to `write`; records below `minimum` are dropped. */
export function createLogger(write: (line: string) => void, minimum: LogLevel = 'info', scope = ''): Logger {
  const log = (level: LogLevel, message: string, fields?: Record<string, unknown>): void => {
    if (rank[level] < rank[minimum]) return;
    const tail = fields ? ' ' + JSON.stringify(fields, replaceUnprintable) : '';
    write(`${new Date().toISOString()} ${level} ${scope ? scope + ': ' : ''}${message}${tail}`);
  };
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
    child: (name) => createLogger(write, minimum, scope ? `${scope}/${name}` : name),
  };
}

/** A logger that says nothing, for tests of parts whose log is not under test. */
export const silentLogger: Logger = createLogger(() => {}, 'error');

function replaceUnprintable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
