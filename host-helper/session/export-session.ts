/**
 * Export: writes the line of turns up to a checkpoint, and all that is needed to go on from it, into an archive. Reads only
 * what is published; the session itself goes on undisturbed.
 */

import { arch, release } from 'node:os';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf } from '../protocol/methods.ts';
import { lineOf } from '../protocol/reducer.ts';
import type { FileVersionId } from '../store/store.ts';
import { frameType } from './archive-frames.ts';
import type { ArchiveHeader, ArchiveImage } from './archive-schema.ts';
import type { ArchiveOutput } from './archive-output.ts';
import { archivedTurn, mustFit, placesOf, type Exported } from './export-turns.ts';
import { HostFiles } from './needed-files.ts';
import { checkpointOf } from './rewind.ts';
import { maskedPaths } from './runtime.ts';
import type { Session } from './session.ts';

/** Writes everything and ends the archive. Throws `notRestorable` and, as far as it can be told, `archiveTooLarge` before anything is written. */
export async function exportSession(
  session: Session,
  request: Pick<ParamsOf<'session/export'>, 'turn' | 'onlyHead' | 'withoutBase'>,
  helperVersion: string,
  out: ArchiveOutput,
): Promise<void> {
  const { parts, record } = session;
  const { metadata, transfer } = parts.store;
  const head = request.turn ?? record.head;
  checkpointOf(session, head);
  const line = lineOf({ turns: session.turns.all }, head).map((turn): Exported => {
    const wanted = request.onlyHead !== true || turn.id === head;
    const kept = wanted && turn.checkpoint?.restorable === true;
    return { turn, record: kept ? metadata.checkpointOf(session.id, turn.id) : undefined };
  });
  const versions = placesOf(new Set(line.flatMap((each) => each.record?.fileVersion ?? [])));
  mustFit(line, versions, placesOf(new Set(line.flatMap((each) => each.record?.processImage ?? []))));
  // Its document names the versions, so that no collection takes them while they are read, and the turns, so that none
  // expires meanwhile and takes its image along.
  const turns = line.flatMap((each) => each.record?.turn ?? []);
  const intent = metadata.beginIntent(
    'export',
    session.id,
    JSON.stringify({ versions: [...versions.keys()], turns }),
  );
  const notes: string[] = [];
  try {
    const header: ArchiveHeader = {
      product: helperVersion,
      createdAt: Date.now(),
      form: transfer.form,
      host: { arch: arch(), kernel: release() },
      session: {
        title: record.title.slice(0, 200),
        workspace: record.workspace,
        home: record.home,
        agent: record.agent.name,
        upstream: withoutCredentials(record.upstream),
      },
      head,
    };
    await out.frame(frameType.header, header);
    for (const version of versions.keys()) {
      await transfer.sendVersion(version, out);
      await out.frame(frameType.version, { tops: transfer.tops(version) });
    }
    const images = placesOf(await sendImages(session, line, out, notes));
    await sendBase(session, request.withoutBase !== true, out, notes);
    for (const each of line) await out.frame(frameType.turn, archivedTurn(each, versions, images));
    await out.end(notes.slice(0, 1000).map((note) => note.slice(0, 1000)));
  } finally {
    metadata.endIntent(intent);
  }
}

/** Each image once, however many turns use it; one that cannot be read is left out, and that is noted. Returns their order. */
async function sendImages(
  session: Session,
  line: readonly Exported[],
  out: ArchiveOutput,
  notes: string[],
): Promise<string[]> {
  const { parts } = session;
  const sent: string[] = [];
  const lost = new Set<string>();
  const host = new HostFiles({ roots: session.runtime.sandbox.roots, mounts: parts.agents.mounts });
  for (const { record } of line) {
    if (record?.processImage === undefined) continue;
    const image = record.processImage;
    if (sent.includes(image) || lost.has(image)) continue;
    try {
      await out.frame(frameType.image, await sendImage(session, image, record.fileVersion, host, out));
      sent.push(image);
    } catch (error) {
      if (!isLost(error)) throw error;
      lost.add(image);
      notes.push(`the processes of turn ${record.turn} stay behind: ${error.message}`);
    }
  }
  return sent;
}

async function sendImage(
  session: Session,
  image: string,
  fileVersion: FileVersionId,
  host: HostFiles,
  out: ArchiveOutput,
): Promise<ArchiveImage> {
  const { store, backend } = session.parts;
  const opened = await store.images.open(image);
  try {
    const needs: ArchiveImage['needs'] = [];
    for (const path of await backend.filesOf(opened.directory)) {
      const place = host.placeOf(path);
      // What the session's own layer holds (or hides) comes along with the files.
      if (!place || (place.root !== '' && store.transfer.kindAt(fileVersion, place.root, place.path)))
        continue;
      const needed = await host.look(path);
      if (needed) needs.push(needed);
    }
    return { files: [...(await store.transfer.sendImage(opened.directory, out))], needs };
  } finally {
    await opened.release();
  }
}

function isLost(error: unknown): error is TurntableError {
  return error instanceof TurntableError && ['notRestorable', 'storeDamaged'].includes(error.code);
}

async function sendBase(
  session: Session,
  contents: boolean,
  out: ArchiveOutput,
  notes: string[],
): Promise<void> {
  const { record, parts } = session;
  const folder = record.workspaceLower ?? record.workspace;
  const { top, warnings } = await parts.store.transfer.sendFolder(folder, maskedPaths, out, contents);
  notes.push(...warnings.map((warning) => `${folder}: ${warning}`));
  await out.frame(frameType.base, { top, contents, masked: maskedPaths });
}

/** A URL may hold a name and a password. */
function withoutCredentials(upstream: string): string {
  if (!URL.canParse(upstream)) return upstream;
  const url = new URL(upstream);
  if (url.username === '' && url.password === '' && url.search === '') return upstream;
  return 'keys';
}
