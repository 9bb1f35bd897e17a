/**
 * What a run of the tests may have left on the machine: mounts, network namespaces, cgroups and processes of Turntable.
 * What was there before the run (a helper at work) is not blamed on it. Only looks; removes nothing.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const ours = /turntable/i;
const cgroupDepth = 4;

/**
 * Lines that name each thing of Turntable on this machine.
 * @param {{ runId: string, directory: string }} run processes are found by its id in their environment, mounts also by its directory
 * @returns {Set<string>}
 */
export function traces(run) {
  return new Set([...mounts(run), ...networkNamespaces(), ...cgroups('/sys/fs/cgroup', cgroupDepth), ...processes(run)]);
}

/** What is there now and was not in `before`, after giving it `patienceMs` to go away. */
export async function leftovers(before, run, patienceMs) {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = [...traces(run)].filter((trace) => !before.has(trace));
    if (left.length === 0 || Date.now() >= deadline) return left;
    await sleep(250);
  }
}

function mounts({ directory }) {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.length > 4 && (ours.test(fields[4]) || fields[4].startsWith(directory)))
    .map((fields) => `mount ${fields[4]}`);
}

function networkNamespaces() {
  return list('/run/netns')
    .filter((name) => ours.test(name))
    .map((name) => `network namespace ${name}`);
}

function* cgroups(directory, depth) {
  for (const name of list(directory, true)) {
    const path = `${directory}/${name}`;
    if (ours.test(name)) yield `cgroup ${path}`;
    else if (depth > 1) yield* cgroups(path, depth - 1);
  }
}

function* processes({ runId }) {
  for (const pid of list('/proc', true)) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    if (!read(`/proc/${pid}/environ`).includes(`TURNTABLE_TEST_RUN=${runId}`)) continue;
    const command = read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
    // Empty: a zombie whose parent has not looked yet.
    if (command !== '') yield `process ${pid} ${command.slice(0, 200)}`;
  }
}

/** Empty when it cannot be read: it went away, or is somebody else's. */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function list(path, directoriesOnly = false) {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => !directoriesOnly || entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return [];
  }
}
