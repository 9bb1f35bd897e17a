/**
 * Import: reads an archive that nobody vouches for, proves all of it, and only then makes a session of it. A crash at any
 * instant leaves nothing but what the next start of the helper removes.
 */

import { lstat, mkdir, readdir } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { Turn } from '../protocol/state.ts';
import type { FileVersionId, IncomingFolder, IncomingObjects, TreeTop } from '../store/store.ts';
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
import { inheritedTurn } from './import-turns.ts';
import { importedUpstream } from './import-upstream.ts';
import { HostFiles } from './needed-files.ts';
import type { SessionParts } from './parts.ts';
import { discardUnfinished } from './branch.ts';
import { maskedPaths, SessionRuntime } from './runtime.ts';
import type { SessionRecord } from './session-record.ts';
import { Session } from './session.ts';

const shownDifferences = 20;
/** The host's own directories as sandboxes get them: each at its own path. */
const hostRoots = ['usr', 'etc', 'var', 'opt'].map((name) => ({ name, path: `/${name}`, lower: `/${name}` }));

export interface ImportContext {
  readonly parts: SessionParts;
  readonly request: ParamsOf<'session/import'>;
  /** What this host does without, in words. */
  readonly degraded: readonly string[];
  /** The real path of a folder that may be a workspace; throws `workspaceInvalid`. */
  readonly checkedWorkspace: (path: string) => Promise<string>;
}

interface Workspace {
  /** Undefined: the folder at the session's own path. */
  readonly lower: string | undefined;
  /** To be filled from the archive: the folder that was given, empty, or one of the session's own. */
  readonly fill: { readonly folder: string; readonly own: boolean } | undefined;
}

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
    const versions = this.#versions.map((tops) => this.#incoming.version(tops));
    this.#checkMountPoints(header);
    this.#checkLine(header);
    const folder = this.#incoming.folder(base.top, base.contents);
    const workspace = await this.#workspace(header, folder, base.contents);
    const images = await this.#keepImages(header, notes);
    const session = await this.#make(header, versions, images, workspace, folder, notes);
    return {
      session,
      result: {
        sessionId: session.id,
        turn: header.head,
        turns: this.#turns.length,
        processes: images.some((image) => image !== undefined),
        workspace: workspace.lower ?? header.session.workspace,
        ownWorkspace: workspace.fill?.own === true,
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

  /** One line from the start to the head, every turn closed and after its parent. */
  #checkLine(header: ArchiveHeader): void {
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
    if (before?.id !== header.head || !this.#turns.at(-1)?.checkpoint) throw archiveInvalid('it has no head');
  }

  /** Where the sandbox gets its mounts the root file system must have directories: a link there would lead the helper elsewhere. */
  #checkMountPoints(header: ArchiveHeader): void {
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
    for (const tops of this.#versions) {
      for (const path of paths) {
        const names = path.slice(1).split('/');
        for (let count = 1; count <= names.length; count += 1) {
          const kind = this.#incoming.kindAt(tops, 'rootfs', names.slice(0, count).join('/'));
          if (kind === undefined) break;
          if (kind !== 'directory') throw archiveInvalid(`it has no directory at ${path}`);
        }
      }
    }
  }

  async #workspace(header: ArchiveHeader, folder: IncomingFolder, contents: boolean): Promise<Workspace> {
    const { request, checkedWorkspace } = this.#context;
    const own = header.session.workspace;
    if (request.workspace === undefined) {
      const here = await checkedWorkspace(own).catch(() => undefined);
      if (here === own && (await folder.differences(own, maskedPaths, 1)).length === 0)
        return { lower: undefined, fill: undefined };
      if (contents) return { lower: undefined, fill: { folder: '', own: true } };
      throw new TurntableError(
        'workspaceInvalid',
        `The archive was exported without its workspace, and ${own} here is not the same: give the folder with --workspace, or export again without --without-base.`,
      );
    }
    const chosen = await checkedWorkspace(request.workspace);
    const lower = chosen === own ? undefined : chosen;
    if ((await readdir(chosen)).length === 0 && contents)
      return { lower, fill: { folder: chosen, own: false } };
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

  /** An image for each frame, or undefined where it stays behind; what stays behind is said. */
  async #keepImages(header: ArchiveHeader, notes: string[]): Promise<(string | undefined)[]> {
    const { parts, request } = this.#context;
    if (this.#images.length === 0) return [];
    const none = (why: string): undefined[] => {
      notes.push(`processes stay behind: ${why}`);
      return this.#images.map(() => undefined);
    };
    if (request.processes !== true)
      return none(
        'a process image can do anything on this machine; import with --processes if you trust whoever made it',
      );
    const noDump = parts.noDump();
    if (noDump !== undefined) return none(noDump);
    if (header.host.arch !== arch()) return none(`they ran on ${header.host.arch}, this is ${arch()}`);
    const kept: (string | undefined)[] = [];
    const host = new HostFiles({ roots: hostRoots, mounts: parts.agents.mounts });
    for (const image of this.#images) {
      const differing = await differingFiles(host, image);
      if (differing.length > 0) {
        const words = `${differing.slice(0, 3).join(', ')}${differing.length > 3 ? ` and ${differing.length - 3} more` : ''}`;
        notes.push(`the processes of a turn stay behind: this machine has another ${words}`);
        kept.push(undefined);
        continue;
      }
      const staged = await parts.store.images.stage();
      try {
        await this.#incoming.writeImage(image.files, staged);
        const { image: id } = await parts.store.images.keep(staged);
        this.#held.use(parts.store.images.hold(id));
        kept.push(id);
      } catch (error) {
        await parts.store.images.discard(staged).catch(() => {});
        throw error;
      }
    }
    return kept;
  }

  async #make(
    header: ArchiveHeader,
    versions: readonly { readonly id: FileVersionId; publish(): void }[],
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
    const lower = workspace.fill?.own === true ? ownFolder : workspace.lower;
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
        if (workspace.fill) {
          if (workspace.fill.own) {
            await mkdir(join(directory, 'base'), { recursive: true, mode: 0o700 });
            await mkdir(ownFolder);
          }
          const target = workspace.fill.own ? ownFolder : workspace.fill.folder;
          const { uid, gid } = await lstat(target);
          await folder.fill(target, workspace.fill.own ? undefined : { uid, gid });
        }
        for (const version of versions) version.publish();
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

async function differingFiles(host: HostFiles, image: ArchiveImage): Promise<string[]> {
  const differing: string[] = [];
  for (const need of image.needs) {
    const here = await host.look(need.path);
    if (here?.sha256 !== need.sha256 || here.sizeBytes !== need.sizeBytes) differing.push(need.path);
  }
  return differing;
}
