/**
 * Makes repositories of a given number of small files, spread over directories as real ones are, and keeps a shadow-git repository
 * beside one. A quarter of a million files have to be there in seconds, so both are written as one stream: a tar archive, and git's
 * fast-import.
 */

import { execFile, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { exitCodeOf } from '../demo/exit-code.ts';

const execute = promisify(execFile);
const filesPerDirectory = 50;
const blockBytes = 512;
/** Written to the pipe at once. */
const pieceBytes = 1 << 20;

/** A directory tree with `count` files in it. */
export async function makeRepository(directory: string, count: number, signal?: AbortSignal): Promise<void> {
  await mkdir(directory, { recursive: true });
  await fed(['tar', 'xf', '-', '-C', directory], archive(count), signal);
}

/** Paths of three files in different directories, relative to the repository. */
export function threeFiles(count: number): string[] {
  return [0, Math.floor(count / 2), count - 1].map(pathOf);
}

/**
 * A repository beside the work tree, as checkpoint tools keep one. It gets what git has for many files; only its file-system monitor
 * is not there, which git has none of on Linux.
 */
export class ShadowGit {
  readonly #gitDirectory: string;
  readonly #workTree: string;
  readonly #signal: AbortSignal;

  constructor(gitDirectory: string, workTree: string, signal: AbortSignal) {
    this.#gitDirectory = gitDirectory;
    this.#workTree = workTree;
    this.#signal = signal;
  }

  /** Writes `count` files into the empty work tree; the repository starts packed and with a fresh index. */
  async create(count: number): Promise<void> {
    await execute('git', ['init', '-q', '--bare', '-b', 'main', this.#gitDirectory]);
    await this.#git('config', 'core.bare', 'false');
    // Its housekeeping runs beside the next commits; leaving it out flatters the peer, never us.
    await this.#git('config', 'gc.auto', '0');
    await this.#git('config', 'feature.manyFiles', 'true');
    await this.#git('config', 'core.untrackedCache', 'true');
    await mkdir(this.#workTree, { recursive: true });
    await fed(
      ['git', `--git-dir=${this.#gitDirectory}`, 'fast-import', '--quiet'],
      firstCommit(count),
      this.#signal,
    );
    await this.#git('-c', 'checkout.workers=2', 'checkout', '-q', '-f', 'main');
    await this.commit();
  }

  async commit(): Promise<void> {
    await this.#git('add', '-A');
    await this.#git(
      ...['-c', 'user.name=bench', '-c', 'user.email=bench@localhost'],
      ...['commit', '-q', '--no-verify', '--allow-empty', '-m', 'checkpoint'],
    );
  }

  async #git(...args: string[]): Promise<void> {
    await execute('git', [`--git-dir=${this.#gitDirectory}`, `--work-tree=${this.#workTree}`, ...args], {
      maxBuffer: 64 * 1024 * 1024,
      signal: this.#signal,
    });
  }
}

function pathOf(name: number): string {
  const start = name - (name % filesPerDirectory);
  return join(`area${Math.floor(start / 5000)}`, `part${start / filesPerDirectory}`, `file${name}.ts`);
}

function content(name: number): string {
  return `export const value${name} = ${name};\n`.repeat(8);
}

/** In the ustar format; tar makes the directories by itself. */
function* archive(count: number): Generator<Buffer> {
  for (let name = 0; name < count; name += 1) {
    const data = Buffer.alloc(blockBytes);
    const sizeBytes = data.write(content(name));
    yield tarHeader(pathOf(name), sizeBytes);
    yield data;
  }
  yield Buffer.alloc(2 * blockBytes);
}

function tarHeader(path: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(blockBytes);
  header.write(path, 0);
  header.write('0000644', 100);
  header.write('0000000', 108);
  header.write('0000000', 116);
  header.write(sizeBytes.toString(8).padStart(11, '0'), 124);
  header.write(Math.floor(Date.now() / 1000).toString(8), 136);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\0' + '00', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

function* firstCommit(count: number): Generator<Buffer> {
  yield Buffer.from('commit refs/heads/main\ncommitter bench <bench@localhost> 0 +0000\ndata 3\nall\n');
  for (let name = 0; name < count; name += 1) {
    const data = content(name);
    yield Buffer.from(`M 100644 inline ${pathOf(name)}\ndata ${data.length}\n${data}\n`);
  }
  yield Buffer.from('\ndone\n');
}

/** Runs a program and gives it `pieces` on its standard input. */
async function fed(
  argv: readonly [string, ...string[]],
  pieces: Iterable<Buffer>,
  signal?: AbortSignal,
): Promise<void> {
  const [program, ...args] = argv;
  const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], ...(signal ? { signal } : {}) });
  let words = '';
  child.stderr.on('data', (data: Buffer) => (words = `${words}${data.toString()}`.slice(-500)));
  const ended = exitCodeOf(child);
  // A program that ends early says why by its exit code; the broken pipe is only its echo.
  await Promise.all([ended, pipeline(Readable.from(gathered(pieces)), child.stdin).catch(() => {})]);
  if ((await ended) !== 0) throw new Error(`${program} ended with ${await ended}: ${words.trim()}`);
}

function* gathered(pieces: Iterable<Buffer>): Generator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for (const piece of pieces) {
    held.push(piece);
    if ((heldBytes += piece.length) < pieceBytes) continue;
    yield Buffer.concat(held);
    held = [];
    heldBytes = 0;
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}
