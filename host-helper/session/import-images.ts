/** Process images on their way in: kept where whoever asked trusts them and this machine is like theirs, else left behind. */

import { arch } from 'node:os';
import type { IncomingObjects } from '../store/store.ts';
import type { ArchiveImage } from './archive-schema.ts';
import { HostFiles } from './needed-files.ts';
import type { SessionParts } from './parts.ts';

/** The host's own directories as sandboxes get them: each at its own path. */
const hostRoots = ['usr', 'etc', 'var', 'opt'].map((name) => ({ name, path: `/${name}`, lower: `/${name}` }));

export interface IncomingImages {
  readonly images: readonly ArchiveImage[];
  readonly incoming: IncomingObjects;
  /** The architecture they ran on. */
  readonly from: string;
  /** Somebody vouches for them. */
  readonly trusted: boolean;
}

/** An image for each, or undefined where it stays behind, which is noted. No collection takes them before `held` is disposed. */
export async function keepImages(
  parts: SessionParts,
  { images, incoming, from, trusted }: IncomingImages,
  held: DisposableStack,
  notes: string[],
): Promise<(string | undefined)[]> {
  const store = parts.store.images;
  if (images.length === 0) return [];
  const none = (why: string): undefined[] => {
    notes.push(`processes stay behind: ${why}`);
    return images.map(() => undefined);
  };
  if (!trusted)
    return none(
      'a process image can do anything on this machine; import with --processes if you trust whoever made it',
    );
  const noDump = parts.noDump();
  if (noDump !== undefined) return none(noDump);
  if (from !== arch()) return none(`they ran on ${from}, this is ${arch()}`);
  const kept: (string | undefined)[] = [];
  const host = new HostFiles({ roots: hostRoots, mounts: parts.agents.mounts });
  for (const image of images) {
    const differing = await differingFiles(host, image);
    if (differing.length > 0) {
      const words = `${differing.slice(0, 3).join(', ')}${differing.length > 3 ? ` and ${differing.length - 3} more` : ''}`;
      notes.push(`the processes of a turn stay behind: this machine has another ${words}`);
      kept.push(undefined);
      continue;
    }
    const staged = await store.stage();
    try {
      await incoming.writeImage(image.files, staged);
      const { image: id } = await store.keep(staged);
      held.use(store.hold(id));
      kept.push(id);
    } catch (error) {
      await store.discard(staged).catch(() => {});
      throw error;
    }
  }
  return kept;
}

async function differingFiles(host: HostFiles, image: ArchiveImage): Promise<string[]> {
  const differing: string[] = [];
  for (const need of image.needs) {
    const here = await host.look(need.path);
    if (here?.sha256 !== need.sha256 || here.sizeBytes !== need.sizeBytes) differing.push(need.path);
  }
  return differing;
}
