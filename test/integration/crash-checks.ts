/**
 * What must hold after a helper died and the next one started, looked at from outside: the host's own tables, the state
 * directory and its database. Uses nothing of the helper but the layout of names on the host.
 */

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

/** Path → kind, mode, time and contents: what a program sees of a folder. */
export type Picture = ReadonlyMap<string, string>;

export function pictureOf(folder: string): Picture {
  const picture = new Map<string, string>();
  const visit = (path: string): void => {
    for (const name of readdirSync(join(folder, path)).sort()) {
      const below = path ? `${path}/${name}` : name;
      const full = join(folder, below);
      const stat = lstatSync(full, { bigint: true });
      const meta = `${stat.mode.toString(8)} ${stat.uid} ${stat.mtimeNs}`;
      if (stat.isSymbolicLink()) picture.set(below, `${meta} -> ${readlinkSync(full)}`);
      else if (stat.isFile())
        picture.set(below, `${meta} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`);
      else picture.set(below, stat.isDirectory() ? `${stat.mode.toString(8)} ${stat.uid}` : meta);
      if (stat.isDirectory()) visit(below);
    }
  };
  visit('');
  return picture;
}

/** Lines that tell two pictures apart; empty when they are the same. */
export function difference(expected: Picture, found: Picture): string[] {
  const lines: string[] = [];
  for (const [path, seen] of expected)
    if (found.get(path) !== seen) lines.push(`${path}: ${seen} became ${found.get(path) ?? 'nothing'}`);
  for (const [path, seen] of found) if (!expected.has(path)) lines.push(`${path}: came as ${seen}`);
  return lines;
}

/** Names on the host carry this hash of the state directory. */
function ownerOf(stateDirectory: string): string {
  return createHash('sha256').update(stateDirectory).digest('hex').slice(0, 8);
}

export interface Expected {
  readonly stateDirectory: string;
  readonly helperPid: number;
  /** Ids of all sessions the helper shows, and of those that run. */
  readonly sessions: readonly string[];
  readonly running: readonly string[];
  /** Sessions whose rewind or resume was interrupted: their note stays until they are whole. */
  readonly half: readonly string[];
}

/** Whatever is not as it should be, after giving it a moment (packing and collection go on beside). Empty when all is well. */
export async function wrongAfterCrash(expected: Expected): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const wrong = [...onHost(expected), ...inDirectories(expected), ...inDatabase(expected)];
    if (wrong.length === 0 || tries === 80) return wrong;
    await sleep(50);
  }
}

function* onHost({ stateDirectory, helperPid, sessions, running }: Expected): Generator<string> {
  const owner = ownerOf(stateDirectory);
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const target = line.split(' ')[4] ?? '';
    if (!target.startsWith(`${stateDirectory}/`)) continue;
    if (!sessions.some((id) => target.includes(`/${id}/`))) yield `mount ${target} belongs to no session`;
  }
  const prefix = `turntable-${owner}-`;
  const namespaces = list('/run/netns').filter((name) => name.startsWith(prefix));
  yield* sameSet(
    'network namespace',
    namespaces.map((name) => name.slice(prefix.length)),
    running,
  );
  const cgroups = new Map<string, string[]>();
  for (const parent of cgroupParents(owner))
    for (const id of list(parent))
      if (lstatSync(join(parent, id), { throwIfNoEntry: false })?.isDirectory())
        cgroups.set(id, [...(cgroups.get(id) ?? []), join(parent, id)]);
  yield* sameSet('cgroup', [...cgroups.keys()], running);
  yield* sameSet('container', list(join(stateDirectory, 'runc')), running);
  for (const [id, paths] of cgroups) for (const path of paths) yield* standingStill(id, path);
  yield* strangers(stateDirectory, helperPid);
  yield* sameSet('door process', doorsOf(`/run/netns/${prefix}`), running);
}

/** By session, as often as there are processes. */
function doorsOf(prefix: string): string[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => read(`/proc/${name}/cmdline`).split('\0'))
    .filter((argv) => argv[1] === 'door' && argv[2]?.startsWith(prefix) === true)
    .map((argv) => argv[2]?.slice(prefix.length) ?? '');
}

/** Frozen cgroups, stopped and traced processes; a turn may have stopped a `sleep` of its own. */
function* standingStill(id: string, path: string): Generator<string> {
  if (read(join(path, 'cgroup.events')).includes('frozen 1')) yield `${id} is frozen (${path})`;
  if (/FROZEN|FREEZING/.test(read(join(path, 'freezer.state')))) yield `${id} is frozen (${path})`;
  for (const pid of read(join(path, 'cgroup.procs')).split('\n').filter(Boolean)) {
    const status = read(`/proc/${pid}/status`);
    const [, state] = /^State:\s*(\S)/m.exec(status) ?? [];
    if (state === 'T' || state === 't') yield `process ${pid} of ${id} is stopped`;
    if (!/^TracerPid:\s*0$/m.test(status) && status !== '') yield `process ${pid} of ${id} is traced`;
  }
}

/** Processes of dead helpers: all that carry the state directory's mark or name it, and are neither the helper's own nor a sandbox's. */
function* strangers(stateDirectory: string, helperPid: number): Generator<string> {
  const parents = new Map<number, number>();
  const marked: { readonly pid: number; readonly words: string }[] = [];
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    parents.set(pid, Number(/^PPid:\s*(\d+)/m.exec(read(`/proc/${name}/status`))?.[1] ?? 0));
    const argv = read(`/proc/${name}/cmdline`).split('\0');
    if (argv[0] === '' || pid === process.pid) continue;
    const ours = read(`/proc/${name}/environ`).includes(`TURNTABLE_HELPER_OF=${stateDirectory}\0`);
    const door =
      argv[1] === 'door' && argv.some((word) => word.includes(`turntable-${ownerOf(stateDirectory)}`));
    if (door) {
      if (/^State:\s*T/m.test(read(`/proc/${name}/status`))) yield `door ${pid} is stopped`;
    } else if (ours) marked.push({ pid, words: argv.join(' ').trim() });
  }
  for (const { pid, words } of marked) {
    let at: number | undefined = pid;
    while (at !== undefined && at > 1 && at !== helperPid && at !== process.pid) at = parents.get(at);
    if (at !== helperPid) yield `process ${pid} outlived its helper: ${words.slice(0, 160)}`;
  }
}

function* inDirectories({ stateDirectory, sessions }: Expected): Generator<string> {
  yield* sameSet('session directory', list(join(stateDirectory, 'sessions')), sessions);
  for (const name of ['staging', 'opened'])
    for (const left of list(join(stateDirectory, 'store', name))) yield `${name}/${left} was left`;
  for (const name of list(stateDirectory))
    if (/^(probe-|\.sentry-)/.test(name)) yield `${name} was left in the state directory`;
}

function* inDatabase({ stateDirectory, sessions, half }: Expected): Generator<string> {
  const store = join(stateDirectory, 'store');
  const database = new DatabaseSync(join(store, 'state.sqlite'), { readOnly: true });
  try {
    const column = (sql: string): string[] =>
      database
        .prepare(sql)
        .all()
        .map((row) => String(Object.values(row)[0]));
    yield* sameSet('session row', column('SELECT id FROM session'), sessions);
    for (const row of database.prepare('SELECT kind, session FROM intent').all())
      if (row['kind'] !== 'rewind' || !half.includes(String(row['session'])))
        yield `the intent ${String(row['kind'])} of ${String(row['session'])} was left`;
    for (const table of ['turn', 'checkpoint', 'apply'])
      for (const id of column(`SELECT DISTINCT session FROM "${table}"`))
        if (!sessions.includes(id)) yield `rows in ${table} belong to ${id}, which is gone`;
    for (const id of column('SELECT id FROM checkpoint WHERE file_version NOT IN (SELECT id FROM version)'))
      yield `checkpoint ${id} has lost its files`;
    for (const id of column(
      'SELECT id FROM checkpoint WHERE process_image IS NOT NULL AND process_image NOT IN (SELECT id FROM image)',
    ))
      yield `checkpoint ${id} has lost its processes`;
    const packs = column('SELECT DISTINCT pack FROM chunk WHERE pack IS NOT NULL').map((id) => `${id}.pack`);
    yield* sameSet('pack', list(join(store, 'packs')), packs);
    // Directories of images are caches, and go with the helper; only what an earlier version kept whole has nothing else.
    const cached = list(join(store, 'images'));
    const images = column('SELECT id FROM image');
    for (const id of cached) if (!images.includes(id)) yield `image ${id} should not be there`;
    for (const id of column('SELECT id FROM image WHERE packed IS NULL'))
      if (!cached.includes(id)) yield `image ${id} is missing`;
  } finally {
    database.close();
  }
}

/** Stray temporary files in a folder of the developer. */
export function strayFiles(folder: string): string[] {
  return [...pictureOf(folder).keys()].filter((path) => basename(path).startsWith('.turntable-'));
}

function* sameSet(what: string, found: readonly string[], wanted: readonly string[]): Generator<string> {
  for (const each of found) if (!wanted.includes(each)) yield `${what} ${each} should not be there`;
  for (const [at, each] of found.entries())
    if (found.indexOf(each) !== at) yield `${what} ${each} is there twice`;
  for (const each of wanted) if (!found.includes(each)) yield `${what} ${each} is missing`;
}

function cgroupParents(owner: string): string[] {
  const mounts = execFileSync('findmnt', ['-rn', '-t', 'cgroup,cgroup2', '-o', 'TARGET'], {
    encoding: 'utf8',
  });
  return mounts
    .split('\n')
    .filter(Boolean)
    .map((mount) => join(mount, `turntable-${owner}`));
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Empty when it cannot be read: it went away. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
