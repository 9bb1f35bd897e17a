/**
 * All sessions of this helper: started, found again after a restart, stopped, removed. Each is one object; who wants one asks
 * here by id.
 */

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { crashPoint } from '../crash-point.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { ExecAsk, Sentry } from '../inspector/sentry.ts';
import { keyNames } from '../turns/upstreams.ts';
import { branch } from './branch.ts';
import { degradedBy } from './checkpoint-policy.ts';
import { branchMany } from './branch-many.ts';
import { newId } from './ids.ts';
import { SessionImport } from './import-session.ts';
import type { SessionParts } from './parts.ts';
import { SessionRuntime } from './runtime.ts';
import { letAgentGoOn, restoreSandbox, wasAtWork, type OpenImages } from './restore-session.ts';
import { lastWhole, versionAt } from './rewind.ts';
import { sessionRecordSchema, type SessionRecord } from './session-record.ts';
import { Session } from './session.ts';

/** As many as the sentry can watch (SENTRY_WATCHES_MAX in bpf/sentry.h). */
const maxSessions = 128;
const sandboxHome = '/root';

/** Sessions that an unfinished intent of this kind leaves half made or half gone. */
const goneBecause: Readonly<Record<string, string>> = {
  start: 'session ID had not been started completely and was removed',
  branch: 'branch ID had not been finished and was removed',
  import: 'import ID had not been finished and was removed',
  remove: 'session ID was being removed, which is done now',
};

export class SessionRegistry {
  readonly #parts: SessionParts;
  readonly #sessions = new Map<string, Session>();

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  get all(): Session[] {
    return [...this.#sessions.values()];
  }

  /** Throws `sessionNotFound`. */
  get(id: string): Session {
    const session = this.#sessions.get(id);
    if (!session)
      throw new TurntableError(
        'sessionNotFound',
        `There is no session ${id}: list them with \`turntable session ls\`.`,
      );
    return session;
  }

  async start(request: ParamsOf<'session/start'>): Promise<ResultOf<'session/start'>> {
    this.#mustHaveRoom();
    const workspace = await checkedWorkspace(request.workspace);
    const env = request.env ?? {};
    const keyless = request.upstream === undefined && !hasKey(env) && !hasKey(process.env);
    const record: SessionRecord = {
      id: newId('s'),
      title: request.title ?? request.prompt?.split('\n')[0]?.slice(0, 80) ?? basename(workspace),
      workspace,
      home: sandboxHome,
      agent: { name: request.agent, status: request.agent === 'none' ? 'none' : 'starting' },
      upstream: request.upstream ?? (keyless ? 'scripted' : 'keys'),
      createdAt: Date.now(),
      head: 0,
      status: 'running',
      degraded: [
        ...this.#degraded(),
        ...(keyless && request.agent !== 'none'
          ? [
              `No API key is set, so the scripted sample model answers: start the helper with one of ${keyNames.join(', ')}.`,
            ]
          : []),
      ],
      furniture: [],
    };
    const session = new Session(this.#parts, record, env);
    const { metadata } = this.#parts.store;
    const intent = metadata.beginIntent('start', record.id, '{}');
    metadata.putSession(record.id, JSON.stringify(record));
    crashPoint('start:recorded');
    this.#sessions.set(session.id, session);
    this.#parts.dispatch({ type: 'session/added', session: { ...session.state(), status: 'starting' } });
    await session.lock.run(async () => {
      try {
        await session.begin();
        await session.startAgent(request.prompt);
        metadata.endIntent(intent);
      } catch (error) {
        await this.#discard(session);
        throw error;
      }
    });
    return { sessionId: session.id };
  }

  async branch(request: ParamsOf<'branch'>): Promise<ResultOf<'branch'>> {
    this.#mustHaveRoom();
    return await this.#branch(request);
  }

  /** Several branches from one turn, a few at a time; see `branchMany`. */
  async branchMany(request: ParamsOf<'branch/many'>, signal: AbortSignal): Promise<ResultOf<'branch/many'>> {
    this.#mustHaveRoom(request.count);
    return await branchMany(this.get(request.sessionId), request, signal, {
      make: (each, images) => this.#branch(each, images),
      remove: (id) => this.remove(id),
    });
  }

  async #branch(request: ParamsOf<'branch'>, images?: OpenImages): Promise<ResultOf<'branch'>> {
    let id: string | undefined;
    try {
      const { session, ...result } = await branch(
        this.get(request.sessionId),
        request,
        (added) => {
          id = added.id;
          this.#sessions.set(added.id, added);
          this.#parts.dispatch({ type: 'session/added', session: added.state() });
        },
        images,
      );
      return { sessionId: session.id, ...result };
    } catch (error) {
      if (id !== undefined) this.#sessions.delete(id);
      throw error;
    }
  }

  /** An archive on its way in; `finishImport` makes a session of it. */
  beginImport(request: ParamsOf<'session/import'>): SessionImport {
    this.#mustHaveRoom();
    return new SessionImport({
      parts: this.#parts,
      request,
      degraded: this.#degraded(),
      checkedWorkspace,
    });
  }

  async finishImport(archive: SessionImport): Promise<ResultOf<'import/finish'>> {
    this.#mustHaveRoom();
    const { session, result } = await archive.finish();
    this.#sessions.set(session.id, session);
    this.#parts.dispatch({ type: 'session/added', session: session.state() });
    return result;
  }

  /** Ends agent and processes; turns and files stay, and the folder stays readable. */
  async stop(id: string): Promise<void> {
    const session = this.get(id);
    await session.interrupt();
    await session.stopAgent();
    await session.lock.run(async () => {
      if (!session.runtime.up) return;
      // A rewind that was under way may have started the agent again.
      await session.stopAgent();
      if (session.turns.open) await session.closeOpenTurn(false);
      else {
        // A session must be stoppable with a full disk too; resuming looks at the folders again.
        await session.closeBetweenTurns('before the session was stopped').catch((error: unknown) => {
          session.logger.warn('what happened since the last turn was not captured', { error });
        });
      }
      crashPoint('stop:closed');
      session.nextEpoch();
      session.letGoOfAgent();
      await session.runtime.stop();
      crashPoint('stop:down');
      session.setStatus('stopped');
      crashPoint('stop:marked');
      await session.runtime.sandbox.mount();
    });
  }

  /** Starts a stopped or failed session again at its head, processes included where its checkpoint has them. */
  async resume(id: string, prompt: string | undefined): Promise<void> {
    const session = this.get(id);
    await session.lock.run(async () => {
      if (session.hasRuntime && session.runtime.up) {
        throw new TurntableError('sessionBusy', `Session ${id} is running already.`);
      }
      if (!session.hasRuntime) await session.createRuntime('adopt');
      await session.runtime.sandbox.stop();
      await session.keepWhatIsThere('found when the session was started again');
      crashPoint('resume:kept');
      const { record, cutShort } = lastWhole(session);
      session.beginRestore({ safetyTurn: cutShort?.id ?? record.turn, target: record.turn });
      crashPoint('resume:noted');
      await session.runtime.sandbox.prepareUppers();
      const restored = await restoreSandbox(session, record);
      crashPoint('resume:restored');
      session.setHead(record.turn);
      crashPoint('resume:moved');
      session.restoredWhole();
      session.setStatus('running');
      const { asked } = session.record;
      // It ended before any checkpoint knew what the agent had been told: it is told again.
      const told = prompt ?? (asked?.turn === record.turn ? asked.prompt : undefined);
      await letAgentGoOn(session, record, restored, {
        resume: told !== undefined || wasAtWork(session.turns.get(record.turn)),
        prompt: told,
      });
    });
  }

  /** A new message for the agent: resumes it when it has ended. */
  async prompt(id: string, prompt: string): Promise<void> {
    const session = this.get(id);
    if (!session.agent)
      throw new TurntableError('agentMissing', 'This session has no agent: use `turntable exec`.');
    await session.lock.run(async () => {
      if (!session.runtime.up) {
        throw new TurntableError(
          'sessionNotRunning',
          `Session ${id} is stopped: \`turntable session resume ${id}\` starts it.`,
        );
      }
      if (session.agent?.running || session.command) {
        throw new TurntableError(
          'sessionBusy',
          session.command
            ? 'A command is running in this session: wait for it, or branch and ask the agent there.'
            : 'The agent is still at work: wait until it has finished, or write to its terminal.',
        );
      }
      await session.closeOpenTurn(false);
      await session.resumeAgent(prompt);
    });
  }

  async remove(id: string): Promise<void> {
    const session = this.get(id);
    await session.interrupt();
    await session.lock.run(() => {
      this.#parts.store.metadata.beginIntent('remove', id, '{}');
      return this.#discard(session);
    });
    // The session is gone whether or not its room can be given back at once.
    await this.#parts.collect().catch((error: unknown) => {
      session.logger.warn('what nothing needs was not removed', { error });
    });
  }

  /** After a start of the helper: finishes or rolls back what was begun, takes over what still runs. Returns what was done, in words. */
  async recover(): Promise<string[]> {
    const notes: string[] = [];
    const { metadata } = this.#parts.store;
    const intents = metadata.intents();
    const goes = new Map<string, string>();
    for (const { id, kind, sessionId } of intents) {
      const why = goneBecause[kind];
      if (why !== undefined) goes.set(sessionId, why);
      // Ended with its helper; until it is gone what it was to send would stay for ever.
      if (kind === 'export') metadata.endIntent(id);
    }
    await this.#parts.backend.sweep(
      new Set(
        metadata
          .sessions()
          .map((row) => row.id)
          .filter((id) => !goes.has(id)),
      ),
    );
    for (const [id, why] of goes) {
      // Rows last, and the intent with them: whatever interrupts this, the next start goes on with it.
      await SessionRuntime.removeDirectory(this.#parts.stateDirectory, id);
      metadata.removeSession(id);
      notes.push(why.replace('ID', id));
    }
    notes.push(...(await this.#takeBackApplies()));
    for (const row of metadata.sessions()) {
      try {
        const record = sessionRecordSchema.parse(JSON.parse(row.document));
        const session = new Session(this.#parts, record, {});
        this.#sessions.set(session.id, session);
        notes.push(await this.#recoverSession(session));
        this.#parts.dispatch({ type: 'session/added', session: session.state() });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        notes.push(`session ${row.id} could not be taken up again: ${reason}`);
        const session = this.#sessions.get(row.id);
        if (!session) continue;
        // Shown, so that it can be resumed once the reason is gone, or removed.
        this.#parts.dispatch({ type: 'session/added', session: session.state() });
        session.setStatus(
          'failed',
          `${reason} \`turntable session resume ${row.id}\` tries again at turn ${session.record.head}.`,
        );
      }
    }
    return notes;
  }

  /** An apply whose client was never told what it did, or an undo half way: the folder becomes as it was before. */
  async #takeBackApplies(): Promise<string[]> {
    const { metadata, apply } = this.#parts.store;
    const notes: string[] = [];
    for (const { id, kind, sessionId, document: undoId } of metadata.intents()) {
      if (kind !== 'apply' && kind !== 'undo') continue;
      try {
        const { restored } = await apply.undoApply(sessionId, undoId);
        notes.push(
          `an ${kind === 'apply' ? 'apply' : 'undo of an apply'} of session ${sessionId} was interrupted; the folder is as it was before the apply (${restored.length} paths put back)`,
        );
        await this.#parts.authority.audit.append('apply.undone', sessionId, {
          by: 'helper',
          undoId,
          count: restored.length,
        });
      } catch (error) {
        // The record stays, so that it can still be undone once the reason is gone.
        const reason = error instanceof Error ? error.message : String(error);
        notes.push(
          `an apply of session ${sessionId} was interrupted and could not be taken back: ${reason} Then: \`turntable apply ${sessionId} --undo ${undoId}\``,
        );
        metadata.endIntent(id);
      }
    }
    return notes;
  }

  async #recoverSession(session: Session): Promise<string> {
    const { record } = session;
    const interrupted = session.halfRestored;
    if (!interrupted) session.restoredWhole();
    const runtime = await session.createRuntime('adopt');
    const alive = runtime.sandbox.state === 'running';
    session.checkpointer.startFrom(versionAt(session));
    if (alive && !interrupted) {
      await runtime.takeOver();
      session.doubt('the helper was restarted during this turn');
      const found = session.adoptRunningAgent();
      if (!found && record.agent.name !== 'none')
        session.setAgent({ name: record.agent.name, status: 'finished' });
      session.setStatus('running');
      if (!found) await session.lock.run(() => session.closeOpenTurn(false));
      return `session ${session.id} was running and goes on`;
    }
    if (alive) await runtime.sandbox.stop();
    await session.keepOpenTurn();
    session.letGoOfAgent();
    session.setStatus(
      'stopped',
      interrupted
        ? `a rewind was interrupted: \`turntable session resume ${session.id}\` brings back turn ${session.record.head}, as it was before`
        : undefined,
    );
    return `session ${session.id} is stopped at turn ${session.record.head}${interrupted ? ', where it was before a rewind that was interrupted' : ''}`;
  }

  /** The helper goes down: sessions end with it, or stay for the next helper. One that does not end in order holds up no other. */
  async close(endSessions: boolean): Promise<void> {
    await this.#ofEach('end in order', async (session) => {
      if (!session.hasRuntime || !session.runtime.up) return;
      if (endSessions) await this.stop(session.id);
      else await session.runtime.detach();
    });
    if (!endSessions) return;
    await this.#ofEach('let go of its mounts', async (session) => {
      if (session.hasRuntime) await session.runtime.sandbox.stop();
    });
  }

  async #ofEach(what: string, action: (session: Session) => Promise<void>): Promise<void> {
    await Promise.all(
      this.all.map((session) =>
        action(session).catch((error: unknown) =>
          session.logger.error(`the session did not ${what}`, { error }),
        ),
      ),
    );
  }

  /** Policy for the sentry's questions: finds the session a question belongs to. */
  async answerExec(ask: ExecAsk, sentry: Sentry, signal: AbortSignal): Promise<void> {
    const session = this.all.find((each) => each.hasRuntime && each.runtime.watch === ask.sandbox);
    if (!session) {
      sentry.answer({ ask: ask.ask, verdict: 'deny', remember: false });
      return;
    }
    const decision = await this.#parts.authority
      .decideExec(ask, {
        sessionId: session.id,
        turn: session.currentTurn,
        signal: AbortSignal.any([signal, ...(session.commandOver ? [session.commandOver] : [])]),
      })
      .catch((error: unknown) => {
        session.logger.error('an exec could not be decided and is denied', { error });
        return { verdict: 'deny' as const, remember: false };
      });
    sentry.answer({ ask: ask.ask, verdict: decision.verdict, remember: decision.remember });
  }

  async sentryReplaced(): Promise<void> {
    await Promise.allSettled(
      this.all.map(async (session) => {
        if (!session.hasRuntime || !session.runtime.up) return;
        session.doubt('the inspector was restarted during this turn');
        await session.runtime.watchAgain().catch((error: unknown) => {
          session.logger.error('the new sentry does not watch this session', { error });
        });
      }),
    );
  }

  #degraded(): string[] {
    const noDump = this.#parts.noDump();
    const hints = this.#parts.sentry()?.features;
    return [
      ...degradedBy(this.#parts.checkpoints),
      ...(noDump === undefined ? [] : [`files only: ${noDump}`]),
      ...(hints && hints.hints !== 'complete' ? [`every turn is scanned: ${hints.hintsDetail}`] : []),
    ];
  }

  #mustHaveRoom(count = 1): void {
    if (this.#sessions.size + count <= maxSessions) return;
    throw new TurntableError(
      'overloaded',
      `There are ${this.#sessions.size} of at most ${maxSessions} sessions already: remove one with \`turntable session rm\`.`,
    );
  }

  /** With the session's lock held: nothing of it works on afterwards. */
  async #discard(session: Session): Promise<void> {
    session.nextEpoch();
    session.agent?.letGo();
    session.lock.close(new TurntableError('sessionNotFound', `Session ${session.id} was removed.`));
    let gone = true;
    if (session.hasRuntime) {
      await session.runtime.destroy().catch((error: unknown) => {
        session.logger.error('a sandbox was not removed completely', { error });
        gone = false;
      });
    }
    crashPoint('remove:destroyed');
    this.#parts.authority.removeSession(session.id);
    this.#parts.store.files.forget(session.id);
    this.#parts.store.metadata.removeSession(session.id);
    // What could not be deleted now is when the helper starts the next time.
    if (!gone) this.#parts.store.metadata.beginIntent('remove', session.id, '{}');
    crashPoint('remove:forgotten');
    this.#sessions.delete(session.id);
    this.#parts.dispatch({ type: 'session/removed', sessionId: session.id });
  }
}

/** The real path of a directory that may be a workspace; throws `workspaceInvalid` saying why not. */
async function checkedWorkspace(path: string): Promise<string> {
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined)
    throw new TurntableError('workspaceInvalid', `There is no folder ${path}: check the path.`);
  const status = await stat(real);
  if (!status.isDirectory())
    throw new TurntableError('workspaceInvalid', `${path} is not a folder: give the project's folder.`);
  await access(real, constants.R_OK | constants.X_OK).catch(() => {
    throw new TurntableError(
      'workspaceInvalid',
      `${path} cannot be read by the helper: check its permissions.`,
    );
  });
  const system = [
    '/',
    '/usr',
    '/etc',
    '/var',
    '/opt',
    '/proc',
    '/sys',
    '/dev',
    '/bin',
    '/sbin',
    '/lib',
    '/boot',
    '/run',
    '/root',
    '/home',
    '/tmp',
  ];
  if (system.includes(real)) {
    throw new TurntableError(
      'workspaceInvalid',
      `${path} is a system folder and cannot be a workspace: choose a project folder inside it.`,
    );
  }
  return real;
}

function hasKey(env: Readonly<Record<string, string | undefined>>): boolean {
  return keyNames.some((name) => (env[name] ?? '') !== '');
}
