/** What an apply changed and how it was before: the rows that an undo reads, written before the first change. */

import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { hexOf } from './chunks.ts';
import { inTransaction } from './database.ts';

const stateSchema = z.object({
  kind: z.enum(['file', 'directory', 'symlink', 'other']),
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  /** Undefined: the time of writing. */
  mtimeSec: z
    .number()
    .optional()
    .transform((value): number | undefined => value),
  mtimeNsec: z.number(),
  /** `name=base64` lines. */
  xattrs: z.string(),
  target: z.string(),
  /** Hash as latin1 text; empty for what is no file. */
  content: z.string(),
  size: z.number(),
});

/** An entry of the developer's folder, whole. */
export interface EntryState {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number | undefined;
  readonly mtimeNsec: number;
  readonly xattrs: string;
  readonly target: string;
  readonly content: string;
  readonly size: number;
}

export interface AppliedItem {
  /** Byte string below the folder. */
  readonly path: string;
  readonly before: EntryState | undefined;
  readonly after: EntryState | undefined;
}

const documentSchema = z.object({
  items: z.array(
    z.object({ path: z.string(), before: stateSchema.nullable(), after: stateSchema.nullable() }),
  ),
});

export class ApplyRecords {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Call inside the transaction that keeps the contents. The apply is unfinished until it is `settled`. */
  insert(undoId: string, sessionId: string, folder: string, items: readonly AppliedItem[]): void {
    this.begin('apply', sessionId, undoId);
    this.#database
      .prepare('INSERT INTO apply (id, session, folder, document, created) VALUES (?, ?, ?, ?, ?)')
      .run(undoId, sessionId, folder, encode(items), Date.now());
  }

  /** Notes that the folder is about to be changed. An intent that a later helper finds means: take it back. */
  begin(kind: 'apply' | 'undo', sessionId: string, undoId: string): void {
    this.#database
      .prepare('INSERT INTO intent (kind, session, document) VALUES (?, ?, ?)')
      .run(kind, sessionId, undoId);
  }

  replace(undoId: string, items: readonly AppliedItem[]): void {
    inTransaction(this.#database, () =>
      this.#database.prepare('UPDATE apply SET document = ? WHERE id = ?').run(encode(items), undoId),
    );
  }

  /** What stands in the folder now is what its client is told. */
  settle(undoId: string): void {
    inTransaction(this.#database, () => this.#forgetIntents(undoId));
  }

  find(
    sessionId: string,
    undoId: string,
  ): { readonly folder: string; readonly items: readonly AppliedItem[] } | undefined {
    const row = this.#database
      .prepare('SELECT folder, document FROM apply WHERE id = ? AND session = ?')
      .get(undoId, sessionId);
    if (!row) return undefined;
    const { items } = documentSchema.parse(JSON.parse(String(row['document'])));
    return {
      folder: String(row['folder']),
      items: items.map(({ path, before, after }) => ({
        path,
        before: toState(before),
        after: toState(after),
      })),
    };
  }

  remove(undoId: string): void {
    inTransaction(this.#database, () => {
      this.#database.prepare('DELETE FROM apply WHERE id = ?').run(undoId);
      this.#forgetIntents(undoId);
    });
  }

  #forgetIntents(undoId: string): void {
    this.#database.prepare("DELETE FROM intent WHERE kind IN ('apply', 'undo') AND document = ?").run(undoId);
  }
}

/** `contents` is what collection must spare (hex). */
function encode(items: readonly AppliedItem[]): string {
  const contents = items.flatMap(({ before }) =>
    before?.kind === 'file' ? [{ hash: hexOf(before.content), size: before.size }] : [],
  );
  return JSON.stringify({
    items: items.map(({ path, before, after }) => ({ path, before: before ?? null, after: after ?? null })),
    contents,
  });
}

function toState(state: z.infer<typeof stateSchema> | null): EntryState | undefined {
  return state === null ? undefined : { ...state, mtimeSec: state.mtimeSec };
}
