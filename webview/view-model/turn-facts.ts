/**
 * What a turn's card says: what it did, what lives on, what it cost. Pure functions from a turn to words;
 * no meaning is left to colour: every fact has its own words for a screen reader.
 */

import type {
  Approval,
  EffectClass,
  Executed,
  Survivor,
  ToolCall,
  Turn,
} from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { baseName, formatBytes, formatCount, formatDuration } from './format.ts';

/** A piece of the card's second line. `spoken` replaces `text` for a screen reader where signs would be read oddly. */
export interface Fact {
  text: string;
  spoken?: string;
  tone?: 'added' | 'removed' | 'caution' | 'plain';
}

/** A turn's title: words, then what is code (a command, a path). */
export interface TurnTitle {
  words: string;
  code: string;
}

/** The shape on the rail. `asking` and `open` are states of a turn that has no class yet. */
export type Mark = EffectClass | 'asking' | 'open' | 'start';

/** Programs whose non-zero exit is an answer, not a failure. */
const answersByExitCode = new Set([
  'grep',
  'rg',
  'egrep',
  'fgrep',
  'test',
  '[',
  'diff',
  'cmp',
  'which',
  'pgrep',
  'pidof',
]);

const shellTools =
  /^(bash|shell|sh|exec|execute|run|terminal|command|run_command|execute_command|run_terminal_cmd)$/i;

/** The mark of a turn; `asking` when something in it waits for a person. */
export function markOf(turn: Turn, asking: boolean): Mark {
  if (asking) return 'asking';
  if (turn.kind === 'start') return 'start';
  if (turn.state !== 'closed' || turn.effectClass === undefined) return 'open';
  return turn.effectClass;
}

/** What a class means, in a word or two. */
export function className(effectClass: EffectClass): string {
  switch (effectClass) {
    case 'none':
      return t('Nothing to keep');
    case 'files':
      return t('Files checkpoint');
    case 'processes':
      return t('Process checkpoint');
    case 'full':
      return t('Full checkpoint');
  }
}

/** The title of a turn. */
export function titleOf(turn: Turn): TurnTitle {
  if (turn.kind === 'start') return { words: t('Session started'), code: '' };
  if (turn.kind === 'rewind') return { words: turn.label, code: '' };
  if (turn.kind === 'command') return { words: '', code: turn.label };
  const call = turn.conversation?.toolCalls[0];
  if (!call) return { words: turn.label, code: '' };
  const more = (turn.conversation?.toolCalls.length ?? 1) - 1;
  const summary = (call.summary || turn.label).split('\n', 1)[0] ?? '';
  const code = more > 0 ? `${summary} ${t('+{0} more', more)}` : summary;
  if (shellTools.test(call.name)) return { words: '', code };
  const verb = call.name.charAt(0).toUpperCase() + call.name.slice(1).replaceAll('_', ' ');
  const rest = code.toLowerCase().startsWith(`${call.name.toLowerCase()} `)
    ? code.slice(call.name.length + 1)
    : code;
  return { words: verb, code: rest };
}

/** The title as one string. */
export function titleText(turn: Turn): string {
  const { words, code } = titleOf(turn);
  return [words, code].filter(Boolean).join(' ');
}

/** True when the command of the turn failed, a program that it names did, or the model did. */
export function failed(turn: Turn): boolean {
  if (turn.exitCode !== undefined && turn.exitCode !== 0) return true;
  if (turn.conversation?.error !== undefined) return true;
  const words = turn.kind === 'command' ? [turn.label] : askedFor(turn.conversation?.toolCalls ?? []);
  return (turn.effects?.processes.executed ?? []).some(
    (each) =>
      each.exitCode !== undefined &&
      each.exitCode > 0 &&
      !answersByExitCode.has(baseName(each.program)) &&
      (words.length === 0 || named(each, words)),
  );
}

/** What the model asked its tools for: the commands and paths as it wrote them. */
function askedFor(calls: ToolCall[]): string[] {
  return calls.flatMap((call) => {
    try {
      const input: unknown = JSON.parse(call.input);
      if (typeof input === 'object' && input !== null)
        return [call.summary, ...Object.values(input).filter((each) => typeof each === 'string')];
    } catch {
      // Shortened, or not JSON: as it stands, then.
    }
    return [call.summary, call.input];
  });
}

/**
 * Whether a command names the program: what a script tries on its way and knows how to go on from is no failure of
 * the turn. The shell that was given the whole command counts too.
 */
function named(executed: Executed, words: string[]): boolean {
  const [program = executed.program, first] = executed.argv;
  const start = [baseName(program), first].filter((each) => each !== undefined).join(' ');
  return words.some((each) => each.includes(start) || executed.argv.slice(1).includes(each));
}

/** `node :5173`, or the command when it listens nowhere. */
export function survivorName(survivor: Survivor): string {
  const program = baseName(survivor.command.split(' ', 1)[0] ?? survivor.command);
  return survivor.ports.length > 0
    ? `${program} ${survivor.ports.map((port) => `:${port}`).join(' ')}`
    : program;
}

/** The second line of a closed turn's card. */
export function factsOf(turn: Turn): Fact[] {
  const facts: Fact[] = [];
  const files = turn.effects?.files;
  const count = files ? files.added + files.changed + files.removed : 0;
  if (files && count > 0) {
    facts.push({ text: count === 1 ? t('1 file') : t('{0} files', formatCount(count)) });
    if (files.added > 0)
      facts.push({
        text: `+${formatCount(files.added)}`,
        spoken: t('{0} added', files.added),
        tone: 'added',
      });
    if (files.changed > 0 && files.changed !== count) {
      facts.push({ text: `~${formatCount(files.changed)}`, spoken: t('{0} changed', files.changed) });
    }
    if (files.removed > 0) {
      facts.push({
        text: `\u2212${formatCount(files.removed)}`,
        spoken: t('{0} removed', files.removed),
        tone: 'removed',
      });
    }
  }
  const survivors = (turn.effects?.processes.survivors ?? []).filter(
    (each) => each.startedInTurn || each.ran,
  );
  const fresh = survivors.filter((each) => each.startedInTurn);
  if (fresh.length > 0) {
    facts.push({ text: t('{0} lives on', fresh.slice(0, 2).map(survivorName).join(', ')), tone: 'plain' });
    if (fresh.length > 2) facts.push({ text: t('+{0} more', fresh.length - 2) });
  }
  if (turn.effectClass === 'none') facts.push({ text: t('nothing to keep') });
  const cost = costOf(turn);
  if (cost) facts.push({ text: cost });
  const caution = cautionOf(turn);
  if (caution) facts.push({ text: caution, tone: 'caution' });
  return facts;
}

/** What became of a request of this turn: `git push denied`. */
export function answerFact(approval: Approval): Fact {
  const { subject } = approval;
  const what =
    subject.kind === 'exec'
      ? [baseName(subject.program), subject.argv[1]].filter(Boolean).join(' ')
      : subject.host;
  switch (approval.state) {
    case 'allowed':
      return {
        text: approval.scope === 'session' ? t('{0} allowed for the session', what) : t('{0} allowed', what),
      };
    case 'denied':
      return { text: t('{0} denied', what), tone: 'caution' };
    case 'expired':
      return { text: t('{0} denied: nobody answered', what), tone: 'caution' };
    case 'withdrawn':
    case 'pending':
      return { text: t('{0} not answered', what) };
  }
}

/** `1.1 MB · 210 ms hidden`, `3 KB · held 12 ms`; empty for a turn that stored nothing. */
export function costOf(turn: Turn): string {
  const checkpoint = turn.checkpoint;
  if (!checkpoint || checkpoint.reused || turn.effectClass === 'none') return '';
  const spentMs = checkpoint.inspectMs + checkpoint.filesMs + checkpoint.processesMs;
  // A branch shares what its origin stored.
  const parts = checkpoint.bytesStored > 0 ? [formatBytes(checkpoint.bytesStored)] : [];
  if (checkpoint.heldMs >= 1) parts.push(t('held {0}', formatDuration(checkpoint.heldMs)));
  else if (spentMs >= 1) parts.push(t('{0} hidden', formatDuration(spentMs)));
  return parts.join(' \u00b7 ');
}

/** What the person should know before relying on this turn, or undefined. */
export function cautionOf(turn: Turn): string | undefined {
  if (turn.checkpoint && !turn.checkpoint.restorable) return t('not restorable');
  if (turn.checkpoint?.degraded !== undefined) return turn.checkpoint.degraded;
  if ((turn.effects?.droppedEvents ?? 0) > 0) return t('{0} events missed', turn.effects?.droppedEvents ?? 0);
  return undefined;
}

/** True when a rewind or a branch may start from this turn. */
export function restorable(turn: Turn): boolean {
  if (turn.state !== 'closed') return false;
  return turn.checkpoint ? turn.checkpoint.restorable : turn.kind === 'start';
}

/** One sentence for a screen reader: number, title, facts, failure. */
export function spokenTurn(turn: Turn, asking: boolean, settled: Approval[] = []): string {
  const parts = [t('Turn {0}', turn.id), titleText(turn)];
  if (asking) parts.push(t('waiting for you'));
  else if (turn.state !== 'closed') parts.push(t('working'));
  if (turn.effectClass) parts.push(className(turn.effectClass));
  parts.push(
    ...factsOf(turn)
      .filter((fact) => fact.text !== t('nothing to keep'))
      .map((fact) => fact.spoken ?? fact.text),
  );
  parts.push(...settled.map((each) => answerFact(each).text));
  if (failed(turn)) parts.push(t('failed'));
  return parts.join(', ');
}
