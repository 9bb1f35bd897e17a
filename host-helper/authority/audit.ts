/**
 * The audit log: one append-only, hash-chained file of JSON lines. Each record holds the hash of the one before, so a
 * changed, removed or inserted record breaks the chain at that place. It knows nothing of what the records mean.
 *
 * A caller that cannot append must not act: `append` rejects, and decisions then fail closed. The chain shows tampering
 * with what is there; only a running helper, which remembers the head, also sees that the end was cut off.
 */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';

const recordSchema = z.strictObject({
  sequence: z.number().int().nonnegative(),
  at: z.number(),
  kind: z.string(),
  sessionId: z.string().optional(),
  data: z.record(z.string(), z.unknown()),
  /** Hash of the record before; 64 zeros for the first. */
  previous: z.string(),
  hash: z.string(),
});
export type AuditRecord = z.infer<typeof recordSchema>;

export interface AuditVerification {
  readonly intact: boolean;
  readonly records: number;
  /** The first record (counting from 0) that does not hold, and why. */
  readonly brokenAt?: number;
  readonly detail?: string;
}

export interface AuditLog extends AsyncDisposable {
  readonly path: string;
  /** Resolves when the record is on disk. Rejects (`storeDamaged` or `diskFull`) when it is not: then deny. */
  append(kind: string, sessionId: string | undefined, data: Record<string, unknown>): Promise<AuditRecord>;
  /** The newest `limit` records (default 200), oldest first, of one session or of all. Unreadable lines are left out; `verify` tells. */
  read(query: { sessionId?: string; limit?: number }): Promise<AuditRecord[]>;
  verify(): Promise<AuditVerification>;
  close(): Promise<void>;
}

const firstPrevious = '0'.repeat(64);
const recordBytesLimit = 256 * 1024;
const queueLimit = 10_000;

/**
 * Opens `audit.log` (mode 0600) in the state directory, creating it. A torn last line, as a crash leaves it, is moved
 * to `audit.log.torn-N` and noted in the log itself; the chain goes on from the last whole record.
 */
export async function openAuditLog(stateDirectory: string, now: () => number = Date.now): Promise<AuditLog> {
  const path = join(stateDirectory, 'audit.log');
  const file = await open(
    path,
    constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    await file.chmod(0o600);
    const end = await findEnd(path, file);
    const log = createLog(path, file, end, now);
    if (end.torn) {
      const keptIn = await keepAside(path, end.sequence, end.torn);
      await file.truncate(end.bytes);
      await file.sync();
      await log.append('audit.recovered', undefined, {
        tornBytes: end.torn.length,
        keptIn,
        sha256: createHash('sha256').update(end.torn).digest('hex'),
      });
    }
    return log;
  } catch (error) {
    await file.close();
    throw error;
  }
}

interface End {
  /** Bytes of whole records. */
  readonly bytes: number;
  /** Of the next record. */
  readonly sequence: number;
  readonly previous: string;
  /** What stands after the last whole record. */
  readonly torn: Buffer | undefined;
}

function createLog(path: string, file: FileHandle, end: End, now: () => number): AuditLog {
  interface Waiting {
    readonly record: AuditRecord;
    readonly line: string;
    resolve(record: AuditRecord): void;
    reject(error: Error): void;
  }
  let { sequence, previous } = end;
  let bytes = end.bytes;
  let durable: { sequence: number; hash: string } = { sequence, hash: previous };
  let queue: Waiting[] = [];
  let flushing: Promise<void> | undefined;
  let broken: TurntableError | undefined;
  let closed = false;

  /**
   * Writes everything that waits with one fsync. What follows a record that could not be written would stand on it, so
   * it is refused as well. A full disk may be mended; after any other failure nobody knows what the disk holds.
   */
  const flush = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        const block = Buffer.from(batch.map((waiting) => waiting.line).join(''));
        await writeFully(file, block);
        await file.datasync();
        bytes += block.length;
      } catch (cause) {
        const error = appendError(cause, path);
        const undone = await file.truncate(bytes).then(
          () => true,
          () => false,
        );
        if (error.code !== 'diskFull' || !undone) broken = error;
        for (const waiting of [...batch, ...queue]) waiting.reject(error);
        queue = [];
        sequence = durable.sequence;
        previous = durable.hash;
        continue;
      }
      const last = batch.at(-1);
      if (last) durable = { sequence: last.record.sequence + 1, hash: last.record.hash };
      for (const waiting of batch) waiting.resolve(waiting.record);
    }
    flushing = undefined;
  };

  const log: AuditLog = {
    path,
    append(kind, sessionId, data) {
      if (closed)
        return Promise.reject(
          new TurntableError(
            'storeDamaged',
            'The audit log is closed: the helper is stopping. Start it again.',
          ),
        );
      if (broken) return Promise.reject(broken);
      if (queue.length >= queueLimit)
        return Promise.reject(
          new TurntableError(
            'overloaded',
            'The audit log cannot keep up with what is asked. Try again in a moment.',
          ),
        );
      const body = {
        sequence,
        at: now(),
        kind,
        ...(sessionId === undefined ? {} : { sessionId }),
        data: plain(data),
        previous,
      };
      const record: AuditRecord = { ...body, hash: hashOf(body) };
      const line = canonicalJson(record) + '\n';
      if (line.length > recordBytesLimit)
        return Promise.reject(
          new TurntableError(
            'storeDamaged',
            `An audit record of ${line.length} bytes is too large; nothing was recorded and nothing is allowed.`,
          ),
        );
      sequence++;
      previous = record.hash;
      return new Promise<AuditRecord>((resolve, reject) => {
        queue.push({ record, line, resolve, reject });
        flushing ??= flush();
      });
    },
    async read({ sessionId, limit = 200 }) {
      await flushing;
      const records: AuditRecord[] = [];
      for await (const line of linesOf(path)) {
        const record = parseRecord(line);
        if (!record || (sessionId !== undefined && record.sessionId !== sessionId)) continue;
        records.push(record);
        if (records.length > limit * 2) records.splice(0, records.length - limit);
      }
      return records.slice(-limit);
    },
    async verify() {
      await flushing;
      const head = durable;
      let count = 0;
      let expected = firstPrevious;
      for await (const line of linesOf(path)) {
        if (count === head.sequence) break;
        const wrong = (detail: string): AuditVerification => ({
          intact: false,
          records: count,
          brokenAt: count,
          detail,
        });
        const record = parseRecord(line);
        if (!record) return wrong('This line is not a record.');
        const { hash, ...body } = record;
        if (record.sequence !== count)
          return wrong(`Record ${record.sequence} stands where ${count} belongs.`);
        if (record.previous !== expected) return wrong('It does not follow from the record before.');
        if (hashOf(body) !== hash || canonicalJson(record) !== line)
          return wrong('Its contents do not fit its hash.');
        expected = hash;
        count++;
      }
      if (count !== head.sequence || expected !== head.hash) {
        return {
          intact: false,
          records: count,
          brokenAt: count,
          detail: `Records are missing at the end: ${head.sequence} were written.`,
        };
      }
      return { intact: true, records: count };
    },
    async close() {
      if (closed) return;
      closed = true;
      await flushing;
      await file.close();
    },
    [Symbol.asyncDispose]: () => log.close(),
  };
  return log;
}

async function findEnd(path: string, file: FileHandle): Promise<End> {
  const { size } = await file.stat();
  let last: AuditRecord | undefined;
  let bytes = 0;
  let position = 0;
  let rest: Buffer = Buffer.alloc(0);
  // Whole lines are counted; only the last of them decides the chain, so damage in the middle is left to `verify`.
  for await (const chunk of createReadStream(path)) {
    const data = Buffer.concat([rest, Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))]);
    let start = 0;
    for (let newline = data.indexOf(10, start); newline >= 0; newline = data.indexOf(10, start)) {
      const record = parseRecord(data.subarray(start, newline).toString('utf8'));
      position += newline + 1 - start;
      start = newline + 1;
      if (record) {
        last = record;
        bytes = position;
      }
    }
    rest = data.subarray(start);
  }
  const end = { bytes, sequence: last ? last.sequence + 1 : 0, previous: last?.hash ?? firstPrevious };
  if (bytes === size) return { ...end, torn: undefined };
  const torn = Buffer.alloc(size - bytes);
  await file.read(torn, 0, torn.length, bytes);
  return { ...end, torn };
}

async function keepAside(path: string, sequence: number, torn: Buffer): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const name = `${path}.torn-${sequence}${attempt === 0 ? '' : `-${attempt}`}`;
    try {
      const aside = await open(name, 'wx', 0o600);
      try {
        await aside.writeFile(torn);
        await aside.sync();
      } finally {
        await aside.close();
      }
      return name;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST') || attempt > 100)
        throw error;
    }
  }
}

async function writeFully(file: FileHandle, block: Buffer): Promise<void> {
  let written = 0;
  while (written < block.length) {
    const { bytesWritten } = await file.write(block, written, block.length - written);
    written += bytesWritten;
  }
}

function appendError(cause: unknown, path: string): TurntableError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TurntableError(
      'diskFull',
      `The disk is full, so ${path} cannot be written and nothing that must be recorded is allowed. Make room and try again.`,
      { cause },
    );
  }
  return new TurntableError(
    'storeDamaged',
    `${path} cannot be written, so nothing more is allowed. Look at the file system and restart the helper.`,
    { cause },
  );
}

function linesOf(path: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(path), crlfDelay: Infinity });
}

function parseRecord(line: string): AuditRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = recordSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

function hashOf(body: Record<string, unknown>): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex');
}

/** What JSON can hold of it, so that what is hashed is what will be read back. */
function plain(data: Record<string, unknown>): Record<string, unknown> {
  const copy: unknown = JSON.parse(
    JSON.stringify(data, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)),
  );
  return z.record(z.string(), z.unknown()).parse(copy);
}

/** JSON with the keys of every object sorted and no blanks: one text for one value. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
