/**
 * Writes the sample repository: a small shop in plain JavaScript with one failing and one flaky test, committed, with a remote that
 * works offline. Must match sample-script.ts.
 */

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { TurntableError } from '../protocol/errors.ts';
import { sampleFiles } from './sample-files.ts';

const run = promisify(execFile);
const person = { NAME: 'Ada Shopkeeper', EMAIL: 'ada@shop.example', DATE: '2025-03-03T09:00:00Z' };

/** `directory` must exist and be empty. Needs git; throws `unsupportedHost` without. */
export async function createSampleRepository(directory: string): Promise<void> {
  for (const [path, content] of Object.entries(sampleFiles)) {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
  }
  await git(directory, ['init', '-q', '-b', 'main']);
  for (const [name, value] of [
    ['user.name', person.NAME],
    ['user.email', person.EMAIL],
    ['core.autocrlf', 'false'],
  ] as const) {
    await git(directory, ['config', name, value]);
  }
  await git(directory, ['add', '-A']);
  await git(directory, ['commit', '-q', '-m', 'A small shop']);
  // Inside .git: it travels with the folder, works without a network, and is nobody's untracked file.
  await git(directory, ['init', '-q', '--bare', '-b', 'main', '.git/remote.git']);
  await git(directory, ['remote', 'add', 'origin', './.git/remote.git']);
  await git(directory, ['push', '-q', '-u', 'origin', 'main']);
}

async function git(directory: string, args: readonly string[]): Promise<void> {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    HOME: directory,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  };
  for (const [name, value] of Object.entries(person)) {
    env[`GIT_AUTHOR_${name}`] = value;
    env[`GIT_COMMITTER_${name}`] = value;
  }
  try {
    await run('git', ['-c', 'safe.directory=*', ...args], { cwd: directory, env });
  } catch (cause) {
    throw new TurntableError(
      'unsupportedHost',
      'The sample repository could not be made with git: is git installed and the folder empty?',
      { cause },
    );
  }
}
