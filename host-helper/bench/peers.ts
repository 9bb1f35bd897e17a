/**
 * The ways in which others keep a session, really carried out beside ours in the same run: on one workspace with one dev server
 * running, each turn changes three files, and then every peer keeps that turn in its own way. Everything is a full, restorable copy
 * of what the peer claims to keep; nothing is simulated.
 */

import { mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HelperProcess, productRoot } from '../demo/helper-process.ts';
import { silentLogger } from '../log.ts';
import { createOciBackend } from '../sandbox/oci/backend.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { changeThree, runTurn, timesOf } from './file-checkpoints.ts';
import { ShadowGit, threeFiles } from './repository.ts';
import { run } from './run-command.ts';
import { median, rounded } from './statistics.ts';

export interface Peer {
  readonly name: string;
  readonly keeps: string;
  /** For each turn, medians. */
  readonly turnMs: number;
  readonly bytes: number;
}

export interface PeersOptions {
  readonly directory: string;
  readonly files: number;
  readonly rounds: number;
  readonly signal: AbortSignal;
}

const serverPort = 8099;
/** A dev server with some memory of its own. */
const serverScript =
  `const held = Buffer.alloc(48 << 20, 7); ` +
  `require('node:http').createServer((q, s) => s.end(String(held[0]))).listen(${serverPort}, '127.0.0.1')`;

export async function measurePeers(options: PeersOptions): Promise<Peer[]> {
  const { directory, files, rounds, signal } = options;
  const workspace = join(directory, 'workspace');
  const shadow = new ShadowGit(join(directory, 'shadow.git'), workspace, signal);
  await shadow.create(files);
  const three = threeFiles(files);
  await using cleanup = new AsyncDisposableStack();

  const helper = cleanup.use(await HelperProcess.up(join(directory, 'state')));
  const { sessionId } = await helper.client.request('session/start', { workspace, agent: 'none' });
  cleanup.defer(async () => {
    await helper.client.request('session/remove', { sessionId });
  });
  const server = `"$1" -e "$2" > /dev/null 2>&1 & sleep 1`;
  await runTurn(helper, sessionId, server, process.execPath, serverScript);

  const sandbox = await startSandbox(join(directory, 'peer'), workspace, cleanup);
  const inPeer = async (argv: readonly string[]): Promise<number> =>
    (
      await sandbox.spawn({
        argv,
        ...{ cwd: workspace, env: pathOnly, terminal: undefined, stdin: new Uint8Array() },
      })
    ).exited;
  await sandbox.spawn({
    argv: [process.execPath, '-e', serverScript],
    ...{ cwd: workspace, env: pathOnly, terminal: undefined, stdin: undefined },
  });
  await inPeer(['sleep', '1']);

  const script = `for f in ${three.join(' ')}; do echo "// $1" >> "$f"; done`;
  const kept = {
    ours: taker(),
    git: taker(),
    dump: taker(),
    copy: taker(),
    reflink: taker(),
  };
  await changeThree(helper, sessionId, three, 'warm');
  for (let round = 0; round < rounds; round += 1) {
    signal.throwIfAborted();
    const ours = timesOf(await changeThree(helper, sessionId, three, String(round)));
    kept.ours.add(ours.totalMs, ours.bytesStored);
    await inPeer(['sh', '-ec', script, 'sh', String(round)]);
    await run(['sh', '-ec', script, 'sh', String(round)], { cwd: workspace });
    const gitBefore = await bytesBelow(join(directory, 'shadow.git'));
    const gitMs = await timed(() => shadow.commit());
    kept.git.add(gitMs, (await bytesBelow(join(directory, 'shadow.git'))) - gitBefore);

    const to = (name: string): string => join(directory, 'kept', `${name}-${round}`);
    await mkdir(to('dump'), { recursive: true });
    const dumpMs = await timed(() => sandbox.dump(to('image'), () => copyAll(sandbox, to('dump'), [])));
    kept.dump.add(dumpMs, (await bytesBelow(to('dump'))) + (await bytesBelow(to('image'))));
    for (const [name, flags] of [
      ['copy', ['--reflink=never']],
      ['reflink', ['--reflink=auto']],
    ] as const) {
      await mkdir(to(name));
      kept[name].add(await timed(() => copyAll(sandbox, to(name), flags)), await bytesBelow(to(name)));
    }
  }
  return [
    { name: 'Turntable', keeps: 'files, processes when they ran, conversation', ...kept.ours.medians() },
    { name: 'shadow git', keeps: 'files of the workspace that git takes', ...kept.git.medians() },
    {
      name: 'docker commit style',
      keeps:
        'everything, every turn: frozen, all changed layers and the workspace copied, all processes dumped',
      ...kept.dump.medians(),
    },
    { name: 'cp -a', keeps: 'files: all changed layers and the workspace copied', ...kept.copy.medians() },
    {
      name: 'cp -a --reflink=auto',
      keeps: 'the same; shares blocks where the file system can',
      ...kept.reflink.medians(),
    },
  ];
}

const pathOnly = { PATH: '/usr/local/bin:/usr/bin:/bin' };

async function startSandbox(
  directory: string,
  workspace: string,
  cleanup: AsyncDisposableStack,
): Promise<Sandbox> {
  const criu = [join(productRoot, '.cache', 'criu', 'criu'), '/usr/sbin/criu'].find((path) =>
    existsSync(path),
  );
  if (criu === undefined)
    throw new Error(
      'No CRIU is here, so the peers that dump processes cannot be measured: see `turntable doctor`.',
    );
  await mkdir(directory);
  const backend = createOciBackend({
    ...{ stateDirectory: directory, runc: 'runc', criu, logger: silentLogger },
    supervisorPath: join(productRoot, 'dist', 'bin', 'supervisor'),
  });
  const id = `bench-peer-${process.pid}`;
  const sandbox = await backend.create({
    ...{ id, directory: join(directory, 'sandbox'), workspace, home: '/home/agent', doors: [] },
    ...{ seccompListenerPath: undefined, memoryBytes: 4 << 30, maxProcesses: 512, maskedPaths: [] },
    readOnlyMounts: [{ source: join(process.execPath, '..'), target: join(process.execPath, '..') }],
  });
  cleanup.defer(() => sandbox.destroy());
  await sandbox.reserveCgroup();
  await sandbox.start();
  return sandbox;
}

/** What `docker commit` copies, the container's changes, and beside it the bind-mounted workspace, which it leaves out. */
async function copyAll(sandbox: Sandbox, to: string, flags: readonly string[]): Promise<void> {
  for (const root of sandbox.roots) {
    const from = root.name === 'workspace' ? root.merged : root.upper;
    await run(['cp', '-a', ...flags, '--', from, join(to, root.name)]);
  }
}

function taker(): {
  add: (turnMs: number, bytes: number) => void;
  medians: () => { readonly turnMs: number; readonly bytes: number };
} {
  const times: number[] = [];
  const sizes: number[] = [];
  return {
    add: (turnMs, bytes) => void (times.push(turnMs), sizes.push(bytes)),
    medians: () => ({ turnMs: rounded(median(times)), bytes: Math.round(median(sizes)) }),
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

async function bytesBelow(directory: string): Promise<number> {
  return Number((await run(['du', '-s', '--block-size=1', directory])).split('\t')[0]);
}
