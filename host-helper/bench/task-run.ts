/** One run of a task: a real agent in a session of a helper, with a scripted model of its own that can be listened to. */

import type { HelperProcess } from '../demo/helper-process.ts';
import { untilFinished, type WatchedState } from '../demo/sample-session.ts';
import { startScriptedModel, type ScriptedModel } from '../demo/scripted-model.ts';
import type { SessionState, Turn } from '../protocol/state.ts';
import { promptOf, scriptOf, type WorkloadTask } from './workloads/task.ts';

/** Generous: a busy machine is slow, not wrong. */
const runTimeoutMs = 900_000;

export interface TaskRunOptions {
  readonly task: WorkloadTask;
  readonly workspace: string;
  readonly thinkMs: (callsTaken: number) => number;
  /** The agent stands still: it has just asked, knowing the results of so many tool calls. */
  readonly onRequest?: (callsTaken: number, sessionId: string) => Promise<void>;
}

/** A session at work; dispose of it when nothing of it is needed any more. */
export class TaskRun implements AsyncDisposable {
  readonly task: WorkloadTask;
  readonly sessionId: string;
  readonly #model: ScriptedModel;
  #helper: HelperProcess;
  readonly startedMs = performance.now();

  private constructor(task: WorkloadTask, sessionId: string, model: ScriptedModel, helper: HelperProcess) {
    this.task = task;
    this.sessionId = sessionId;
    this.#model = model;
    this.#helper = helper;
  }

  static async start(helper: HelperProcess, options: TaskRunOptions): Promise<TaskRun> {
    const id = Promise.withResolvers<string>();
    const model = await startScriptedModel({
      scripts: [scriptOf(options.task)],
      thinkMs: options.thinkMs,
      onRequest: async (callsTaken) => options.onRequest?.(callsTaken, await id.promise),
    });
    try {
      const { sessionId } = await helper.client.request('session/start', {
        workspace: options.workspace,
        agent: 'pi',
        prompt: promptOf(options.task),
        upstream: model.url,
      });
      id.resolve(sessionId);
      return new TaskRun(options.task, sessionId, model, helper);
    } catch (error) {
      id.reject(error);
      id.promise.catch(() => {});
      await model.close();
      throw error;
    }
  }

  /** The helper that has the session now, after the first one died. */
  movedTo(helper: HelperProcess): void {
    this.#helper = helper;
  }

  /** The session once the agent has ended. */
  finished(watched: WatchedState, sessionId = this.sessionId): Promise<SessionState> {
    return untilFinished(watched, sessionId, runTimeoutMs);
  }

  /** Whether the task is done, by its own check in the sandbox. */
  async checked(sessionId = this.sessionId): Promise<{ readonly done: boolean; readonly words: string }> {
    const result = await this.#helper.client.request('session/exec', {
      sessionId,
      argv: ['sh', '-c', this.task.check],
      timeoutMs: 60_000,
    });
    const words = [result.stdout, result.stderr]
      .map((each) => Buffer.from(each, 'base64').toString())
      .join('');
    return { done: result.exitCode === 0, words: words.trim().slice(-2_000) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#helper.client.request('session/remove', { sessionId: this.sessionId }).catch(() => {});
    await this.#model.close();
  }
}

/** How many tool calls had been taken at the end of a turn of the agent; undefined for other turns. */
export function callsAtEnd(session: SessionState, turn: Turn): number | undefined {
  if (turn.kind === 'start') return 0;
  if (turn.kind !== 'agent') return undefined;
  const agentTurns = session.turns.filter((each) => each.kind === 'agent' && each.id <= turn.id);
  return agentTurns.reduce((sum, each) => sum + (each.conversation?.toolCalls.length ?? 0), 0);
}
