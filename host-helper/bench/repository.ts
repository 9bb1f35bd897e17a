/** Makes repositories of a given number of small files, spread over directories as real ones are. */

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const filesPerDirectory = 50;

/** A git repository with `count` files in it, all committed. */
export async function makeRepository(directory: string, count: number): Promise<void> {
  for (let start = 0; start < count; start += filesPerDirectory) {
    const folder = join(directory, `area${Math.floor(start / 5000)}`, `part${start / filesPerDirectory}`);
    await mkdir(folder, { recursive: true });
    const names = Array.from(
      { length: Math.min(filesPerDirectory, count - start) },
      (_, index) => start + index,
    );
    await Promise.all(names.map((name) => writeFile(join(folder, `file${name}.ts`), content(name))));
  }
}

/** Paths of three files in different directories, relative to the repository. */
export function threeFiles(count: number): string[] {
  return [0, Math.floor(count / 2), count - 1].map((name) => {
    const start = name - (name % filesPerDirectory);
    return join(`area${Math.floor(start / 5000)}`, `part${start / filesPerDirectory}`, `file${name}.ts`);
  });
}

/** A repository beside the work tree, as checkpoint tools keep one. */
export class ShadowGit {
  readonly #gitDirectory: string;
  readonly #workTree: string;

  constructor(gitDirectory: string, workTree: string) {
    this.#gitDirectory = gitDirectory;
    this.#workTree = workTree;
  }

  async init(): Promise<void> {
    await run('git', ['init', '-q', '--bare', this.#gitDirectory]);
    await this.#git('config', 'core.bare', 'false');
    // Its housekeeping runs beside the next commits; leaving it out flatters the peer, never us.
    await this.#git('config', 'gc.auto', '0');
    await this.commit();
  }

  async commit(): Promise<void> {
    await this.#git('add', '-A');
    await this.#git(
      '-c',
      'user.name=bench',
      '-c',
      'user.email=bench@localhost',
      'commit',
      '-q',
      '--no-verify',
      '--allow-empty',
      '-m',
      'checkpoint',
    );
  }

  async #git(...args: string[]): Promise<void> {
    await run('git', [`--git-dir=${this.#gitDirectory}`, `--work-tree=${this.#workTree}`, ...args], {
      maxBuffer: 64 * 1024 * 1024,
    });
  }
}

function content(name: number): string {
  return `export const value${name} = ${name};\n`.repeat(8);
}
