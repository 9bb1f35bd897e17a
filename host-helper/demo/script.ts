/**
 * A scripted model's script, as data, and which step comes next. The next step follows from the conversation in the request alone,
 * so that rewound, branched and resumed sessions go on where their history ends.
 */

import { spokenText } from '../turns/wire/wire-message.ts';
import type { WireMessage, WireRequest } from '../turns/wire/wire-message.ts';

export type ScriptTool =
  | { readonly kind: 'bash'; readonly command: string }
  | { readonly kind: 'write'; readonly path: string; readonly content: string }
  | {
      readonly kind: 'edit';
      readonly path: string;
      readonly oldText: string;
      readonly newText: string;
      /** The same edit as a command, for agents whose own edit tool wants more than that. */
      readonly command: string;
    };

export interface ScriptStep {
  readonly say: string;
  readonly tool: ScriptTool;
}

export interface Script {
  /** Short title, for agents that ask for one. */
  readonly title: string;
  /** Chosen when the developer's message contains this (case ignored); the script without a keyword is the default. */
  readonly keyword: string | undefined;
  readonly steps: readonly ScriptStep[];
  /** What is said after the last step: the first whose `when` is found in the last tool result, else the one without. */
  readonly closings: readonly { readonly when: string | undefined; readonly say: string }[];
}

export interface NextReply {
  readonly say: string;
  readonly tool: ScriptTool | undefined;
  /** Position of the call in the conversation, for its id. */
  readonly callNumber: number;
}

/** What the script says to this request. */
export function nextReply(scripts: readonly Script[], request: WireRequest): NextReply {
  const { script, done } = position(scripts, request.messages);
  const callNumber = request.messages.reduce((sum, message) => sum + message.calls.length, 0);
  const step = script?.steps[done];
  if (step) return { say: step.say, tool: step.tool, callNumber };
  const lastResult =
    request.messages.findLast((message) => message.results.length > 0)?.results.at(-1)?.text ?? '';
  const closing =
    script?.closings.find(({ when }) => when !== undefined && lastResult.includes(when)) ??
    script?.closings.find(({ when }) => when === undefined);
  return { say: closing?.say ?? 'Done.', tool: undefined, callNumber };
}

/** The title for agents that ask for one. */
export function titleFor(scripts: readonly Script[], request: WireRequest): string {
  const script = scripts.find((each) => mentions(request.messages, each.keyword)) ?? defaultScript(scripts);
  return script?.title ?? 'Work';
}

/** Which script the history is in, and how many of its steps have been taken. "Continue." changes nothing. */
function position(
  scripts: readonly Script[],
  messages: readonly WireMessage[],
): { script: Script | undefined; done: number } {
  const taken = new Map<Script, number>();
  let script = defaultScript(scripts);
  for (const message of messages) {
    // "Continue." names no keyword, so it changes nothing.
    if (message.role === 'user') script = scripts.find((each) => mentions([message], each.keyword)) ?? script;
    if (script) taken.set(script, (taken.get(script) ?? 0) + message.calls.length);
  }
  return { script, done: script ? (taken.get(script) ?? 0) : 0 };
}

function defaultScript(scripts: readonly Script[]): Script | undefined {
  return scripts.find((script) => script.keyword === undefined);
}

function mentions(messages: readonly WireMessage[], keyword: string | undefined): boolean {
  if (keyword === undefined) return false;
  return messages.some(
    ({ role, text }) => role === 'user' && spokenText(text).toLowerCase().includes(keyword.toLowerCase()),
  );
}
