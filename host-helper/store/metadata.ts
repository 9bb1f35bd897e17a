/**
 * The rows that sessions own, and write-ahead notes of work in several steps. Documents are opaque JSON here.
 * Every write is one synchronous transaction. Durable ones wait for the disk; relaxed ones are in the log, which the next
 * durable one takes to the disk whole: they would otherwise hold up every reply that passes through this process.
 */

import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { TurntableError } from '../protocol/errors.ts';
import { explainDatabaseError, inTransaction, withoutSync } from './database.ts';
import type { CheckpointRecord, FileVersionId, MetadataStore } from './store.ts';

type Row = Record<string, SQLOutputValue>;

export class SqliteMetadata implements MetadataStore {
  readonly #database: DatabaseSync;
  readonly #onClose: () => void;
  readonly #onExpired: (versions: readonly FileVersionId[]) => void;

  /** `onExpired` is told which file versions a checkpoint less names. */
  constructor(
    database: DatabaseSync,
    onClose: () => void,
    onExpired: (versions: readonly FileVersionId[]) => void = () => {},
  ) {
    this.#database = database;
    this.#onClose = onClose;
    this.#onExpired = onExpired;
  }

  publish(checkpoint: CheckpointRecord, turnDocument: string, sessionDocument?: string): void {
    inTransaction(this.#database, () => {
      this.#publish(checkpoint, turnDocument);
      if (sessionDocument !== undefined) this.#putSession(checkpoint.sessionId, sessionDocument);
    });
  }

  expire(
    turns: readonly { readonly sessionId: string; readonly turn: number; readonly document: string }[],
  ): void {
    const versions: FileVersionId[] = [];
    inTransaction(this.#database, () => {
      const remove = this.#database.prepare(
        'DELETE FROM checkpoint WHERE session = ? AND turn = ? RETURNING file_version AS version',
      );
      for (const { sessionId, turn, document } of turns) {
        versions.push(...remove.all(sessionId, turn).map((row) => String(row['version'])));
        this.#putTurn(sessionId, turn, document);
      }
    });
    this.#onExpired(versions);
  }

  adopt(sessionId: string, turns: Parameters<MetadataStore['adopt']>[1]): void {
    inTransaction(this.#database, () => {
      for (const { turn, document, checkpoint } of turns) {
        if (checkpoint) this.#publish(checkpoint, document);
        else this.#putTurn(sessionId, turn, document);
      }
    });
  }

  checkpoint(id: string): CheckpointRecord | undefined {
    return this.#one('SELECT * FROM checkpoint WHERE id = ?', id);
  }

  checkpointOf(sessionId: string, turn: number): CheckpointRecord | undefined {
    return this.#one(
      'SELECT * FROM checkpoint WHERE session = ? AND turn = ? ORDER BY rowid DESC LIMIT 1',
      sessionId,
      turn,
    );
  }

  turnsWithCheckpoint(sessionId: string): readonly number[] {
    return this.#all('SELECT DISTINCT turn FROM checkpoint WHERE session = ? ORDER BY turn', sessionId).map(
      (row) => Number(row['turn']),
    );
  }

  putSession(sessionId: string, document: string, how: 'durable' | 'relaxed' = 'durable'): void {
    const write = (): void => inTransaction(this.#database, () => this.#putSession(sessionId, document));
    if (how === 'relaxed') withoutSync(this.#database, write);
    else write();
  }

  putTurn(sessionId: string, turn: number, document: string): void {
    withoutSync(this.#database, () =>
      inTransaction(this.#database, () => this.#putTurn(sessionId, turn, document)),
    );
  }

  sessions(): readonly { readonly id: string; readonly document: string }[] {
    return this.#all('SELECT id, document FROM session ORDER BY created, rowid').map((row) => ({
      id: String(row['id']),
      document: String(row['document']),
    }));
  }

  turns(sessionId: string): readonly { readonly turn: number; readonly document: string }[] {
    return this.#all('SELECT turn, document FROM turn WHERE session = ? ORDER BY turn', sessionId).map(
      (row) => ({
        turn: Number(row['turn']),
        document: String(row['document']),
      }),
    );
  }

  removeSession(sessionId: string): void {
    inTransaction(this.#database, () => {
      for (const table of ['checkpoint', 'turn', 'apply', 'intent']) {
        this.#database.prepare(`DELETE FROM ${table} WHERE session = ?`).run(sessionId);
      }
      this.#database.prepare('DELETE FROM session WHERE id = ?').run(sessionId);
    });
  }

  beginIntent(kind: string, sessionId: string, document: string): number {
    return inTransaction(this.#database, () =>
      Number(
        this.#database
          .prepare('INSERT INTO intent (kind, session, document) VALUES (?, ?, ?)')
          .run(kind, sessionId, document).lastInsertRowid,
      ),
    );
  }

  endIntent(id: number): void {
    this.#write('DELETE FROM intent WHERE id = ?', id);
  }

  intents(): readonly {
    readonly id: number;
    readonly kind: string;
    readonly sessionId: string;
    readonly document: string;
  }[] {
    return this.#all('SELECT id, kind, session, document FROM intent ORDER BY id').map((row) => ({
      id: Number(row['id']),
      kind: String(row['kind']),
      sessionId: String(row['session']),
      document: String(row['document']),
    }));
  }

  close(): void {
    this.#onClose();
  }

  #putSession(sessionId: string, document: string): void {
    this.#database
      .prepare(
        'INSERT INTO session (id, document, created) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document',
      )
      .run(sessionId, document, Date.now());
  }

  /** Inside a transaction. */
  #publish(
    { id, sessionId, turn, fileVersion, processImage, position, createdAt }: CheckpointRecord,
    turnDocument: string,
  ): void {
    if (!this.#database.prepare('SELECT 1 FROM version WHERE id = ?').get(fileVersion)) {
      throw new TurntableError(
        'checkpointFailed',
        `The file version ${fileVersion.slice(0, 12)} is not in the store. Capture the files again.`,
      );
    }
    if (
      processImage !== undefined &&
      !this.#database.prepare('SELECT 1 FROM image WHERE id = ?').get(processImage)
    ) {
      throw new TurntableError(
        'checkpointFailed',
        `The process image ${processImage} is not in the store. Dump the processes again.`,
      );
    }
    this.#database
      .prepare(
        'INSERT INTO checkpoint (id, session, turn, file_version, process_image, position, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(id, sessionId, turn, fileVersion, processImage ?? null, position, Math.trunc(createdAt));
    this.#putTurn(sessionId, turn, turnDocument);
  }

  #putTurn(sessionId: string, turn: number, document: string): void {
    this.#database
      .prepare(
        'INSERT INTO turn (session, turn, document) VALUES (?, ?, ?) ON CONFLICT (session, turn) DO UPDATE SET document = excluded.document',
      )
      .run(sessionId, turn, document);
  }

  #write(sql: string, ...values: (string | number)[]): void {
    inTransaction(this.#database, () => this.#database.prepare(sql).run(...values));
  }

  #all(sql: string, ...values: (string | number)[]): Row[] {
    try {
      return this.#database.prepare(sql).all(...values);
    } catch (error) {
      throw explainDatabaseError(error, 'state database');
    }
  }

  #one(sql: string, ...values: (string | number)[]): CheckpointRecord | undefined {
    const row = this.#all(sql, ...values)[0];
    if (!row) return undefined;
    return {
      id: String(row['id']),
      sessionId: String(row['session']),
      turn: Number(row['turn']),
      fileVersion: String(row['file_version']),
      processImage: row['process_image'] === null ? undefined : String(row['process_image']),
      position: String(row['position']),
      createdAt: Number(row['created_at']),
    };
  }
}
