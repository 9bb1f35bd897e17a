/**
 * The oracle: what the sandbox holds, read on the host from its mounts and from /proc by a C program of its own (probe.c), and
 * how two such states differ. Knows nothing of the inspector or the store, which it is there to judge.
 */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cgroupOf } from '../../host-helper/sandbox/oci/cgroup.ts';
import { sandboxLayout } from '../../host-helper/sandbox/oci/layout.ts';

const run = promisify(execFile);
const outputMaxBytes = 64 * 1024 * 1024;

/** What a turn did, as the oracle sees it. */
export type Label = 'nothing' | 'files' | 'processes' | 'full';

/** Where the oracle looks: found anew after a rewind, which mounts everything again. */
export interface Place {
  readonly cgroup: string;
  readonly roots: readonly {
    readonly name: string;
    readonly path: string;
    readonly merged: string;
    readonly upper: string | undefined;
    readonly lower: string | undefined;
  }[];
}

export interface State {
  /** By path in the sandbox: what is there, or `-`. */
  readonly files: ReadonlyMap<string, string>;
  /** The same for what lies below an overlay at the paths that its upper mentions. */
  readonly below: ReadonlyMap<string, string>;
  /** By process (`pid:start`), its facts by key. */
  readonly processes: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export interface Difference {
  readonly label: Label;
  readonly paths: readonly string[];
  /** In words: `started 12:345`, `ended …`, `12:345 memory`. */
  readonly processes: readonly string[];
  /** All names of the file at a path, before and after, where it has several. */
  namesOf(path: string): readonly string[];
  /** Whether the file itself is as before, and only which other names it has is not. */
  isOnlyRenamed(path: string): boolean;
}

/** Small roots are walked whole; of the host's own directories only what the upper mentions can differ. */
const walkedWhole = new Set(['workspace', 'home']);

/** Finds a running session's mounts and cgroup. */
export async function locate(
  stateDirectory: string,
  sessionId: string,
  paths: { readonly home: string; readonly workspace: string },
): Promise<Place> {
  const layout = sandboxLayout(
    stateDirectory,
    sessionId,
    join(stateDirectory, 'sessions', sessionId, 'sandbox'),
  );
  const pid = Number((await readFile(layout.pidFile, 'utf8')).trim());
  const cgroup = await cgroupOf(pid);
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const rootfs = layout.upper('rootfs', 0);
  const roots: Place['roots'][number][] = [
    { name: 'rootfs', path: '', merged: rootfs, upper: undefined, lower: undefined },
  ];
  for (const name of ['usr', 'etc', 'var', 'opt', 'home', 'workspace']) {
    const merged = layout.merged(name);
    const options = mounts.find((fields) => fields[1] === merged)?.[3];
    if (options === undefined) continue;
    const option = (key: string): string | undefined =>
      new RegExp(`(?:^|,)${key}=([^,]*)`).exec(options)?.[1];
    const path = name === 'home' ? paths.home : name === 'workspace' ? paths.workspace : `/${name}`;
    const whole = walkedWhole.has(name);
    roots.push({
      name,
      path,
      merged,
      upper: whole ? undefined : option('upperdir'),
      lower: whole ? undefined : option('lowerdir')?.split(':').at(-1),
    });
  }
  return { cgroup: cgroup.path, roots };
}

/** Reads everything at one instant. */
export async function look(probe: string, place: Place): Promise<State> {
  const args = place.roots.flatMap((root) => [root.name, root.merged, root.upper ?? '-', root.lower ?? '-']);
  const { stdout } = await run(probe, [place.cgroup, ...args], { maxBuffer: outputMaxBytes });
  const files = new Map<string, string>();
  const below = new Map<string, string>();
  const processes = new Map<string, Map<string, string>>();
  const paths = new Map(place.roots.map((root) => [root.name, root.path]));
  for (const line of stdout.split('\n')) {
    if (line === '') continue;
    const [kind, name = '', key = '', ...rest] = line.split(' ');
    const value = rest.join(' ');
    if (kind === 'F' || kind === 'L') {
      const root = paths.get(name);
      if (root === undefined) throw new Error(`The oracle names an unknown root: ${line}`);
      const path = key === '' ? root || '/' : `${root}/${decodeURIComponentBytes(key)}`;
      (kind === 'F' ? files : below).set(path, value);
    } else if (kind === 'P') {
      const facts = processes.get(name) ?? new Map<string, string>();
      facts.set(key, facts.has(key) ? `${facts.get(key) ?? ''} ${value}` : value);
      processes.set(name, facts);
    } else throw new Error(`The oracle said something odd: ${line}`);
  }
  return { files: withLinkGroups(files), below: withLinkGroups(below), processes };
}

/** What changed from one state to the next. */
export function difference(before: State, after: State): Difference {
  const paths: string[] = [];
  for (const path of new Set([...before.files.keys(), ...after.files.keys()])) {
    // A path that only one of them mentions is, in the other, as the lower has it.
    const was = before.files.get(path) ?? after.below.get(path) ?? '-';
    const is = after.files.get(path) ?? before.below.get(path) ?? '-';
    if (was !== is) paths.push(path);
  }
  const processes: string[] = [];
  for (const [who, facts] of after.processes) {
    const old = before.processes.get(who);
    if (!old) processes.push(`started ${who}`);
    else
      for (const key of new Set([...old.keys(), ...facts.keys()]))
        if (old.get(key) !== facts.get(key)) processes.push(`${who} ${key}`);
  }
  for (const who of before.processes.keys()) if (!after.processes.has(who)) processes.push(`ended ${who}`);
  const label =
    processes.length > 0 ? (paths.length > 0 ? 'full' : 'processes') : paths.length > 0 ? 'files' : 'nothing';
  const both = (path: string): string[] => [before.files.get(path) ?? '-', after.files.get(path) ?? '-'];
  return {
    label,
    paths: paths.sort(),
    processes,
    namesOf: (path) => both(path).flatMap((state) => state.slice(state.lastIndexOf(' ') + 1).split(':')),
    isOnlyRenamed: (path) => {
      const [was, is] = both(path).map((state) => state.slice(0, Math.max(0, state.lastIndexOf(' '))));
      return was !== '' && was === is;
    },
  };
}

/** The last field of a state is an inode number where there are several names: replaced by the names themselves. */
function withLinkGroups(states: Map<string, string>): Map<string, string> {
  const groups = new Map<string, string[]>();
  for (const [path, state] of states) {
    const inode = state.slice(state.lastIndexOf(' ') + 1);
    if (state === '-' || inode === '-') continue;
    const group = groups.get(inode);
    if (group) group.push(path);
    else groups.set(inode, [path]);
  }
  for (const group of groups.values()) {
    const names = [...group].sort().join(':');
    for (const path of group) {
      const state = states.get(path) ?? '';
      states.set(path, `${state.slice(0, state.lastIndexOf(' '))} ${group.length > 1 ? names : '-'}`);
    }
  }
  return states;
}

/** Names are bytes; what is no UTF-8 stays escaped, as the timeline shows it. */
function decodeURIComponentBytes(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
