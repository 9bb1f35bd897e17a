/** All tasks of all families, and a fresh folder for one of them. */

import { execFile } from 'node:child_process';
import { chmod, mkdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { codeRepairTasks } from './code-repair.ts';
import { shellFileTasks } from './shell-files.ts';
import { shellProcessTasks } from './shell-processes.ts';
import type { Family, WorkloadTask } from './task.ts';

const exec = promisify(execFile);
const date = '2025-03-03T09:00:00Z';

/** Files and processes alternate, so that the first few are a fair sample. */
export const workloads: Readonly<Record<Family, readonly WorkloadTask[]>> = {
  'shell-intensive': interleaved(shellProcessTasks, shellFileTasks),
  'code-repair': codeRepairTasks,
};

/** Makes the task's folder below `parent`; its path. The same bytes, modes, times and commit in every run. */
export async function makeWorkspace(task: WorkloadTask, parent: string): Promise<string> {
  const workspace = join(parent, task.name);
  for (const [path, content] of Object.entries(task.files)) {
    const target = join(workspace, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
    await chmod(target, path.endsWith('.sh') ? 0o755 : 0o644);
    await utimes(target, new Date(date), new Date(date));
  }
  if (!task.repository) return workspace;
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    HOME: workspace,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_DATE: date,
  };
  const git = (...args: string[]): Promise<unknown> =>
    exec('git', ['-c', 'safe.directory=*', ...args], { cwd: workspace, env });
  await git('init', '-q', '-b', 'main');
  await git('config', 'user.name', 'Ada Benchmark');
  await git('config', 'user.email', 'ada@bench.example');
  await git('add', '-A');
  await git('commit', '-q', '-m', 'As it was found');
  return workspace;
}

function interleaved<Value>(one: readonly Value[], other: readonly Value[]): Value[] {
  const longer = Math.max(one.length, other.length);
  return Array.from({ length: longer }, (_, at) =>
    [one.slice(at, at + 1), other.slice(at, at + 1)].flat(),
  ).flat();
}
