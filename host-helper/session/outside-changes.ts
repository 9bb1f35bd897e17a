/**
 * What a person changed in the session's folder between turns must survive a rewind. Changes that the rewind would not touch
 * are put back as they were; where both differ, the caller's choice decides, and without one the rewind is refused before
 * anything has happened.
 */

import { diff3Merge } from 'node-diff3';
import type { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';
import type { conflictChoiceSchema } from '../protocol/methods.ts';
import type { Sandbox, TrackedRoot } from '../sandbox/sandbox.ts';
import type { FileChange, FileStore, FileVersionId } from '../store/store.ts';

type ConflictChoice = z.infer<typeof conflictChoiceSchema>;

export interface OutsideRequest {
  readonly files: FileStore;
  readonly roots: readonly TrackedRoot[];
  readonly outside: { readonly changes: readonly FileChange[] };
  /** The version at the head, before the person's changes. */
  readonly head: FileVersionId;
  /** With the person's changes. */
  readonly now: FileVersionId;
  readonly target: FileVersionId;
  readonly choice: ConflictChoice | undefined;
}

export interface OutsidePlan {
  /** Puts the person's changes back into the restored, running sandbox. Returns notes for the person. */
  apply(sandbox: Sandbox): Promise<string[]>;
}

interface Write {
  readonly path: string;
  /** Undefined: remove. */
  readonly content: Uint8Array | undefined;
  readonly mode: number;
  readonly note: string | undefined;
}

/** Throws `conflict` naming the paths when a choice is needed and none was made. */
export async function keepOutsideChanges(request: OutsideRequest): Promise<OutsidePlan> {
  const { files, roots, outside, head, now, target, choice } = request;
  if (outside.changes.length === 0) return { apply: () => Promise.resolve([]) };
  const touched = new Set((await files.changes(head, target, roots)).map((change) => change.path));
  const both = outside.changes.filter((change) => touched.has(change.path));
  if (both.length > 0 && choice === undefined) {
    const shown = both
      .slice(0, 5)
      .map((change) => change.path)
      .join(', ');
    throw new TurntableError(
      'conflict',
      `You changed what this rewind would also change: ${shown}${both.length > 5 ? ` and ${both.length - 5} more` : ''}. ` +
        'Say how to treat them: keep-mine, take-theirs, merge or keep-both.',
      { data: { paths: both.map((change) => change.path) } },
    );
  }
  const writes: Write[] = [];
  for (const change of outside.changes) {
    const mine =
      change.change === 'removed' ? undefined : await readOrUndefined(files, now, roots, change.path);
    const mode = mine === undefined ? 0o644 : (await files.stat(now, roots, change.path)).mode;
    if (!touched.has(change.path) || choice === 'keep-mine') {
      writes.push({ path: change.path, content: mine, mode, note: undefined });
    } else if (choice === 'keep-both' && mine !== undefined) {
      const path = `${change.path}.mine`;
      writes.push({ path, content: mine, mode, note: `your version of ${change.path} is kept as ${path}` });
    } else if (choice === 'merge' && mine !== undefined) {
      const base = await readOrUndefined(files, head, roots, change.path);
      const theirs = await readOrUndefined(files, target, roots, change.path);
      const merged = mergeText(mine, base, theirs);
      writes.push({
        path: change.path,
        content: merged.content,
        mode,
        note: merged.conflicts
          ? `${change.path} was merged with conflict markers`
          : `${change.path} was merged`,
      });
    }
  }
  return { apply: (sandbox) => applyWrites(writes, sandbox) };
}

/**
 * Written by a program inside the sandbox, never by the helper on the host: the agent owns that tree, and a link it left there
 * must not lead a root process out of it.
 */
async function applyWrites(writes: readonly Write[], sandbox: Sandbox): Promise<string[]> {
  const notes: string[] = [];
  for (const write of writes) {
    const argv =
      write.content === undefined
        ? ['rm', '-f', '--', write.path]
        : [
            'sh',
            '-c',
            'mkdir -p -- "${1%/*}" && cat > "$1" && chmod "$2" "$1"',
            'sh',
            write.path,
            (write.mode & 0o7777).toString(8),
          ];
    const child = await sandbox.spawn({
      argv,
      cwd: '/',
      env: { PATH: '/usr/bin:/bin' },
      terminal: undefined,
      stdin: write.content ?? new Uint8Array(),
    });
    const exitCode = await child.exited;
    if (exitCode !== 0) notes.push(`${write.path} could not be put back; your version is in the safety turn`);
    else if (write.note !== undefined) notes.push(write.note);
  }
  return notes;
}

function mergeText(
  mine: Uint8Array,
  base: Uint8Array | undefined,
  theirs: Uint8Array | undefined,
): { content: Uint8Array; conflicts: boolean } {
  if (theirs === undefined) return { content: mine, conflicts: false };
  const lines = (bytes: Uint8Array | undefined): string[] =>
    Buffer.from(bytes ?? new Uint8Array())
      .toString('utf8')
      .split('\n');
  let conflicts = false;
  const merged = diff3Merge(lines(mine), lines(base), lines(theirs), { excludeFalseConflicts: true }).flatMap(
    (region) => {
      if (region.ok) return region.ok;
      if (!region.conflict) return [];
      conflicts = true;
      return ['<<<<<<< yours', ...region.conflict.a, '=======', ...region.conflict.b, '>>>>>>> rewound'];
    },
  );
  return { content: Buffer.from(merged.join('\n')), conflicts };
}

async function readOrUndefined(
  files: FileStore,
  version: FileVersionId,
  roots: readonly TrackedRoot[],
  path: string,
): Promise<Uint8Array | undefined> {
  try {
    return await files.read(version, roots, path);
  } catch (error) {
    if (error instanceof TurntableError && error.code === 'fileNotFound') return undefined;
    throw error;
  }
}
