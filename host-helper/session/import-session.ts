/**
 * Import: reads an archive that nobody vouches for, proves all of it, and only then makes a session of it. A crash at any
 * instant leaves nothing but what the next start of the helper removes.
 */

import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { Turn } from '../protocol/state.ts';
import type { IncomingFolder, IncomingObjects, TreeTop } from '../store/store.ts';
import { Pace } from '../store/pace.ts';
import { archiveInvalid } from '../store/transfer-errors.ts';
import { decodeObjects, FrameDecoder, frameType, type Frame } from './archive-frames.ts';
import {
  archivedTurnSchema,
  baseSchema,
  endSchema,
  headerSchema,
  imageSchema,
  parseFrame,
  versionSchema,
  type ArchivedTurn,
  type ArchiveHeader,
  type ArchiveImage,
} from './archive-schema.ts';
import { ArchiveTally } from './archive-tally.ts';
import { crashPoint } from '../crash-point.ts';
import { newId } from './ids.ts';
import { keepImages } from './import-images.ts';
import { inheritedTurn } from './import-turns.ts';
import { importedUpstream } from './import-upstream.ts';
import { chooseWorkspace, mustHaveRoom, type Workspace, type WorkspaceChoice } from './import-workspace.ts';
import type { SessionParts } from './parts.ts';
import { discardUnfinished } from './branch.ts';
import { SessionRuntime } from './runtime.ts';
import type { SessionRecord } from './session-record.ts';
import { Session } from './session.ts';

export interface ImportContext extends WorkspaceChoice {
  readonly parts: SessionParts;
  readonly request: ParamsOf<'session/import'>;
  /** What this host does without, in words. */
  readonly degraded: readonly string[];
}

type ProvenVersion = Awaited<ReturnType<IncomingObjects['version']>>;

/** One archive on its way in. Dispose when it is done with, whether it became a session or not. */
export class SessionImport implements Disposable {
  readonly #context: ImportContext;
  readonly #decoder = new FrameDecoder();
  readonly #tally = new ArchiveTally();
  readonly #incoming: IncomingObjects;
  /** What no collection may take before the session names it. */
  readonly #held = new DisposableStack();
  #header: ArchiveHeader | undefined;
  #versions: (readonly TreeTop[])[] = [];
  #images: ArchiveImage[] = [];
  #base: z.infer<typeof baseSchema> | undefined;
  #turns: ArchivedTurn[] = [];
  #notes: readonly string[] | undefined;

  constructor(context: ImportContext) {
    this.#context = context;
    this.#incoming = this.#held.use(context.parts.store.transfer.incoming());
  }

  /** The next bytes of the archive. Throws `archiveInvalid`. */
  async write(data: Buffer): Promise<void> {
    for await (const frame of this.#decoder.push(data)) await this.#take(frame);
    if (this.#notes && this.#decoder.rest > 0) throw archiveInvalid('something follows its end');
  }

  /** After the last byte: proves the whole and makes the session, stopped at the archive's head. */
  async finish(): Promise<{ readonly session: Session; readonly result: ResultOf<'import/finish'> }> {
    const header = this.#header;
    const base = this.#base;
    if (!header || !base || this.#notes === undefined) throw archiveInvalid('it is cut short');
    const notes = [...this.#notes];
    await this.#incoming.seal();
    const versions: ProvenVersion[] = [];
    for (const tops of this.#versions) versions.push(await this.#incoming.version(tops));
    await this.#checkMountPoints(header);
    const head = this.#checkLine(header);
    const folder = await this.#incoming.folder(base.top, base.contents);
    const workspace = await chooseWorkspace(this.#context, header.session.workspace, folder, base.contents);
    const { parts, request } = this.#context;
    const needs = {
      fill: workspace.fill,
      headBytes: versions[head.version]?.bytes ?? 0,
      folderBytes: folder.bytes,
    };
    await mustHaveRoom(needs, parts.stateDirectory, parts.store.usage());
    const incomingImages = {
      images: this.#images,
      incoming: this.#incoming,
      from: header.host.arch,
      trusted: request.processes === true,
    };
    const images = await keepImages(parts, incomingImages, this.#held, notes);
    const session = await this.#make(header, versions, images, workspace, folder, notes);
    return {
      session,
      result: {
        sessionId: session.id,
        turn: header.head,
        turns: this.#turns.length,
        processes: images.some((image) => image !== undefined),
        workspace: workspace.lower ?? header.session.workspace,
        ownWorkspace: workspace.fill === 'own',
        notes,
      },
    };
  }

  [Symbol.dispose](): void {
    const { store, logger } = this.#context.parts;
    this.#held[Symbol.dispose]();
    // What came in and is not part of a session now goes again. Nobody waits for it: the session is there, or is not.
    store.collect().catch((error: unknown) => {
      logger.warn('what an import brought and does not need was not removed', { error });
    });
  }

  async #take({ type, data, digestBefore }: Frame): Promise<void> {
    if (this.#notes) throw archiveInvalid('something follows its end');
    if (!this.#header) {
      if (type !== frameType.header) throw archiveInvalid('it does not say what it holds');
      const header = parseFrame(headerSchema, data);
      if (header.form !== this.#context.parts.store.transfer.form)
        throw archiveInvalid(
          `it was written by version ${header.product}, which stores things in another form`,
        );
      this.#header = header;
      return;
    }
    const tooMuch = this.#tally.add(type, data.length);
    if (tooMuch !== undefined) throw archiveInvalid(`it has ${tooMuch}; export it with --only-head`);
    switch (type) {
      case frameType.objects:
        for (const object of decodeObjects(data)) await this.#incoming.put(object);
        return;
      case frameType.version:
        this.#versions.push(parseFrame(versionSchema, data).tops);
        return;
      case frameType.image:
        this.#images.push(parseFrame(imageSchema, data));
        return;
      case frameType.base:
        if (this.#base) throw archiveInvalid('it has two workspaces');
        this.#base = parseFrame(baseSchema, data);
        return;
      case frameType.turn:
        this.#turns.push(parseFrame(archivedTurnSchema, data));
        return;
      case frameType.end: {
        const end = parseFrame(endSchema, data);
        if (end.digest !== digestBefore) throw archiveInvalid('it is damaged');
        this.#notes = end.notes;
        return;
      }
      default:
        throw archiveInvalid('it is damaged');
    }
  }

  /** One line from the start to the head, every turn closed and after its parent. Returns the head's checkpoint. */
  #checkLine(header: ArchiveHeader): NonNullable<ArchivedTurn['checkpoint']> {
    let before: Turn | undefined;
    for (const { turn, checkpoint } of this.#turns) {
      const follows = before ? turn.parent === before.id && turn.id > before.id : turn.parent === null;
      const names =
        checkpoint === undefined ||
        (turn.checkpoint?.restorable === true &&
          checkpoint.version < this.#versions.length &&
          (checkpoint.image ?? -1) < this.#images.length);
      if (!follows || turn.state !== 'closed' || !names) throw archiveInvalid('its turns make no sense');
      before = turn;
    }
    const head = this.#turns.at(-1)?.checkpoint;
    if (before?.id !== header.head || !head) throw archiveInvalid('it has no head');
    return head;
  }

  /** Where the sandbox gets its mounts the root file system must have directories: a link there would lead the helper elsewhere. */
  async #checkMountPoints(header: ArchiveHeader): Promise<void> {
    const { workspace, home } = header.session;
    const paths = [
      workspace,
      home,
      '/run/turntable',
      '/run/lock',
      '/usr',
      '/etc',
      '/var',
      '/opt',
      '/tmp',
      '/home',
    ];
    const pace = new Pace();
    const seen = new Set<string>();
    for (const tops of this.#versions) {
      const root = tops.find(({ name }) => name === 'rootfs')?.entry;
      if (root === undefined || seen.has(root)) continue;
      seen.add(root);
      for (const path of paths) {
        if (this.#incoming.isBlocked(tops, 'rootfs', path.slice(1)))
          throw archiveInvalid(`it has no directory at ${path}`);
        await pace.done(path.length);
      }
    }
  }

  async #make(
    header: ArchiveHeader,
    versions: readonly ProvenVersion[],
    images: readonly (string | undefined)[],
    workspace: Workspace,
    folder: IncomingFolder,
    notes: string[],
  ): Promise<Session> {
    const { parts, request } = this.#context;
    const { metadata, files } = parts.store;
    const id = newId('s');
    const directory = SessionRuntime.directoryOf(parts.stateDirectory, id);
    const ownFolder = join(directory, 'base', 'workspace');
    const lower = workspace.fill === 'own' ? ownFolder : workspace.lower;
    const { agent } = header.session;
    const { upstream, note } = importedUpstream(header.session.upstream, request.upstream);
    if (note !== undefined) notes.push(note);
    const record: SessionRecord = {
      id,
      title: request.title ?? header.session.title,
      workspace: header.session.workspace,
      ...(lower === undefined ? {} : { workspaceLower: lower }),
      home: header.session.home,
      agent: { name: agent, status: agent === 'none' ? 'none' : 'stopped' },
      upstream,
      createdAt: Date.now(),
      head: header.head,
      status: 'stopped',
      degraded: [...this.#context.degraded],
      furniture: [],
    };
    const session = new Session(parts, record, request.env ?? {});
    // Names the versions, so that no collection takes them before the turns do.
    const intent = metadata.beginIntent(
      'import',
      id,
      JSON.stringify({ versions: versions.map((each) => each.id) }),
    );
    return session.lock.run(async () => {
      try {
        metadata.putSession(id, JSON.stringify(record));
        crashPoint('import:begun');
        if (workspace.fill === 'own') {
          await mkdir(join(directory, 'base'), { recursive: true, mode: 0o700 });
          await mkdir(ownFolder);
          await folder.fill(ownFolder, undefined);
        } else if (workspace.fill) {
          const { uid, gid } = await lstat(workspace.fill.given);
          await folder.fill(workspace.fill.given, { uid, gid });
        }
        this.#incoming.publish();
        const imported = { sessionId: id, versions: versions.map((each) => each.id), images };
        session.turns.adoptLine(this.#turns.map((each) => inheritedTurn(each, imported)));
        crashPoint('import:recorded');
        const runtime = await session.createRuntime('create');
        const head = metadata.checkpointOf(id, header.head);
        if (!head) throw archiveInvalid('it has no head');
        const { roots } = runtime.sandbox;
        this.#noteOtherRoots(
          roots.map((root) => root.name),
          notes,
        );
        await files.restore({ sandboxId: runtime.sandbox.id, roots, version: head.fileVersion });
        session.checkpointer.startFrom(head.fileVersion);
        await runtime.sandbox.mount();
        session.setStatus('stopped');
        crashPoint('import:restored');
        metadata.endIntent(intent);
        return session;
      } catch (error) {
        await discardUnfinished(session, intent, `Session ${id} could not be imported.`);
        throw error;
      }
    });
  }

  #noteOtherRoots(here: readonly string[], notes: string[]): void {
    const there = new Set(this.#versions.flatMap((tops) => tops.map((top) => top.name)));
    for (const name of there.difference(new Set(here)))
      notes.push(`changes in ${name} stay out of sight: this machine has no such directory`);
  }
}
