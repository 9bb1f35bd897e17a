/**
 * The process that holds a sandbox's doors open (supervisor/door.c). It belongs to the sandbox's life: it outlives the helper and is found again by
 * its identity.
 */
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { TurntableError } from '../../protocol/errors.ts';
import type { SandboxSpec } from '../sandbox.ts';
import { identify, signalProcess, type ProcessIdentity } from './process-identity.ts';

const startTimeoutMs = 10_000;

export interface DoorsRequest {
  readonly supervisorPath: string;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly doors: SandboxSpec['doors'];
}

/** Starts listening; resolves once every port accepts. Undefined when there are no doors. Throws `sandboxFailed`. */
export async function openDoors(request: DoorsRequest): Promise<ProcessIdentity | undefined> {
  if (request.doors.length === 0) return undefined;
  const words = request.doors.map((door) => `${door.port}=${door.socketPath}`);
  const child = spawn(request.supervisorPath, ['door', request.netns, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    cwd: '/',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it did not start in time')), startTimeoutMs);
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
      child.stdout.once('data', () => settle());
      child.once('error', settle);
      child.once('close', (code) =>
        settle(new Error(complaint.trim() || `it ended with code ${String(code)}`)),
      );
    });
  } catch (cause) {
    child.kill('SIGKILL');
    throw new TurntableError(
      'sandboxFailed',
      `Cannot open the sandbox's doors: ${cause instanceof Error ? cause.message : String(cause)}. Shorten the state directory's path if a socket path is too long.`,
      { cause },
    );
  }
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (!identity) throw new TurntableError('sandboxFailed', 'The doors closed at once. Start again.');
  return identity;
}

export async function closeDoors(identity: ProcessIdentity | undefined): Promise<void> {
  if (identity) await signalProcess(identity, 'SIGKILL');
}

/** Door processes whose network namespace path starts with a prefix, whoever started them. */
export async function findDoors(
  netnsPrefix: string,
): Promise<{ readonly netns: string; readonly identity: ProcessIdentity }[]> {
  const found: { netns: string; identity: ProcessIdentity }[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const netns = argv[2];
    if (argv[1] !== 'door' || netns?.startsWith(netnsPrefix) !== true) continue;
    const identity = await identify(Number(name));
    if (identity) found.push({ netns, identity });
  }
  return found;
}
