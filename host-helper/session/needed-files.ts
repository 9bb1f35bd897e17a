/**
 * What a process image takes for granted of its machine: the programs and libraries its processes have mapped that do not
 * travel with the session. Tells them apart by content, so that another machine can say what differs before it tries.
 */

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { isAbsolute, join, normalize, relative } from 'node:path';
import type { TrackedRoot } from '../sandbox/sandbox.ts';

export interface NeededFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Roots whose files are the host's own, and come from whatever host the session is on. */
const hostRoots = new Set(['usr', 'etc', 'var', 'opt']);

export interface HostFilesOptions {
  readonly roots: readonly Pick<TrackedRoot, 'name' | 'path' | 'lower'>[];
  /** Read-only trees that sandboxes have at their own path. */
  readonly mounts: readonly string[];
}

/** Looks at files of this host by the path a sandbox has them at; remembers what it has hashed. */
export class HostFiles {
  readonly #options: HostFilesOptions;
  readonly #known = new Map<string, Promise<NeededFile | undefined>>();

  constructor(options: HostFilesOptions) {
    this.#options = options;
  }

  /** The root and the path below it, for a path of a host root; undefined for what travels with the session. */
  placeOf(path: string): { readonly root: string; readonly path: string; readonly host: string } | undefined {
    if (!isAbsolute(path) || normalize(path) !== path) return undefined;
    const mount = this.#options.mounts.find((each) => isBelow(path, each));
    if (mount !== undefined) return { root: '', path: '', host: path };
    const root = this.#options.roots
      .filter((each) => isBelow(path, each.path))
      .toSorted((a, b) => b.path.length - a.path.length)[0];
    if (!root || !hostRoots.has(root.name) || root.lower === undefined) return undefined;
    const below = relative(root.path, path);
    return { root: root.name, path: below, host: join(root.lower, below) };
  }

  /** Undefined when it is no program and no library, or not there: secrets and data are never looked into. */
  async look(path: string): Promise<NeededFile | undefined> {
    const place = this.placeOf(path);
    if (!place) return undefined;
    let found = this.#known.get(path);
    if (!found) this.#known.set(path, (found = hashProgram(path, place.host)));
    return await found;
  }
}

async function hashProgram(path: string, host: string): Promise<NeededFile | undefined> {
  const handle = await open(host, 'r').catch(() => undefined);
  if (!handle) return undefined;
  try {
    const status = await handle.stat();
    if (!status.isFile() || ((status.mode & 0o111) === 0 && !/\.so(\.|$)/.test(path))) return undefined;
    const hash = createHash('sha256');
    for await (const data of handle.createReadStream({ autoClose: false })) {
      if (Buffer.isBuffer(data)) hash.update(data);
    }
    return { path, sizeBytes: status.size, sha256: hash.digest('hex') };
  } finally {
    await handle.close();
  }
}

function isBelow(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(ancestor.endsWith('/') ? ancestor : `${ancestor}/`);
}
