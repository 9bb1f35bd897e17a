/**
 * The folder below an imported session: the same one as there, an empty one that is filled, or a copy of the session's own.
 * Decides which, and whether there is room; makes nothing.
 */

import { readdir, stat, statfs } from 'node:fs/promises';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf } from '../protocol/methods.ts';
import type { StoreUsage } from '../store/quota.ts';
import type { IncomingFolder } from '../store/store.ts';
import { maskedPaths } from './runtime.ts';

const shownDifferences = 20;

export interface Workspace {
  /** Undefined: the folder at the session's own path. */
  readonly lower: string | undefined;
  /** To be filled from the archive: the folder that was given, which is empty, or one of the session's own. */
  readonly fill: { readonly given: string } | 'own' | undefined;
}

export interface WorkspaceChoice {
  readonly request: Pick<ParamsOf<'session/import'>, 'workspace'>;
  /** The real path of a folder that may be a workspace; throws `workspaceInvalid`. */
  readonly checkedWorkspace: (path: string) => Promise<string>;
}

/** `own` is the session's path where it comes from, `contents` whether the folder came along. Throws `workspaceInvalid`. */
export async function chooseWorkspace(
  { request, checkedWorkspace }: WorkspaceChoice,
  own: string,
  folder: IncomingFolder,
  contents: boolean,
): Promise<Workspace> {
  if (request.workspace === undefined) {
    const here = await checkedWorkspace(own).catch(() => undefined);
    if (here === own && (await folder.differences(own, maskedPaths, 1)).length === 0)
      return { lower: undefined, fill: undefined };
    if (contents) return { lower: undefined, fill: 'own' };
    throw new TurntableError(
      'workspaceInvalid',
      `The archive was exported without its workspace, and ${own} here is not the same: give the folder with --workspace, or export again without --without-base.`,
    );
  }
  const chosen = await checkedWorkspace(request.workspace);
  const lower = chosen === own ? undefined : chosen;
  if ((await readdir(chosen)).length === 0 && contents) return { lower, fill: { given: chosen } };
  const differences = await folder.differences(chosen, maskedPaths, shownDifferences);
  if (differences.length === 0) return { lower, fill: undefined };
  const shown = differences.slice(0, 5).join(', ');
  const more =
    differences.length > 5
      ? ` and ${differences.length === shownDifferences ? 'more' : differences.length - 5}`
      : '';
  throw new TurntableError(
    'workspaceInvalid',
    `${chosen} is not what the session worked on: ${shown}${more} differ. Give a folder that is the same, an empty one${contents ? '' : ' with an archive that has the workspace'}, or leave --workspace out.`,
    { data: { differences } },
  );
}

export interface WorkspaceNeeds {
  readonly fill: Workspace['fill'];
  /** What the head's files take, and what filling the folder does. */
  readonly headBytes: number;
  readonly folderBytes: number;
}

/** Before anything is made: throws `diskFull` when the session would not fit, or would take what is left for others. */
export async function mustHaveRoom(
  { fill, headBytes, folderBytes }: WorkspaceNeeds,
  stateDirectory: string,
  { freeBytes, reserveFreeBytes }: Pick<StoreUsage, 'freeBytes' | 'reserveFreeBytes'>,
): Promise<void> {
  const given = typeof fill === 'object' ? fill.given : undefined;
  const elsewhere = given !== undefined && (await stat(given)).dev !== (await stat(stateDirectory)).dev;
  const here = headBytes + (fill && !elsewhere ? folderBytes : 0);
  mustBeFree('the disk with the state directory', here, freeBytes - reserveFreeBytes);
  if (!elsewhere) return;
  const { bavail, bsize } = await statfs(given);
  mustBeFree(`the disk with ${given}`, folderBytes, bavail * bsize);
}

function mustBeFree(where: string, neededBytes: number, roomBytes: number): void {
  if (neededBytes <= roomBytes) return;
  throw new TurntableError(
    'diskFull',
    `The session takes up to ${mebibytes(neededBytes)} on ${where}, which has room for ${mebibytes(Math.max(0, roomBytes))}. Nothing of it was kept; free some space, then import it again.`,
    { data: { neededBytes, roomBytes } },
  );
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
