/** One command of an outside agent as one turn: runs it in the sandbox, closes the turn, tells both. */

import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { Turn } from '../protocol/state.ts';
import type { SandboxChild } from '../sandbox/sandbox.ts';
import { sandboxEnvironment } from './agent-runner.ts';
import type { Session } from './session.ts';

const outputBytes = 1024 * 1024;

export async function execCommand(
  session: Session,
  request: ParamsOf<'session/exec'>,
  signal: AbortSignal,
): Promise<ResultOf<'session/exec'>> {
  const over = AbortSignal.any([
    signal,
    session.interrupted,
    ...(request.timeoutMs === undefined ? [] : [AbortSignal.timeout(request.timeoutMs)]),
  ]);
  // The command itself runs without the lock: a preview, an apply or a stop must not wait for it.
  const { turn, end } = await begin(session, request, over);
  try {
    const stdout = new Collected();
    const stderr = new Collected();
    const exitCode = await run(session, request, over, { stdout, stderr });
    const closed = await session.lock.run(async () => {
      session.turns.update(turn.id, { exitCode });
      // Whoever rewound or stopped the session meanwhile has closed the turn as it was then.
      return session.turns.open?.id === turn.id ? session.closeOpenTurn(true) : undefined;
    });
    return {
      exitCode,
      stdout: stdout.base64,
      stderr: stderr.base64,
      truncated: stdout.truncated || stderr.truncated,
      turn: closed ?? session.turns.get(turn.id),
    };
  } finally {
    end();
  }
}

/** Opens the command's turn; commands of one session go one after another. */
async function begin(
  session: Session,
  request: ParamsOf<'session/exec'>,
  over: AbortSignal,
): Promise<{ turn: Turn; end: () => void }> {
  for (;;) {
    const begun = await session.lock.run(async () => {
      if (session.command) return undefined;
      const turn = await openTurn(session, request);
      return { turn, end: session.beginCommand(over) };
    });
    if (begun) return begun;
    await session.command;
    if (over.aborted)
      throw new TurntableError('cancelled', 'The command was given up before its turn came; it did not run.');
  }
}

async function openTurn(session: Session, request: ParamsOf<'session/exec'>): Promise<Turn> {
  if (!session.runtime.up) {
    throw new TurntableError(
      'sessionNotRunning',
      `Session ${session.id} is stopped: \`turntable session resume ${session.id}\` starts it.`,
    );
  }
  const { agent } = session.record;
  if (session.agent?.running) {
    throw new TurntableError(
      'sessionBusy',
      `${agent.name} is at work in this session: wait for it, or branch and run the command there.`,
    );
  }
  // Nobody works on it any more: its end was missed, for example because the disk was full.
  await session.closeOpenTurn(true);
  return session.turns.begin({
    kind: 'command',
    label: request.argv.join(' ').slice(0, 200),
    parent: session.record.head,
  });
}

/** Runs the command to its end; its exit code. A program that could not be started is a turn too: 127, with the reason. */
async function run(
  session: Session,
  request: ParamsOf<'session/exec'>,
  over: AbortSignal,
  output: { readonly stdout: Collected; readonly stderr: Collected },
): Promise<number> {
  try {
    const child = await session.runtime.sandbox.spawn({
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
    child.onOutput((stream, data) => output[stream === 'stdout' ? 'stdout' : 'stderr'].push(data));
    return await untilExit(child, over);
  } catch (error) {
    output.stderr.push(Buffer.from(`${error instanceof Error ? error.message : String(error)}\n`));
    return 127;
  }
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
