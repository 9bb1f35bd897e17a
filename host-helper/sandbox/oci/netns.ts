/**
 * The network namespace of a sandbox: a name on the host, loopback up, no route. It is always made new, so that no connection of an
 * earlier life can meet a restored one.
 */
import { readdir } from 'node:fs/promises';
import { runCommand, tryCommand } from './command.ts';

/** Makes the namespace anew. Throws `sandboxFailed`. */
export async function createNetns(name: string): Promise<void> {
  await deleteNetns(name);
  await runCommand('ip', ['netns', 'add', name]);
  await runCommand('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
}

/** Removes the name; the namespace ends with its last process. No error when it is not there. */
export async function deleteNetns(name: string): Promise<void> {
  if ((await listNetns(name)).includes(name)) await tryCommand('ip', ['netns', 'delete', name]);
}

/** Names that start with `prefix`. */
export async function listNetns(prefix: string): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => []);
  return names.filter((name) => name.startsWith(prefix));
}
