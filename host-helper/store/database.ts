/**
 * The store's SQLite database: how it is opened, its schema and version, and what its failures mean to a client.
 * Knows tables, not what the rows are for.
 */

import { DatabaseSync } from 'node:sqlite';
import { TurntableError } from '../protocol/errors.ts';

/** Raised with every change of the schema; a database of a newer version is refused. */
export const schemaVersion = 3;
const applicationId = 0x7475726e;

const schema = `
  CREATE TABLE chunk (
    hash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL,
    data BLOB, pack INTEGER, offset INTEGER, stored INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX chunk_pack ON chunk(pack, offset) WHERE pack IS NOT NULL;
  CREATE INDEX chunk_lost ON chunk(codec) WHERE data IS NULL AND pack IS NULL;
  CREATE TABLE version (id TEXT PRIMARY KEY, roots TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE session (id TEXT PRIMARY KEY, document TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
  CREATE TABLE turn (
    session TEXT NOT NULL, turn INTEGER NOT NULL, document TEXT NOT NULL, PRIMARY KEY (session, turn)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE checkpoint (
    id TEXT PRIMARY KEY, session TEXT NOT NULL, turn INTEGER NOT NULL, file_version TEXT NOT NULL,
    process_image TEXT, position TEXT NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX checkpoint_turn ON checkpoint(session, turn);
  CREATE TABLE image (id TEXT PRIMARY KEY, bytes INTEGER NOT NULL, created INTEGER NOT NULL, packed TEXT) STRICT, WITHOUT ROWID;
  CREATE TABLE intent (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, session TEXT NOT NULL, document TEXT NOT NULL
  ) STRICT;
  CREATE TABLE apply (
    id TEXT PRIMARY KEY, session TEXT NOT NULL, folder TEXT NOT NULL, document TEXT NOT NULL, created INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** From each version to the next, beginning with the first. */
const migrations = [
  'ALTER TABLE image ADD COLUMN packed TEXT;',
  'CREATE INDEX chunk_lost ON chunk(codec) WHERE data IS NULL AND pack IS NULL;',
];

/** Opens or makes the database. Throws `storeDamaged` when it is not ours, newer than this helper, or broken. */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;');
    const found = pragma(database, 'user_version');
    if (found === 0 && pragma(database, 'page_count') <= 1) create(database);
    else check(database, found, path);
    return database;
  } catch (error) {
    database?.close();
    throw explainDatabaseError(error, path);
  }
}

/** SQLite's failures as a client should meet them; others are passed through. */
export function explainDatabaseError(error: unknown, what: string): unknown {
  if (error instanceof TurntableError) return error;
  const code = sqliteCode(error);
  if (code === undefined) return error;
  const primary = code & 0xff;
  if (primary === 13 || code === 10 + (3 << 8)) return diskFull(error);
  if (primary === 11 || primary === 26) return damaged(`The metadata (${what}) is damaged`, error);
  return error;
}

export function diskFull(cause: unknown): TurntableError {
  return new TurntableError(
    'diskFull',
    'The disk with the state directory is full. Nothing of this step was kept; earlier checkpoints are intact. Free some space, then try again.',
    { cause },
  );
}

export function damaged(what: string, cause?: unknown): TurntableError {
  return new TurntableError(
    'storeDamaged',
    `${what}. \`turntable fsck\` says what is damaged and what still restores; the developer's folders are not affected.`,
    cause === undefined ? {} : { cause },
  );
}

/** Runs `work` in one transaction, rolled back when it throws. Synchronous: nothing else of the helper can get in between. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw explainDatabaseError(error, 'state database');
  }
}

/**
 * Commits of `work` do not wait for the disk; they reach it in order, with the next commit that does. For rows that mean
 * nothing before a later one names them.
 */
export function withoutSync(database: DatabaseSync, work: () => void): void {
  database.exec('PRAGMA synchronous = NORMAL');
  try {
    work();
  } finally {
    database.exec('PRAGMA synchronous = FULL');
  }
}

/** Bytes inside the file that rows to come will use again: it never shrinks. */
export function reusableBytes(database: DatabaseSync): number {
  return pragma(database, 'freelist_count') * pragma(database, 'page_size');
}

function create(database: DatabaseSync): void {
  database.exec(`PRAGMA application_id = ${applicationId};`);
  database.exec(`BEGIN; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
}

function check(database: DatabaseSync, found: number, path: string): void {
  if (pragma(database, 'application_id') !== applicationId)
    throw damaged(`${path} is not a database of this program`);
  if (found > schemaVersion) {
    throw new TurntableError(
      'storeDamaged',
      `The state directory was written by a newer version (schema ${found}, this one knows ${schemaVersion}). Update the helper, or use another state directory.`,
    );
  }
  if (found >= 1 && found < schemaVersion) {
    const steps = migrations.slice(found - 1).join(' ');
    database.exec(`BEGIN; ${steps} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
  } else if (found !== schemaVersion) throw damaged(`${path} has the unknown schema ${found}`);
  // A full check reads the whole file: only while that is quick. Broken pages of a larger one show when they are read.
  const quickCheckPages = 16_384;
  if (pragma(database, 'page_count') <= quickCheckPages) {
    const row = database.prepare('PRAGMA quick_check(1)').get();
    const verdict = row ? Object.values(row)[0] : undefined;
    if (verdict !== 'ok') throw damaged(`${path} does not pass SQLite's check (${String(verdict)})`);
  }
}

function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  const value = row ? Object.values(row)[0] : undefined;
  return typeof value === 'number' ? value : 0;
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}
