/** Where results are kept between runs: bench.json, and which file a run of some sections goes to. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { productRoot } from '../demo/helper-process.ts';
import { comparable, resultSchema, withSections, type BenchResult } from './result.ts';
import { run } from './run-command.ts';

export const resultPath = join(productRoot, 'bench.json');
/** For some sections whose figures must not stand beside those of bench.json. */
const partPath = join(productRoot, 'bench.only.json');

export class BenchFile {
  readonly path: string;
  readonly #before: BenchResult | undefined;

  private constructor(path: string, before: BenchResult | undefined) {
    this.path = path;
    this.#before = before;
  }

  /** A whole run starts bench.json anew; some sections are added to one that is comparable, and go elsewhere when it is not. */
  static async for(
    result: BenchResult,
    { whole, out }: { readonly whole: boolean; readonly out: string | undefined },
  ): Promise<BenchFile> {
    if (out !== undefined) return new BenchFile(out, undefined);
    if (whole) return new BenchFile(resultPath, undefined);
    const text = await readFile(resultPath, 'utf8').catch(() => undefined);
    if (text === undefined) return new BenchFile(resultPath, undefined);
    const before = resultSchema.safeParse(parsed(text)).data;
    return before && comparable(before, result)
      ? new BenchFile(resultPath, before)
      : new BenchFile(partPath, undefined);
  }

  async keep(result: BenchResult): Promise<void> {
    const whole = this.#before ? withSections(this.#before, result) : result;
    await writeFile(this.path, JSON.stringify(whole, undefined, 2) + '\n');
  }
}

/** Of the product's tree: twelve digits, `-dirty` when files were changed; `unknown` without git. */
export async function commitOfProduct(): Promise<string> {
  // Under sudo the tree is somebody else's.
  const git = ['git', '-c', 'safe.directory=*', '-C', productRoot];
  return run([...git, 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']).then(
    (words) => words.trim(),
    () => 'unknown',
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
