/**
 * Files as they were at the end of a turn, as read-only documents: `turntable://SESSION/absolute/path?TURN`. VS Code's
 * own editors and diff editors open them like any other file; both sides of a diff have the same path, so that none is taken for renamed. The authority `empty` holds a file that was not there.
 */

import * as vscode from 'vscode';
import { TurntableError } from '../host-helper/protocol/errors.ts';
import type { HelperConnection } from './connection.ts';

export const turnScheme = 'turntable';
const emptyAuthority = 'empty';

/** A file (absolute path inside the sandbox) as it was at the end of a turn. */
export function turnUri(sessionId: string, turn: number, path: string): vscode.Uri {
  return vscode.Uri.from({ scheme: turnScheme, authority: sessionId, path, query: String(turn) });
}

/** An empty file of the same name, for the missing side of a diff. */
export function absentUri(path: string): vscode.Uri {
  return vscode.Uri.from({ scheme: turnScheme, authority: emptyAuthority, path });
}

/** The session, turn and path of such a document; undefined when it is none. */
export function parseTurnUri(uri: vscode.Uri): { sessionId: string; turn: number; path: string } | undefined {
  if (uri.scheme !== turnScheme || !/^\d+$/.test(uri.query) || !uri.path.startsWith('/')) return undefined;
  return { sessionId: uri.authority, turn: Number(uri.query), path: uri.path };
}

export class TurnDocuments implements vscode.FileSystemProvider {
  readonly #connection: HelperConnection;
  readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.#changed.event;

  constructor(connection: HelperConnection) {
    this.#connection = connection;
  }

  /** What a closed turn holds never changes. */
  watch(): vscode.Disposable {
    return new vscode.Disposable(() => {});
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    if (uri.authority === emptyAuthority) {
      return {
        type: vscode.FileType.File,
        ctime: 0,
        mtime: 0,
        size: 0,
        permissions: vscode.FilePermission.Readonly,
      };
    }
    const { sessionId, turn, path } = this.#parse(uri);
    const stat = await this.#ask(uri, () => this.#connection.request('file/stat', { sessionId, turn, path }));
    return {
      type: typeOf(stat.kind),
      ctime: stat.mtimeMs,
      mtime: stat.mtimeMs,
      size: stat.sizeBytes,
      permissions: vscode.FilePermission.Readonly,
    };
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    if (uri.authority === emptyAuthority) return new Uint8Array();
    const { sessionId, turn, path } = this.#parse(uri);
    const file = await this.#ask(uri, () => this.#connection.request('file/read', { sessionId, turn, path }));
    return Buffer.from(file.content, 'base64');
  }

  /** The protocol lists changes, not directories. */
  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  writeFile(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  #parse(uri: vscode.Uri): { sessionId: string; turn: number; path: string } {
    const parsed = parseTurnUri(uri);
    if (!parsed) throw vscode.FileSystemError.FileNotFound(uri);
    return parsed;
  }

  async #ask<Result>(uri: vscode.Uri, question: () => Promise<Result>): Promise<Result> {
    try {
      return await question();
    } catch (error) {
      if (
        error instanceof TurntableError &&
        ['fileNotFound', 'turnNotFound', 'sessionNotFound'].includes(error.code)
      ) {
        throw vscode.FileSystemError.FileNotFound(uri);
      }
      throw vscode.FileSystemError.Unavailable(error instanceof Error ? error.message : String(error));
    }
  }
}

function typeOf(kind: 'file' | 'directory' | 'symlink' | 'other'): vscode.FileType {
  switch (kind) {
    case 'file':
      return vscode.FileType.File;
    case 'directory':
      return vscode.FileType.Directory;
    case 'symlink':
      return vscode.FileType.SymbolicLink;
    case 'other':
      return vscode.FileType.Unknown;
  }
}
