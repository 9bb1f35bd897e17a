/** One command of an outside agent as one turn: runs it in the sandbox, closes the turn, tells both. */

import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { SandboxChild } from '../sandbox/sandbox.ts';
import { sandboxEnvironment } from './agent-runner.ts';
import type { Session } from './session.ts';

const outputBytes = 1024 * 1024;

export async function execCommand(
  session: Session,
  request: ParamsOf<'session/exec'>,
  signal: AbortSignal,
): Promise<ResultOf<'session/exec'>> {
  return session.lock.run(async () => {
    if (!session.runtime.up) {
      throw new TurntableError(
        'sessionNotRunning',
        `Session ${session.id} is stopped: \`turntable session resume ${session.id}\` starts it.`,
      );
    }
    const { agent } = session.record;
    if (session.agent?.running || session.turns.open) {
      throw new TurntableError(
        'sessionBusy',
        `${agent.name} is at work in this session: wait for it, or branch and run the command there.`,
      );
    }
    const turn = session.turns.begin({
      kind: 'command',
      label: request.argv.join(' ').slice(0, 200),
      parent: session.record.head,
    });
    const stdout = new Collected();
    const stderr = new Collected();
    let exitCode: number;
    const over = AbortSignal.any([
      signal,
      session.interrupted,
      ...(request.timeoutMs === undefined ? [] : [AbortSignal.timeout(request.timeoutMs)]),
    ]);
    const spawn = (): Promise<SandboxChild> =>
      session.runtime.sandbox.spawn({
        argv: request.argv,
        cwd: request.cwd ?? session.record.workspace,
        env: {
          ...sandboxEnvironment(session.record.home, session.parts.agents.nodePath),
          TERM: 'dumb',
          ...request.env,
        },
        terminal: undefined,
        stdin: Buffer.from(request.stdin ?? ''),
      });
    try {
      const child = await session.withQuestionsUntil(over, spawn);
      child.onOutput((stream, data) => (stream === 'stdout' ? stdout : stderr).push(data));
      exitCode = await untilExit(child, over);
    } catch (error) {
      // A program that could not be started is a turn too: it may have changed something on the way.
      exitCode = 127;
      stderr.push(Buffer.from(`${error instanceof Error ? error.message : String(error)}\n`));
    }
    session.turns.update(turn.id, { exitCode });
    const closed = await session.closeOpenTurn(true);
    return {
      exitCode,
      stdout: stdout.base64,
      stderr: stderr.base64,
      truncated: stdout.truncated || stderr.truncated,
      turn: closed ?? session.turns.get(turn.id),
    };
  });
}

/** Waits; a time-out or a client that went away ends the command (its whole process group). */
async function untilExit(child: SandboxChild, over: AbortSignal): Promise<number> {
  const end = (): void => child.kill('SIGKILL');
  over.addEventListener('abort', end, { once: true });
  if (over.aborted) end();
  try {
    return await child.exited;
  } finally {
    over.removeEventListener('abort', end);
  }
}

class Collected {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  truncated = false;

  push(data: Uint8Array): void {
    const room = outputBytes - this.#size;
    if (data.byteLength > room) this.truncated = true;
    if (room <= 0) return;
    const kept = data.subarray(0, room);
    this.#chunks.push(kept);
    this.#size += kept.byteLength;
  }

  get base64(): string {
    return Buffer.concat(this.#chunks).toString('base64');
  }
}
