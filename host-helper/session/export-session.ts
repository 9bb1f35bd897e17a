/**
 * Export: writes the line of turns up to a checkpoint, and all that is needed to go on from it, into an archive. Reads only
 * what is published; the session itself goes on undisturbed.
 */

import { arch, release } from 'node:os';
import type { ParamsOf } from '../protocol/methods.ts';
import { lineOf } from '../protocol/reducer.ts';
import type { Turn } from '../protocol/state.ts';
import type { CheckpointRecord } from '../store/store.ts';
import { frameType } from './archive-frames.ts';
import type { ArchivedTurn, ArchiveHeader, ArchiveImage } from './archive-schema.ts';
import type { ArchiveOutput } from './archive-output.ts';
import { HostFiles } from './needed-files.ts';
import { positionOf } from './restore-session.ts';
import { checkpointOf } from './rewind.ts';
import { maskedPaths } from './runtime.ts';
import type { Session } from './session.ts';

interface Exported {
  readonly turn: Turn;
  readonly record: CheckpointRecord | undefined;
}

/** Writes everything and ends the archive. Throws `notRestorable` before anything is written. */
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
  const versions = [...new Set(line.flatMap((each) => each.record?.fileVersion ?? []))];
  // Its document names the versions, so that no collection takes them while they are read.
  const intent = metadata.beginIntent('export', session.id, JSON.stringify({ versions }));
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
    for (const version of versions) {
      await transfer.sendVersion(version, out);
      await out.frame(frameType.version, { tops: transfer.tops(version) });
    }
    const images = await sendImages(session, line, out);
    await sendBase(session, request.withoutBase !== true, out, notes);
    for (const each of line) await out.frame(frameType.turn, archived(each, versions, images));
    await out.end(notes.slice(0, 1000).map((note) => note.slice(0, 1000)));
  } finally {
    metadata.endIntent(intent);
  }
}

/** Each image once, however many turns use it. Returns their order. */
async function sendImages(
  session: Session,
  line: readonly Exported[],
  out: ArchiveOutput,
): Promise<string[]> {
  const { parts } = session;
  const { images, transfer } = parts.store;
  const sent: string[] = [];
  const host = new HostFiles({ roots: session.runtime.sandbox.roots, mounts: parts.agents.mounts });
  for (const { record } of line) {
    if (record?.processImage === undefined || sent.includes(record.processImage)) continue;
    const opened = await images.open(record.processImage);
    try {
      const needs: ArchiveImage['needs'] = [];
      for (const path of await parts.backend.filesOf(opened.directory)) {
        const place = host.placeOf(path);
        // What the session's own layer holds (or hides) comes along with the files.
        if (!place || (place.root !== '' && transfer.kindAt(record.fileVersion, place.root, place.path)))
          continue;
        const needed = await host.look(path);
        if (needed) needs.push(needed);
      }
      const files = await transfer.sendImage(opened.directory, out);
      await out.frame(frameType.image, { files: [...files], needs } satisfies ArchiveImage);
    } finally {
      await opened.release();
    }
    sent.push(record.processImage);
  }
  return sent;
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

function archived(each: Exported, versions: readonly string[], images: readonly string[]): ArchivedTurn {
  const { turn, record } = each;
  if (!record) return { turn: withoutCheckpoint(turn) };
  return {
    turn,
    checkpoint: {
      version: versions.indexOf(record.fileVersion),
      ...(record.processImage === undefined ? {} : { image: images.indexOf(record.processImage) }),
      position: positionOf(record),
      createdAt: record.createdAt,
    },
  };
}

/** A turn that is told of, but cannot be gone back to: small, for only its words are left. */
function withoutCheckpoint(turn: Turn): Turn {
  const { effects: _effects, ...rest } = turn;
  if (turn.checkpoint?.restorable !== true) return turn;
  return {
    ...rest,
    checkpoint: {
      ...turn.checkpoint,
      restorable: false,
      hasProcesses: false,
      reason: 'not restorable: it was left out when the session was exported',
    },
  };
}

/** A URL may hold a name and a password. */
function withoutCredentials(upstream: string): string {
  if (!URL.canParse(upstream)) return upstream;
  const url = new URL(upstream);
  if (url.username === '' && url.password === '' && url.search === '') return upstream;
  return 'keys';
}
