/**
 * Commands that outlive the helper that began them. One that is killed cannot take its children along: a `runc` that is just
 * starting a container, a mount, a removal would go on under the feet of the next helper. What a helper starts therefore carries
 * a mark in its environment, by which the next one finds it and waits. Sandboxes and their doors are not meant: they stay.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../log.ts';
import { dumpGatePlaces, releaseDumpGate } from './dump-gate.ts';
import { dumpsBelow, DumpWatch } from './dump-watch.ts';
import { isOfThisHost } from './process-identity.ts';

const patienceMs = 30_000;
const mark = 'TURNTABLE_HELPER_OF';

/** From now on everything this process starts carries the mark. */
export function markChildren(stateDirectory: string): void {
  process.env[mark] = stateDirectory;
}

/** Waits for what dead helpers began: call before anything of the state directory is touched. */
export async function waitForCommands(stateDirectory: string, logger: Logger): Promise<void> {
  const deadline = Date.now() + patienceMs;
  const dumps = new DumpWatch(stateDirectory, logger);
  for (;;) {
    const left = [
      ...(await commandsOf(stateDirectory)),
      ...(await dumpsBelow(stateDirectory)).map((pid) => `criu ${pid}`),
    ];
    if (left.length === 0) return;
    if (Date.now() > deadline) {
      logger.warn('commands of an earlier helper do not end', { left });
      return;
    }
    await releaseGates(stateDirectory);
    await dumps.look();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A dump that waits for a word of its helper gets it: it fails, and ends. */
async function releaseGates(stateDirectory: string): Promise<void> {
  const sessions = join(stateDirectory, 'sessions');
  const owners = [
    ...(await readdir(sessions).catch(() => [])).map((name) => join(sessions, name)),
    ...(await probesIn(stateDirectory)),
  ];
  for (const owner of owners) await releaseDumpGate(dumpGatePlaces(join(owner, 'sandbox', 'bundle')));
}

/** Directories of probes that did not come to their end. */
export async function probesIn(stateDirectory: string): Promise<string[]> {
  const names = await readdir(stateDirectory).catch(() => []);
  return names.filter((name) => /^probe-[0-9a-f]{8}$/.test(name)).map((name) => join(stateDirectory, name));
}

/** Not those of this process itself, nor of anything it has started. */
async function commandsOf(stateDirectory: string): Promise<string[]> {
  const found: string[] = [];
  const wanted = `${mark}=${stateDirectory}`;
  const marked = new Map<number, { readonly parent: number; readonly words: string }>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const read = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!(await read('environ')).split('\0').includes(wanted)) continue;
    if (!(await isOfThisHost(name))) continue;
    const status = await read('status');
    const argv = (await read('cmdline')).split('\0');
    const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
    if (argv[1] !== 'door' && argv[0] !== '')
      marked.set(Number(name), { parent, words: argv.join(' ').trim() });
  }
  const isOurs = (pid: number): boolean => {
    const parent = marked.get(pid)?.parent;
    return parent === process.pid || (parent !== undefined && parent !== pid && isOurs(parent));
  };
  for (const [pid, { words }] of marked) if (!isOurs(pid)) found.push(words.slice(0, 200));
  return found;
}
