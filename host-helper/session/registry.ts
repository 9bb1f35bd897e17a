/**
 * All sessions of this helper: started, found again after a restart, stopped, removed. Each is one object; who wants one asks
 * here by id.
 */

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { ExecAsk, Sentry } from '../inspector/sentry.ts';
import { keyNames } from '../turns/upstreams.ts';
import { branch } from './branch.ts';
import { newId } from './ids.ts';
import type { SessionParts } from './parts.ts';
import { letAgentGoOn, restoreSandbox, wasAtWork } from './restore-session.ts';
import { checkpointOf } from './rewind.ts';
import { sessionRecordSchema, type SessionRecord } from './session-record.ts';
import { Session } from './session.ts';

const maxSessions = 64;
const sandboxHome = '/root';

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
    if (this.#sessions.size >= maxSessions) {
      throw new TurntableError(
        'overloaded',
        `There are ${maxSessions} sessions already: remove one with \`turntable session rm\`.`,
      );
    }
    const workspace = await checkedWorkspace(request.workspace);
    const env = request.env ?? {};
    const record: SessionRecord = {
      id: newId('s'),
      title: request.title ?? request.prompt?.split('\n')[0]?.slice(0, 80) ?? basename(workspace),
      workspace,
      home: sandboxHome,
      agent: { name: request.agent, status: request.agent === 'none' ? 'none' : 'starting' },
      upstream: request.upstream ?? (hasKey(env) || hasKey(process.env) ? 'keys' : 'scripted'),
      createdAt: Date.now(),
      head: 0,
      status: 'running',
      degraded: this.#degraded(),
      furniture: [],
    };
    const session = new Session(this.#parts, record, env);
    this.#parts.store.metadata.putSession(record.id, JSON.stringify(record));
    this.#sessions.set(session.id, session);
    this.#parts.dispatch({ type: 'session/added', session: { ...session.state(), status: 'starting' } });
    try {
      await session.begin();
      await session.startAgent(request.prompt);
    } catch (error) {
      await this.#discard(session);
      throw error;
    }
    return { sessionId: session.id };
  }

  async branch(request: ParamsOf<'branch'>): Promise<ResultOf<'branch'>> {
    const { session, ...result } = await branch(this.get(request.sessionId), request, (added) => {
      this.#sessions.set(added.id, added);
      this.#parts.dispatch({ type: 'session/added', session: added.state() });
    }).catch((error: unknown) => {
      for (const [id] of this.#sessions) if (!this.#parts.state().sessions[id]) this.#sessions.delete(id);
      throw error;
    });
    return { sessionId: session.id, ...result };
  }

  /** Ends agent and processes; turns and files stay, and the folder stays readable. */
  async stop(id: string): Promise<void> {
    const session = this.get(id);
    session.interrupt();
    await session.stopAgent();
    await session.lock.run(async () => {
      if (!session.runtime.up) return;
      await session.closeOpenTurn(false);
      session.nextEpoch();
      await session.runtime.stop();
      await session.runtime.sandbox.mount();
      session.setStatus('stopped');
    });
  }

  /** Starts a stopped or failed session again at its head, processes included where its checkpoint has them. */
  async resume(id: string, prompt: string | undefined): Promise<void> {
    const session = this.get(id);
    await session.lock.run(async () => {
      if (session.hasRuntime && session.runtime.up) {
        throw new TurntableError('sessionBusy', `Session ${id} is running already.`);
      }
      const record = checkpointOf(session, session.record.head);
      if (!session.hasRuntime) await session.createRuntime('adopt');
      await session.runtime.sandbox.stop();
      await session.runtime.sandbox.prepareUppers();
      const restored = await restoreSandbox(session, record);
      session.setStatus('running');
      await letAgentGoOn(session, record, restored, {
        resume: prompt !== undefined || wasAtWork(session.turns.get(session.record.head)),
        prompt,
      });
    });
  }

  /** A new message for the agent: resumes it when it has ended. */
  async prompt(id: string, prompt: string): Promise<void> {
    const session = this.get(id);
    if (!session.agent)
      throw new TurntableError('agentMissing', 'This session has no agent: use `turntable exec`.');
    if (session.agent.running) {
      throw new TurntableError(
        'sessionBusy',
        'The agent is still at work: wait until it has finished, or write to its terminal.',
      );
    }
    await session.lock.run(async () => {
      await session.closeOpenTurn(false);
      await session.resumeAgent(prompt);
    });
  }

  async remove(id: string): Promise<void> {
    const session = this.get(id);
    session.interrupt();
    session.nextEpoch();
    session.agent?.letGo();
    await session.lock.run(() => this.#discard(session));
    await this.#parts.store.collect();
  }

  /** After a start of the helper: finishes or rolls back what was begun, takes over what still runs. Returns what was done, in words. */
  async recover(): Promise<string[]> {
    const notes: string[] = [];
    const { metadata } = this.#parts.store;
    const intents = metadata.intents();
    const unfinishedBranches = new Set(
      intents.filter((each) => each.kind === 'branch').map((each) => each.sessionId),
    );
    const rows = metadata.sessions();
    await this.#parts.backend.sweep(
      new Set(rows.map((row) => row.id).filter((id) => !unfinishedBranches.has(id))),
    );
    for (const row of rows) {
      if (unfinishedBranches.has(row.id)) {
        metadata.removeSession(row.id);
        notes.push(`branch ${row.id} had not been finished and was removed`);
        continue;
      }
      try {
        const record = sessionRecordSchema.parse(JSON.parse(row.document));
        const session = new Session(this.#parts, record, {});
        this.#sessions.set(session.id, session);
        const interrupted = intents.some((each) => each.kind === 'rewind' && each.sessionId === row.id);
        notes.push(await this.#recoverSession(session, interrupted));
        this.#parts.dispatch({ type: 'session/added', session: session.state() });
      } catch (error) {
        notes.push(
          `session ${row.id} could not be read: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
    for (const intent of intents) metadata.endIntent(intent.id);
    return notes;
  }

  async #recoverSession(session: Session, interrupted: boolean): Promise<string> {
    const { record } = session;
    const runtime = await session.createRuntime('adopt');
    const alive = runtime.sandbox.state === 'running';
    session.checkpointer.startFrom(
      this.#parts.store.metadata.checkpointOf(session.id, record.head)?.fileVersion,
    );
    if (alive && !interrupted) {
      await runtime.takeOver();
      session.doubt('the helper was restarted during this turn');
      const found = session.adoptAgent(record.agentTag);
      if (!found && record.agent.name !== 'none')
        session.setAgent({ name: record.agent.name, status: 'finished' });
      session.setStatus('running');
      if (!found) await session.lock.run(() => session.closeOpenTurn(false));
      return `session ${session.id} was running and goes on`;
    }
    if (alive) await runtime.sandbox.stop();
    const open = session.turns.open;
    if (open) session.turns.closeWithout({ ...open, label: `${open.label} (interrupted)` });
    if (record.agent.name !== 'none') session.setAgent({ name: record.agent.name, status: 'stopped' });
    session.setStatus(
      'stopped',
      interrupted
        ? `a rewind was interrupted; the session is back at turn ${record.head}: resume it`
        : undefined,
    );
    return `session ${session.id} is stopped at turn ${record.head}`;
  }

  /** The helper goes down: sessions end with it, or stay for the next helper. */
  async close(endSessions: boolean): Promise<void> {
    await Promise.allSettled(
      this.all.map(async (session) => {
        if (!session.hasRuntime || !session.runtime.up) return;
        if (endSessions) await this.stop(session.id);
        else await session.runtime.detach();
      }),
    );
    if (endSessions) {
      await Promise.allSettled(
        this.all.filter((session) => session.hasRuntime).map((session) => session.runtime.sandbox.stop()),
      );
    }
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
        await session.runtime.watchAgain();
      }),
    );
  }

  #degraded(): string[] {
    const noDump = this.#parts.noDump();
    const hints = this.#parts.sentry()?.features;
    return [
      ...(noDump === undefined ? [] : [`files only: ${noDump}`]),
      ...(hints && hints.hints !== 'complete' ? [`every turn is scanned: ${hints.hintsDetail}`] : []),
    ];
  }

  async #discard(session: Session): Promise<void> {
    if (session.hasRuntime) await session.runtime.destroy();
    this.#parts.authority.removeSession(session.id);
    this.#parts.store.files.forget(session.id);
    this.#parts.store.metadata.removeSession(session.id);
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
