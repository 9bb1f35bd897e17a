/**
 * What changed from one version to another, as the sandbox sees it. Walks only where the hash trees differ; lists the lower
 * only where it came into sight or went out of it.
 */

import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { isDirectory, isFile, isSymlink, kindOf, type TreeEntry } from './file-tree.ts';
import { join, type OverlayView, type ViewDirectory, type ViewEntry } from './overlay-view.ts';
import type { FileChange } from './store.ts';
import { displayName } from './treefs-wire.ts';

/** A change with the byte-string path below its root. */
export interface RootChange {
  readonly path: string;
  readonly change: FileChange['change'];
  readonly before: ViewEntry | undefined;
  readonly after: ViewEntry | undefined;
  readonly timeOnly?: boolean;
}

/** More entries than this are not listed one by one. */
export const maxListed = 100_000;

/** Net changes of one root; `truncated` when there were more than `maxListed`. */
export async function changesOfRoot(
  view: OverlayView,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): Promise<{ readonly changes: RootChange[]; readonly truncated: boolean }> {
  const changes: RootChange[] = [];
  const full = (): boolean => changes.length >= maxListed;

  const walk = async (path: string, a: ViewDirectory, b: ViewDirectory): Promise<void> => {
    if (full() || (a.lower === b.lower && a.upper?.content === b.upper?.content)) return;
    const upperA = view.upperChildren(a);
    const upperB = view.upperChildren(b);
    const names = new Set([...upperA.keys(), ...upperB.keys()]);
    if (a.lower !== b.lower) {
      for (const directory of [a, b]) {
        if (directory.lower !== undefined)
          for (const name of await view.lowerNames(directory.lower)) names.add(name);
      }
    }
    const differing = [...names].sort().filter((name) => {
      const [x, y] = [upperA.get(name), upperB.get(name)];
      return !(a.lower === b.lower && x && y && unchanged(x, y));
    });
    const inA = await view.children(a, differing);
    const inB = await view.children(b, differing);
    for (const name of differing) {
      if (full()) return;
      await compare(join(path, name), inA.get(name), inB.get(name));
    }
  };

  const compare = async (path: string, a: ViewEntry | undefined, b: ViewEntry | undefined): Promise<void> => {
    if (!a && !b) return;
    if (a && b && kindOf(a.meta) === kindOf(b.meta)) {
      if (!(await view.same(a, b))) changes.push({ path, change: 'changed', before: a, after: b });
      else if (timeOf(a.meta) !== timeOf(b.meta))
        changes.push({ path, change: 'changed', before: a, after: b, timeOnly: true });
      if (isDirectory(a.meta)) await walk(path, a, b);
      return;
    }
    if (a && b && !isDirectory(a.meta) && !isDirectory(b.meta)) {
      changes.push({ path, change: 'changed', before: a, after: b });
      return;
    }
    if (a) await everything(path, a, 'removed');
    if (b) await everything(path, b, 'added');
  };

  const everything = async (path: string, entry: ViewEntry, change: 'added' | 'removed'): Promise<void> => {
    if (full()) return;
    changes.push({
      path,
      change,
      before: change === 'removed' ? entry : undefined,
      after: change === 'added' ? entry : undefined,
    });
    if (!isDirectory(entry.meta)) return;
    for (const [name, child] of await view.children(entry, await view.names(entry))) {
      await everything(join(path, name), child, change);
    }
  };

  await walk('', view.top(before), view.top(after));
  return { changes, truncated: full() };
}

/** The contract's form of a change. */
export function toFileChange(root: TrackedRoot, change: RootChange): FileChange {
  const entry = change.after ?? change.before;
  const prefix = root.path === '/' ? '' : root.path;
  return {
    path: `${prefix}/${displayName(change.path)}`,
    root: root.name,
    change: change.change,
    kind: entry ? kindOf(entry.meta) : 'other',
    sizeBytes: entry?.meta.size ?? 0,
    ...(change.timeOnly ? { timeOnly: true } : {}),
  };
}

/**
 * When it was modified, where that says anything: of a directory it follows from what comes and goes in it, of a FIFO or a socket
 * it means nothing.
 */
function timeOf(entry: TreeEntry): string {
  return isFile(entry) || isSymlink(entry) ? `${entry.mtimeSec}.${entry.mtimeNsec}` : '';
}

/** Equal as far as the upper goes; the base is only remembered. */
function unchanged(x: TreeEntry, y: TreeEntry): boolean {
  return (
    x.content === y.content &&
    x.mode === y.mode &&
    x.uid === y.uid &&
    x.gid === y.gid &&
    x.size === y.size &&
    x.xattrs === y.xattrs &&
    x.target === y.target &&
    x.link === y.link &&
    timeOf(x) === timeOf(y) &&
    x.rdevMajor === y.rdevMajor &&
    x.rdevMinor === y.rdevMinor
  );
}
