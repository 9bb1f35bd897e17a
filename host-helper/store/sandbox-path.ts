/**
 * Finds what a path of the sandbox names in a version: across roots, through symbolic links, over the lowers.
 * A link at the very end is not followed.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { TrackedRoot } from '../sandbox/sandbox.ts';
import { isDirectory, isSymlink, type TreeEntry } from './file-tree.ts';
import type { OverlayView, ViewDirectory, ViewEntry } from './overlay-view.ts';
import { byteName, displayName } from './treefs-wire.ts';

const maxLinks = 40;

export interface FoundEntry {
  readonly view: OverlayView;
  readonly entry: ViewEntry;
}

/** Throws `fileNotFound`. `tops` holds each root's entry in the version. */
export async function findInSandbox(
  views: readonly OverlayView[],
  tops: ReadonlyMap<string, TreeEntry>,
  path: string,
): Promise<FoundEntry> {
  let parts = split(byteName(path));
  for (let links = 0; links <= maxLinks; links++) {
    const step = await walk(views, tops, parts);
    if (!step) break;
    if ('entry' in step) return step;
    parts = step.parts;
  }
  throw notFound(path);
}

async function walk(
  views: readonly OverlayView[],
  tops: ReadonlyMap<string, TreeEntry>,
  parts: readonly string[],
): Promise<FoundEntry | { readonly parts: string[] } | undefined> {
  let view: OverlayView | undefined;
  let at: ViewDirectory = { upper: undefined, lower: undefined };
  let entry: ViewEntry | undefined;
  for (let index = -1; index < parts.length; index++) {
    const here = parts.slice(0, index + 1);
    const mounted = views.find((candidate) => same(split(byteName(candidate.root.path)), here));
    if (mounted) {
      view = mounted;
      const top = tops.get(mounted.root.name);
      at = mounted.top(top);
      entry = { ...at, meta: top ?? rootMeta(mounted.root) };
      continue;
    }
    const name = parts[index];
    if (!view || name === undefined) continue;
    // A mount point further down need not be an entry here.
    entry = await view.child(at, name);
    const below = views.some((candidate) => startsWith(split(byteName(candidate.root.path)), here));
    if (!entry) {
      if (!below) return undefined;
      at = { upper: undefined, lower: undefined };
      continue;
    }
    const last = index === parts.length - 1;
    if (isSymlink(entry.meta) && !last) {
      const target = split(entry.meta.target);
      const start = entry.meta.target.startsWith('/') ? [] : parts.slice(0, index);
      return { parts: normalize([...start, ...target, ...parts.slice(index + 1)]) };
    }
    if (!last && !isDirectory(entry.meta) && !below) return undefined;
    at = entry;
  }
  return view && entry ? { view, entry } : undefined;
}

export function notFound(path: string): TurntableError {
  return new TurntableError(
    'fileNotFound',
    `${displayName(byteName(path))} is not there in this version. Choose another turn or path.`,
  );
}

function split(path: string): string[] {
  return normalize(path.split('/'));
}

function normalize(parts: readonly string[]): string[] {
  const result: string[] = [];
  for (const part of parts) {
    if (part === '' || part === '.') continue;
    if (part === '..') result.pop();
    else result.push(part);
  }
  return result;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && startsWith(a, b);
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.length <= path.length && prefix.every((part, index) => part === path[index]);
}

function rootMeta(root: TrackedRoot): TreeEntry {
  return {
    name: root.name,
    mode: 0o040755,
    uid: 0,
    gid: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    size: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    xattrs: '',
    content: '',
    target: '',
    link: '',
    base: '',
  };
}
