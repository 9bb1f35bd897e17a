/**
 * What a run of the tests may have left on the machine: mounts, network namespaces, cgroups and processes of Turntable.
 * What was there before the run (a helper at work) is not blamed on it. Only looks; removes nothing.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const ours = /turntable/i;
const cgroupDepth = 4;

export interface TestRun {
  /** In the environment of its processes, as TURNTABLE_TEST_RUN. */
  readonly runId: string;
  /** Its TMPDIR. */
  readonly directory: string;
  /** Nothing else of Turntable is at work here: whatever appears is the run's. Otherwise only what was seen to be its own is. */
  readonly alone: boolean;
  /** What the names of the run's own namespaces and cgroups contain; filled by `noteNames`. */
  readonly names: Set<string>;
}

/** Learns how the sandboxes of a run are called from what is mounted in its directory: …/sandboxes/ID/…, and namespaces NAME-ID. Call it now and then. */
export function noteNames(run: TestRun): void {
  const own = mountPoints().filter((path) => path.startsWith(run.directory));
  const ids = new Set(
    own.map((path) => /\/sandboxes\/([^/]+)\//.exec(path)?.[1]).filter((id) => id !== undefined),
  );
  for (const id of ids) {
    run.names.add(id);
    for (const name of networkNamespaces())
      if (name.endsWith(`-${id}`)) run.names.add(name.slice(0, -id.length - 1));
  }
}

/** Lines that name each thing of Turntable on this machine that may be the run's. */
export function traces(run: TestRun): Set<string> {
  const named = [
    ...mountPoints().map((path) => `mount ${path}`),
    ...networkNamespaces().map((name) => `network namespace ${name}`),
    ...cgroups('/sys/fs/cgroup', cgroupDepth),
  ];
  const mine = (trace: string): boolean =>
    run.alone ||
    trace.startsWith(`mount ${run.directory}`) ||
    [...run.names].some((name) => trace.includes(name));
  return new Set([...named.filter(mine), ...processes(run)]);
}

/** What is there now and was not in `before`, after giving it `patienceMs` to go away. */
export async function leftovers(
  before: ReadonlySet<string>,
  run: TestRun,
  patienceMs: number,
): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = [...traces(run)].filter((trace) => !before.has(trace));
    if (left.length === 0 || Date.now() >= deadline) return left;
    await sleep(250);
  }
}

function mountPoints(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => ours.test(path));
}

function networkNamespaces(): string[] {
  return list('/run/netns').filter((name) => ours.test(name));
}

function* cgroups(directory: string, depth: number): Generator<string> {
  for (const name of list(directory, true)) {
    const path = `${directory}/${name}`;
    if (ours.test(name)) yield `cgroup ${path}`;
    else if (depth > 1) yield* cgroups(path, depth - 1);
  }
}

function* processes(run: TestRun): Generator<string> {
  const { runId } = run;
  for (const pid of list('/proc', true)) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
    const mine = read(`/proc/${pid}/environ`).includes(`TURNTABLE_TEST_RUN=${runId}`);
    if (!mine && !(command.includes('criu') && hasFilesOf(pid, run))) continue;
    // Empty: a zombie whose parent has not looked yet.
    if (command !== '') yield `process ${pid} ${command.slice(0, 200)}`;
  }
}

/** CRIU writes its title over its environment, so what it has open has to tell whose it is. */
function hasFilesOf(pid: string, run: TestRun): boolean {
  return list(`/proc/${pid}/fd`).some((file) => {
    const path = link(`/proc/${pid}/fd/${file}`);
    return path.startsWith(run.directory) || (run.alone && ours.test(path));
  });
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** Empty when it cannot be read: it went away, or is somebody else's. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function list(path: string, directoriesOnly = false): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => !directoriesOnly || entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return [];
  }
}
