/**
 * The work whose cost with and without watching is compared: what agents make a sandbox do. Everything is generated and
 * offline. Owns the sources and the scripts; knows nothing of how they are measured.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRepository } from './repository.ts';
import { run } from './run-command.ts';

export interface Work {
  readonly name: 'gitClone' | 'untar' | 'find' | 'cBuild' | 'npmInstall' | 'outside';
  readonly text: string;
  /** Shell; each time in a fresh directory, in which `prepare` ran before, unmeasured. */
  readonly script: string;
  readonly prepare: string;
}

export interface WorkSizes {
  readonly repositoryFiles: number;
  readonly cFiles: number;
  readonly packages: number;
}

/** Generates the sources below `directory`. */
export async function prepareWork(directory: string, sizes: WorkSizes, signal: AbortSignal): Promise<Work[]> {
  const at = (name: string): string => join(directory, name);
  await mkdir(at('repository'), { recursive: true });
  await makeRepository(at('repository'), sizes.repositoryFiles, signal);
  const git = ['git', '-C', at('repository'), '-c', 'user.name=bench', '-c', 'user.email=bench@localhost'];
  await run(['git', 'init', '-q', at('repository')], { signal });
  await run([...git, 'add', '-A'], { signal });
  await run([...git, 'commit', '-q', '--no-verify', '-m', 'all'], { signal });
  await run(['tar', 'cf', at('repository.tar'), '-C', at('repository'), '.'], { signal });
  await makeProgram(at('program'), sizes.cFiles);
  await makePackages(at('packages'), sizes.packages, signal);
  const npm =
    'npm install --offline --ignore-scripts --no-audit --no-fund --no-progress --no-update-notifier ' +
    `--loglevel=error --cache=${at('npm-cache')}`;
  const untar = `mkdir t && tar xf ${at('repository.tar')} -C t`;
  return [
    {
      name: 'gitClone',
      text: `git clone of ${sizes.repositoryFiles} files`,
      script: `git clone -q --no-hardlinks ${at('repository')} c`,
      prepare: '',
    },
    { name: 'untar', text: `untar of ${sizes.repositoryFiles} files`, script: untar, prepare: '' },
    {
      name: 'find',
      text: 'find, four times over the same files',
      script: Array.from(
        { length: 4 },
        (_, pass) => `find ../found -type f -size +${pass} -name '*.ts' > /dev/null`,
      ).join('; '),
      // Beside the fresh places, once: like the others it looks at files that lie in the sandbox.
      prepare: `test -d ../found || { mkdir ../found; tar xf ${at('repository.tar')} -C ../found; }`,
    },
    {
      name: 'cBuild',
      text: `C build of ${sizes.cFiles} files (make, gcc)`,
      script: 'make -s -C b',
      prepare: `cp -r ${at('program')} b`,
    },
    {
      name: 'npmInstall',
      text: `npm install of ${sizes.packages} packages, offline`,
      script: npm,
      prepare: `cp ${at('packages')}/package.json .`,
    },
    {
      name: 'outside',
      text: 'untar, find and 200 programs outside any sandbox',
      script: `${untar}; find t -type f -size +0 > /dev/null; for i in $(seq 200); do /bin/true; done`,
      prepare: '',
    },
  ];
}

async function makeProgram(directory: string, files: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  const names = Array.from({ length: files }, (_, index) => `part${index}`);
  for (const [index, name] of names.entries()) {
    const functions = Array.from(
      { length: 6 },
      (_, at) =>
        `static int step${at}(int x) { char text[64]; snprintf(text, sizeof text, "%d", x + ${at}); ` +
        `return (int)strlen(text) * ${index + at}; }`,
    );
    const sum = functions.map((_, at) => `step${at}(x)`).join(' + ');
    await writeFile(
      join(directory, `${name}.c`),
      `#include <stdio.h>\n#include <string.h>\n${functions.join('\n')}\nint ${name}(int x) { return ${sum}; }\n`,
    );
  }
  const declared = names.map((name) => `int ${name}(int);`).join('\n');
  const called = names.map((name) => `${name}(1)`).join(' + ');
  await writeFile(join(directory, 'main.c'), `${declared}\nint main(void) { return (${called}) & 1; }\n`);
  const objects = [...names, 'main'].map((name) => `${name}.o`).join(' ');
  await writeFile(
    join(directory, 'Makefile'),
    `program: ${objects}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O0 -c -o $@ $<\n`,
  );
}

/** Packages as a registry serves them: tarballs of a handful of small files. */
async function makePackages(directory: string, count: number, signal: AbortSignal): Promise<void> {
  const dependencies: Record<string, string> = {};
  await mkdir(join(directory, 'tarballs'), { recursive: true });
  for (let index = 0; index < count; index += 1) {
    const name = `bench-package-${index}`;
    const folder = join(directory, name, 'package');
    await mkdir(join(folder, 'lib'), { recursive: true });
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ name, version: '1.0.0', main: 'lib/part0.js' }),
    );
    for (let part = 0; part < 12; part += 1) {
      await writeFile(join(folder, 'lib', `part${part}.js`), `module.exports = ${part};\n`.repeat(20));
    }
    const tarball = join(directory, 'tarballs', `${name}-1.0.0.tgz`);
    await run(['tar', 'czf', tarball, '-C', join(directory, name), 'package'], { signal });
    dependencies[name] = `file:${tarball}`;
  }
  const manifest = { name: 'bench-application', version: '1.0.0', private: true, dependencies };
  await writeFile(join(directory, 'package.json'), JSON.stringify(manifest));
}
