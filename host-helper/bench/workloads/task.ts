/**
 * A task of a workload as data: what lies in the folder, what the scripted model does turn by turn, what can be asked of the
 * processes that live on, and the command that proves that the task is finished. Every run of a task comes to the same states: dates
 * are fixed, nothing depends on process numbers or on the clock.
 */

import type { Script, ScriptStep } from '../../demo/script.ts';

export type Family = 'shell-intensive' | 'code-repair';

export interface WorkloadTask {
  readonly family: Family;
  /** Unique; also the name of its folder and the keyword of its script. */
  readonly name: string;
  readonly prompt: string;
  /** Paths in the folder and their contents; a path that ends in `.sh` is executable. */
  readonly files: Readonly<Record<string, string>>;
  /** Whether the folder is a git repository with these files committed. */
  readonly repository: boolean;
  readonly steps: readonly ScriptStep[];
  /** Commands that show the state of living processes and change nothing that lasts; run in the sandbox at every boundary. */
  readonly probes: readonly string[];
  /** Run in the sandbox when the agent has finished: exit code 0 means that the task is done. */
  readonly check: string;
}

/** A turn in which the agent runs a command. */
export function run(say: string, command: string): ScriptStep {
  return { say, tool: { kind: 'bash', command } };
}

/** A turn in which the agent writes a whole file. */
export function write(say: string, path: string, content: string): ScriptStep {
  return { say, tool: { kind: 'write', path, content } };
}

/** A turn in which the agent replaces a text that occurs once in a file. */
export function edit(say: string, path: string, oldText: string, newText: string): ScriptStep {
  const program = 'undef $/; $_ = <STDIN>; s/\\Q$ENV{OLD}\\E/$ENV{NEW}/ or exit 1; print';
  const command = `OLD=${quoted(oldText)} NEW=${quoted(newText)} perl -e ${quoted(program)} < ${path} > ${path}.new && cat ${path}.new > ${path} && rm ${path}.new`;
  return { say, tool: { kind: 'edit', path, oldText, newText, command } };
}

export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The task as the scripted model follows it. */
export function scriptOf(task: WorkloadTask): Script {
  return {
    title: task.name,
    keyword: keywordOf(task),
    steps: task.steps,
    closings: [{ when: undefined, say: `Done: ${task.name}.` }],
  };
}

/** The developer's message; it names the script. */
export function promptOf(task: WorkloadTask): string {
  return `${keywordOf(task)} ${task.prompt}`;
}

function keywordOf(task: WorkloadTask): string {
  return `[${task.name}]`;
}

/** A number of 32 bits after another: data that looks random and is the same in every run. */
export function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
}
