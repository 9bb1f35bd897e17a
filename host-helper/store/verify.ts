/**
 * Checks a whole store: every content against its hash, and for every checkpoint whether all it needs is there. Runs in a thread
 * of its own, or in a process without a helper. Only reads; one snapshot of the metadata from beginning to end.
 */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { fromHex, hexOf, locatedFrom, type ChunkHash, type ChunkReader } from './chunk-reader.ts';
import { decodeBlockList, decodeDirectory, isDirectory, isFile, type TreeEntry } from './file-tree.ts';
import { decodeHashes, isLegacy, parsePacked, zeroHash } from './image-format.ts';
import { blockBytes } from './treefs-wire.ts';
import { displayName } from './treefs-wire.ts';
import { VersionStore } from './versions.ts';

/** Of damaged contents only so many are listed; they are all counted. */
const maxListed = 200;
const progressEvery = 5000;

export interface DamagedCheckpoint {
  readonly id: string;
  readonly sessionId: string;
  readonly turn: number;
  /** Why the files, or the processes, of this checkpoint cannot be restored; absent where they can. */
  readonly files?: string;
  readonly processes?: string;
}

export interface Verification {
  readonly contents: number;
  readonly bytes: number;
  readonly checkpoints: number;
  readonly versions: number;
  readonly images: number;
  readonly damagedContents: number;
  /** What is wrong, in words; at most `maxListed`. */
  readonly problems: readonly string[];
  readonly damagedCheckpoints: readonly DamagedCheckpoint[];
  /** Hashes (hex) of contents that are not what they should be. */
  readonly badContents: readonly string[];
}

/** `contents`: read and hash them all; otherwise only look whether each has a place. Throws `storeDamaged` when the metadata cannot be read at all. */
export function verifyStore(
  database: DatabaseSync,
  chunks: ChunkReader,
  packDirectory: string,
  options: { readonly contents: boolean },
  onProgress: (fraction: number) => void,
): Verification {
  database.exec('BEGIN');
  try {
    return new Verifier(database, chunks, packDirectory).run(options.contents, onProgress);
  } finally {
    database.exec('COMMIT');
  }
}

class Verifier {
  readonly #database: DatabaseSync;
  readonly #chunks: ChunkReader;
  readonly #packDirectory: string;
  readonly #versions: VersionStore;
  readonly #bad = new Map<ChunkHash, string>();
  readonly #problems: string[] = [];
  readonly #directories = new Map<ChunkHash, string | undefined>();
  readonly #lists = new Map<ChunkHash, string | undefined>();

  constructor(database: DatabaseSync, chunks: ChunkReader, packDirectory: string) {
    this.#database = database;
    this.#chunks = chunks;
    this.#packDirectory = packDirectory;
    this.#versions = new VersionStore(database, chunks);
  }

  run(contents: boolean, onProgress: (fraction: number) => void): Verification {
    if (contents) this.#integrity();
    this.#packs();
    const read = contents ? this.#contents(onProgress) : { count: 0, bytes: 0 };
    for (const [hash, why] of this.#bad) this.#problem(`content ${hexOf(hash).slice(0, 16)}: ${why}`);
    const versions = new Map<string, string | undefined>();
    for (const id of this.#versions.ids()) versions.set(id, this.#version(id));
    const images = new Map<string, string | undefined>();
    for (const row of this.#database.prepare('SELECT id, packed FROM image').all())
      images.set(String(row['id']), this.#image(String(row['id']), row['packed']));
    for (const [id, why] of versions)
      if (why !== undefined) this.#problem(`file version ${id.slice(0, 16)}: ${why}`);
    for (const [id, why] of images) if (why !== undefined) this.#problem(`process image ${id}: ${why}`);
    const damagedCheckpoints: DamagedCheckpoint[] = [];
    let checkpoints = 0;
    const rows = this.#database
      .prepare(
        'SELECT id, session, turn, file_version, process_image FROM checkpoint ORDER BY session, turn, rowid',
      )
      .all();
    for (const row of rows) {
      checkpoints++;
      const files = stateOf(versions, String(row['file_version']), 'its file version is missing');
      const image = row['process_image'];
      const processes =
        image === null ? undefined : stateOf(images, String(image), 'its process image is missing');
      if (files === undefined && processes === undefined) continue;
      damagedCheckpoints.push({
        id: String(row['id']),
        sessionId: String(row['session']),
        turn: Number(row['turn']),
        ...(files === undefined ? {} : { files }),
        ...(processes === undefined ? {} : { processes }),
      });
    }
    return {
      contents: read.count,
      bytes: read.bytes,
      checkpoints,
      versions: versions.size,
      images: images.size,
      damagedContents: this.#bad.size,
      problems: this.#problems,
      damagedCheckpoints,
      badContents: [...this.#bad.keys()].map(hexOf),
    };
  }

  #integrity(): void {
    for (const row of this.#database.prepare('PRAGMA integrity_check(20)').all()) {
      const verdict = String(Object.values(row)[0]);
      if (verdict !== 'ok') this.#problem(`metadata: ${verdict}`);
    }
  }

  #packs(): void {
    const present = new Set(readdirSync(this.#packDirectory));
    const next = this.#database.prepare('SELECT pack FROM chunk WHERE pack > ? ORDER BY pack LIMIT 1');
    for (let row = next.get(-1); row; row = next.get(Number(row['pack']))) {
      const pack = Number(row['pack']);
      if (!present.has(`${pack}.pack`)) this.#problem(`pack ${pack}: missing`);
      else if (this.#chunks.lostPacks.has(pack)) this.#problem(`pack ${pack}: cut short`);
    }
  }

  /** In the order in which they lie. */
  #contents(onProgress: (fraction: number) => void): { count: number; bytes: number } {
    const columns = 'SELECT rowid AS id, hash, codec, size, data, pack, offset, stored FROM chunk';
    const total = Number(this.#database.prepare('SELECT COUNT(*) AS n FROM chunk').get()?.['n'] ?? 0);
    let count = 0;
    let bytes = 0;
    for (const order of ['WHERE pack IS NOT NULL ORDER BY pack, offset', 'WHERE pack IS NULL']) {
      for (const row of this.#database.prepare(`${columns} ${order}`).iterate()) {
        if (++count % progressEvery === 0) onProgress(count / total);
        if (!(row['hash'] instanceof Uint8Array)) continue;
        const hash = Buffer.from(row['hash']).toString('latin1');
        const found = locatedFrom(row);
        bytes += found.size;
        if (found.pack === undefined && found.data === undefined) {
          this.#bad.set(hash, 'was found damaged before');
          continue;
        }
        try {
          this.#chunks.read(hash, found);
        } catch (error) {
          this.#bad.set(hash, reasonOf(error));
        }
      }
    }
    return { count, bytes };
  }

  #content(hash: ChunkHash): string | undefined {
    if (this.#bad.has(hash)) return 'a content is damaged';
    return this.#chunks.has(hash) ? undefined : 'a content is missing';
  }

  /** A list or directory, decoded; or why it cannot be. */
  #decoded<T>(hash: ChunkHash, decode: (data: Buffer) => T): { readonly value: T } | string {
    const why = this.#content(hash);
    if (why !== undefined) return why;
    try {
      return { value: decode(this.#chunks.get(hash)) };
    } catch (error) {
      return reasonOf(error);
    }
  }

  #version(id: string): string | undefined {
    try {
      for (const [name, root] of this.#versions.roots(id)) {
        const why = this.#entry(root);
        if (why !== undefined) return `${name}${why}`;
      }
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** Undefined when all below an entry is there; else the path to what is not, and why. */
  #entry(entry: TreeEntry): string | undefined {
    if (isDirectory(entry)) return this.#directory(entry.content);
    if (!isFile(entry)) return undefined;
    const why = entry.size <= blockBytes ? this.#content(entry.content) : this.#blocks(entry.content);
    return why === undefined ? undefined : `: ${why}`;
  }

  #directory(hash: ChunkHash): string | undefined {
    if (this.#directories.has(hash)) return this.#directories.get(hash);
    const found = this.#decoded(hash, decodeDirectory);
    let why: string | undefined;
    if (typeof found === 'string') why = `: the directory cannot be read (${found})`;
    else {
      for (const entry of found.value) {
        const below = this.#entry(entry);
        if (below === undefined) continue;
        why = `/${displayName(entry.name)}${below}`;
        break;
      }
    }
    this.#directories.set(hash, why);
    return why;
  }

  #blocks(hash: ChunkHash): string | undefined {
    return this.#list(hash, (data) => decodeBlockList(data).blocks.filter((block) => block !== undefined));
  }

  /** A list of contents, each of which must be there. */
  #list(hash: ChunkHash, decode: (data: Buffer) => readonly ChunkHash[]): string | undefined {
    if (this.#lists.has(hash)) return this.#lists.get(hash);
    const found = this.#decoded(hash, decode);
    let why: string | undefined;
    if (typeof found === 'string') why = found;
    else for (const each of found.value) why ??= this.#content(each);
    this.#lists.set(hash, why);
    return why;
  }

  #image(id: string, packed: unknown): string | undefined {
    if (typeof packed !== 'string')
      return existsSync(join(this.#packDirectory, '../images', id)) ? undefined : 'its directory is missing';
    try {
      const image = parsePacked(packed);
      if (isLegacy(image)) {
        for (const { list } of image) {
          const why = this.#blocks(fromHex(list));
          if (why !== undefined) return why;
        }
        return undefined;
      }
      const manifest = this.#content(fromHex(image.manifest));
      if (manifest !== undefined) return manifest;
      const lists = this.#decoded(fromHex(image.root), decodeHashes);
      if (typeof lists === 'string') return lists;
      for (const list of lists.value) {
        const why = this.#list(list, (data) => decodeHashes(data).filter((page) => page !== zeroHash));
        if (why !== undefined) return why;
      }
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #problem(text: string): void {
    if (this.#problems.length < maxListed) this.#problems.push(text);
  }
}

function stateOf(
  found: ReadonlyMap<string, string | undefined>,
  id: string,
  missing: string,
): string | undefined {
  return found.has(id) ? found.get(id) : missing;
}

/** What happened, without the next step: that stands below the whole list. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('. ')[0] ?? text;
}
