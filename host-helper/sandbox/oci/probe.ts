/**
 * Tries what this host can do, with a sandbox of its own: runs it, dumps it with a listening socket in it, restores it. What cannot be done is told
 * in words for a person.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Sandbox, SandboxSpec } from '../sandbox.ts';

export interface ProbeResult {
  /** Why no sandbox can run here; undefined when it can. */
  readonly run: string | undefined;
  /** Why processes cannot be saved here; undefined when they can. */
  readonly dump: string | undefined;
}

/** A port that the probe's own network namespace has to itself. */
const probePort = 4_000;
const listenState = '0A';

/** `create` makes a sandbox; everything else is done through the sandbox itself. */
export async function probeHost(
  stateDirectory: string,
  create: (spec: SandboxSpec) => Promise<Sandbox>,
  listenCommand: (port: number) => readonly string[],
): Promise<ProbeResult> {
  const id = `probe-${randomBytes(4).toString('hex')}`;
  const directory = join(stateDirectory, id);
  const workspace = join(directory, 'workspace');
  const images = join(directory, 'images');
  await mkdir(workspace, { recursive: true });
  let sandbox: Sandbox | undefined;
  try {
    try {
      sandbox = await create(probeSpec(id, join(directory, 'sandbox'), workspace));
      await sandbox.start();
      const child = await sandbox.spawn({
        argv: ['/bin/sh', '-c', 'exit 7'],
        ...{ cwd: '/', env: {}, terminal: undefined, stdin: undefined },
      });
      const code = await child.exited;
      if (code !== 7) throw new Error(`a shell in the sandbox ended with ${code} instead of 7`);
    } catch (error) {
      const words = messageOf(error);
      return { run: words, dump: words };
    }
    try {
      await tryDump(sandbox, images, listenCommand(probePort));
      return { run: undefined, dump: undefined };
    } catch (error) {
      return { run: undefined, dump: messageOf(error) };
    }
  } finally {
    await sandbox?.destroy().catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  }
}

async function tryDump(sandbox: Sandbox, images: string, listen: readonly string[]): Promise<void> {
  const server = await sandbox.spawn({
    argv: listen,
    ...{ cwd: '/', env: {}, terminal: { columns: 80, rows: 24 }, stdin: undefined },
  });
  await new Promise<void>((resolve, reject) => {
    server.onOutput(() => resolve());
    void server.exited.then((code) => reject(new Error(`the test server ended with ${code}`)));
  });
  await sandbox.dump(images, async () => {});
  await sandbox.stop();
  await sandbox.restore(images);
  const restored = sandbox.children.find((child) => child.tag === server.tag);
  if (!restored) throw new Error('a restored sandbox lost its process');
  const sockets = await readFile(`/proc/${sandbox.supervisorPid}/net/tcp`, 'utf8');
  const port = probePort.toString(16).toUpperCase().padStart(4, '0');
  if (!new RegExp(`:${port} \\S+ ${listenState} `).test(sockets)) {
    throw new Error('a restored sandbox lost its listening socket');
  }
}

function probeSpec(id: string, directory: string, workspace: string): SandboxSpec {
  return {
    ...{ id, directory, workspace, home: '/home/probe' },
    ...{ readOnlyMounts: [], doors: [], maskedPaths: [], seccompListenerPath: undefined },
    ...{ memoryBytes: 256 << 20, maxProcesses: 64 },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
