/**
 * What N branches of one turn cost: time for the first and for each further one, memory and disk of each, once for a session
 * of files only and once with a server that outlived its turn. Runs alone too:
 *
 *   node host-helper/bench/branches.ts [--count N] [--json]
 */

import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HelperProcess } from '../demo/helper-process.ts';
import type { Client } from '../protocol/client.ts';
import { measureAlone } from './alone.ts';
import { median, rounded } from './statistics.ts';

export interface BranchRow {
  /** One branch alone, as the client waits for it; median of a few. */
  readonly oneMs: number;
  /** From the first to the last of `count`, for each. */
  readonly marginalMs: number;
  readonly totalMs: number;
  /** For each branch, of all processes it added anywhere: proportional set size, shared pages divided among those that share them. */
  readonly marginalMemoryBytes: number;
  /** The same without dividing: what CRIU brought back is private to each branch. */
  readonly marginalResidentBytes: number;
  /** For each branch, free space that was lost. */
  readonly marginalDiskBytes: number;
  /** How many branches brought their process back; 0 for files only. */
  readonly withProcesses: number;
  /** Of each branch, from its own start to its own end while others were made beside it. */
  readonly perBranchMs: readonly number[];
}

export interface BranchCost extends BranchRow {
  readonly count: number;
  readonly survivor: BranchRow;
}

const singles = 3;
const port = 5173;

/** A small session below `directory`, branched `count` times, with and without a process; removes what it made. */
export async function measureBranches(
  helper: HelperProcess,
  directory: string,
  count: number,
  say: (line: string) => void,
): Promise<BranchCost> {
  const workspace = join(directory, 'branches');
  await mkdir(join(workspace, 'src'), { recursive: true });
  for (let number = 0; number < 50; number += 1)
    await writeFile(join(workspace, 'src', `file-${number}.txt`), `${number}\n`.repeat(100));
  const { client } = helper;
  const { sessionId } = await client.request('session/start', { workspace, agent: 'none' });
  try {
    const files = await client.request('session/exec', {
      sessionId,
      argv: ['sh', '-c', 'for n in 1 2 3; do echo changed >> src/file-$n.txt; done; echo new > new.txt'],
    });
    say(`${count} branches of files only …`);
    const filesOnly = await measureRow(helper, sessionId, files.turn.id, count);
    const server = await client.request('session/exec', { sessionId, argv: ['sh', '-c', startServer] });
    say(`${count} branches with a server that outlived its turn …`);
    const survivor = await measureRow(helper, sessionId, server.turn.id, count);
    return { count, ...filesOnly, survivor };
  } finally {
    await client.request('session/remove', { sessionId });
    await rm(workspace, { recursive: true, force: true });
  }
}

async function measureRow(
  helper: HelperProcess,
  sessionId: string,
  turn: number,
  count: number,
): Promise<BranchRow> {
  const { client } = helper;
  const alone: number[] = [];
  for (let round = 0; round < singles; round += 1) {
    const startedMs = performance.now();
    const made = await client.request('branch', { sessionId, turn, resume: false });
    alone.push(performance.now() - startedMs);
    await client.request('session/remove', { sessionId: made.sessionId });
  }
  const before = await usage(helper);
  const startedMs = performance.now();
  const result = await client.request('branch/many', { sessionId, turn, count, resume: false });
  const totalMs = performance.now() - startedMs;
  try {
    if (result.failed.length > 0) throw new Error(`Some branches were not made: ${result.failed.join('; ')}`);
    const after = await usage(helper);
    const each = (before: number, after: number): number => Math.round((after - before) / count);
    const oneMs = median(alone);
    return {
      oneMs: rounded(oneMs),
      // The first costs what one costs; the others come beside it.
      marginalMs: rounded(count > 1 ? Math.max(0, totalMs - oneMs) / (count - 1) : totalMs),
      totalMs: rounded(totalMs),
      marginalMemoryBytes: each(before.proportionalBytes, after.proportionalBytes),
      marginalResidentBytes: each(before.residentBytes, after.residentBytes),
      marginalDiskBytes: each(before.diskBytes, after.diskBytes),
      withProcesses: result.branches.filter((branch) => branch.restoredProcesses).length,
      perBranchMs: result.branches.map((branch) => rounded(branch.tookMs)),
    };
  } finally {
    await removeAll(
      client,
      result.branches.map((branch) => branch.sessionId),
    );
  }
}

async function removeAll(client: Client, sessionIds: readonly string[]): Promise<void> {
  for (const sessionId of sessionIds) await client.request('session/remove', { sessionId });
}

interface Usage {
  readonly proportionalBytes: number;
  readonly residentBytes: number;
  readonly diskBytes: number;
}

/** Of the helper, its children, and everything in its sandboxes; and what its state directory's disk lacks. */
async function usage(helper: HelperProcess): Promise<Usage> {
  const { helperPid } = helper.client.hello;
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(stat)?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const mine = new Set<number>();
  for (const pid of parents.keys()) {
    if (descends(pid, helperPid, parents) || (await belongsTo(pid, helper.stateDirectory))) mine.add(pid);
  }
  // What a sandbox's first process started is its child wherever that process hangs.
  for (const pid of parents.keys())
    if ([...mine].some((ancestor) => descends(pid, ancestor, parents))) mine.add(pid);
  let proportionalBytes = 0;
  let residentBytes = 0;
  for (const pid of mine) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
    proportionalBytes += kilobytes(rollup, 'Pss') * 1024;
    residentBytes += kilobytes(rollup, 'Rss') * 1024;
  }
  const disk = await statfs(helper.stateDirectory);
  return { proportionalBytes, residentBytes, diskBytes: -disk.bfree * disk.bsize };
}

/** The first process of a sandbox and the one that holds its doors hang elsewhere: their root or words name the state directory. */
async function belongsTo(pid: number, stateDirectory: string): Promise<boolean> {
  const [words, mounts] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => ''),
  ]);
  if (words.includes(stateDirectory)) return true;
  return words.includes('/run/turntable/supervisor') && mounts.includes(`upperdir=${stateDirectory}/`);
}

function descends(pid: number, ancestor: number, parents: ReadonlyMap<number, number>): boolean {
  for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === ancestor) return true;
  return false;
}

function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
}

const server = `require("node:http").createServer((q, r) => r.end("up")).listen(${port}, "127.0.0.1")`;
const ask = `${process.execPath} -e 'fetch("http://127.0.0.1:${port}").then(() => {}, () => process.exit(1))'`;
const startServer = `setsid nohup ${process.execPath} -e '${server}' >/dev/null 2>&1 & for i in $(seq 100); do ${ask} && exit 0; sleep 0.1; done; exit 1`;

if (import.meta.main) {
  const { values } = parseArgs({
    options: { count: { type: 'string', default: '32' }, json: { type: 'boolean', default: false } },
  });
  await measureAlone('branches', values.json, async (directory, say) => {
    await using helper = await HelperProcess.up(join(directory, 'state'));
    return await measureBranches(helper, directory, Number(values.count), say);
  });
}
