/**
 * Decides what a rule set says of one exec. Pure: it asks nobody, stores nothing and reads no files. Everything is
 * judged by the resolved program and its real argv.
 *
 * What it cannot see, and says so: a copy of a program under another name (its network is still asked about), the
 * contents of scripts, aliases that a program expands within itself (cargo), environment variables.
 */

import type { ExecAsk } from '../inspector/sentry.ts';
import { grammarOf, matchCommand, mayAutocorrectTo, type Match } from './command-words.ts';
import type { ExecEffect, ExecRule } from './exec-rules.ts';
import { readExec, type ExecView } from './exec-views.ts';
import { matchesGlob } from './glob.ts';

export interface ExecDecision {
  readonly effect: ExecEffect;
  /** The rule that decided; undefined when none matched and the default (allow) holds. */
  readonly rule: ExecRule | undefined;
  /** Why, for a person: the rule's text, or what is wrong with the ask. */
  readonly reason: string;
  /** What the check cannot vouch for, when there is something. */
  readonly caution: string | undefined;
  /** True only when no rule could ever match this file, whatever its argv: later execs of it need not ask. */
  readonly remember: boolean;
  /** True when the program is one that some rule names, though this argv may be harmless. */
  readonly named: boolean;
  /** All base names it goes by, for lineage. */
  readonly names: readonly string[];
}

export interface ExecPolicy {
  /** `excused`: tells whether a rule with `notUnder` does not apply to this caller. */
  decide(ask: ExecAsk, excused: (rule: ExecRule) => boolean): ExecDecision;
}

const strictness: Record<ExecEffect, number> = { allow: 0, ask: 1, deny: 2 };

/**
 * A policy of layers, the first to speak decides (a person's own rules before the defaults); within a layer deny goes
 * before ask before allow. Where an exec amounts to several programs (a script and its interpreter) the strictest counts.
 */
export function createExecPolicy(layers: readonly (readonly ExecRule[])[]): ExecPolicy {
  const all = layers.flat();
  const indexes = layers.map(createIndex);
  return {
    decide(ask, excused) {
      const reading = readExec(ask);
      const names = [...new Set(reading.views.flatMap((view) => view.names))];
      const candidates = reading.views.map((view) => indexes.map((index) => index(view)));
      const named = candidates.some((perLayer) => perLayer.some((rules) => rules.length > 0));
      const common = { names, named, caution: reading.caution };
      if (ask.argvTruncated) {
        return {
          ...common,
          effect: 'deny',
          rule: undefined,
          remember: false,
          reason:
            'The command line is too long to be read in full, so it cannot be judged. Pass the arguments in a file.',
        };
      }
      let effect: ExecEffect = 'allow';
      let rule: ExecRule | undefined;
      for (const [at, view] of reading.views.entries()) {
        const verdict = judge(view, candidates[at] ?? [], excused);
        if (verdict && (!rule || strictness[verdict.effect] > strictness[effect])) {
          effect = verdict.effect;
          rule = verdict;
        }
      }
      const remember = effect === 'allow' && !named && !mayRunNamed(reading.openEnded, all);
      return { ...common, effect, rule, remember, reason: rule?.text ?? 'No rule speaks of it.' };
    },
  };
}

/** Finds the rules of a layer that name a program, in their order: most execs are named by none, and each waits for this. */
function createIndex(rules: readonly ExecRule[]): (view: ExecView) => readonly ExecRule[] {
  const exact = new Map<string, ExecRule[]>();
  const others: ExecRule[] = [];
  for (const rule of rules) {
    if (rule.programs.some((pattern) => /[*/]/.test(pattern))) others.push(rule);
    for (const pattern of rule.programs) exact.set(pattern, [...(exact.get(pattern) ?? []), rule]);
  }
  return (view) => {
    const found = new Set<ExecRule>();
    const consider = (candidates: readonly ExecRule[] | undefined): void => {
      for (const rule of candidates ?? []) if (!found.has(rule) && namesProgram(rule, view)) found.add(rule);
    };
    for (const name of view.names) {
      consider(exact.get(name));
      consider(exact.get(withoutExtension(name)));
    }
    consider(others);
    return found.size > 1 ? rules.filter((rule) => found.has(rule)) : [...found];
  };
}

function judge(
  view: ExecView,
  layers: readonly (readonly ExecRule[])[],
  excused: (rule: ExecRule) => boolean,
): ExecRule | undefined {
  for (const layer of layers) {
    for (const effect of ['deny', 'ask', 'allow'] as const) {
      const rule = layer.find((candidate) => {
        if (candidate.effect !== effect) return false;
        const match = matchRule(candidate, view);
        // An allow must not rest on one of several readings.
        if (match === 'no' || (effect === 'allow' && match !== 'yes')) return false;
        return !(candidate.notUnder && excused(candidate));
      });
      if (rule) return rule;
    }
  }
  return undefined;
}

/** Whether a rule matches one program with its arguments. */
export function matchRule(rule: ExecRule, view: ExecView): Match {
  if (!namesProgram(rule, view)) return 'no';
  const args = view.argv.slice(1);
  if (
    rule.options &&
    !rule.options.some((option) =>
      args.some((arg) => matchesGlob(option, arg) || arg.startsWith(`${option}=`)),
    )
  )
    return 'no';
  if (!rule.commands) return 'yes';
  const grammar = grammarOf(plainName(view));
  let best: Match = 'no';
  for (const command of rule.commands) {
    const match = matchCommand(args, command.split(' ').filter(Boolean), grammar);
    if (match === 'yes') return 'yes';
    if (match === 'possible') best = 'possible';
  }
  if (best === 'no' && rule.autocorrects && view.names.includes('git')) {
    // Two words at most: the command is the first that is no option.
    const commands = rule.commands;
    const corrected = args.some(
      (word) =>
        commands.some((command) => mayAutocorrectTo(word, command)) &&
        matchCommand(args, [word.replaceAll('*', '')], grammar) === 'yes',
    );
    if (corrected) return 'possible';
  }
  return best;
}

function namesProgram(rule: ExecRule, view: ExecView): boolean {
  if (view.interpreter && rule.interpreters && !rule.interpreters.includes(view.interpreter)) return false;
  return rule.programs.some((pattern) => {
    if (pattern.includes('/')) return view.path !== undefined && matchesGlob(pattern, view.path);
    return view.names.some(
      (name) => matchesGlob(pattern, name) || matchesGlob(pattern, withoutExtension(name)),
    );
  });
}

function plainName(view: ExecView): string {
  return withoutExtension(view.names[0] ?? '');
}

function withoutExtension(name: string): string {
  return name.replace(/\.(js|cjs|mjs|py|rb|exe)$/, '');
}

/** Whether a file that runs what its arguments say could be made to run a program some rule names. */
function mayRunNamed(
  openEnded: ReturnType<typeof readExec>['openEnded'],
  rules: readonly ExecRule[],
): boolean {
  if (openEnded === 'no') return false;
  if (openEnded === 'anything') return rules.length > 0;
  return rules.some((rule) => !rule.interpreters || rule.interpreters.includes(openEnded));
}

/**
 * What a grant for a session covers: this rule, this program, in this folder, with the same arguments in the same
 * order, options that only change how much is printed aside. Another remote, branch or flag is another effect.
 */
export function execGrant(ask: ExecAsk, rule: ExecRule): { readonly key: string; readonly covers: string } {
  const quiet = new Set(rule.quietOptions ?? []);
  const args = ask.argv.slice(1).filter((word) => !quiet.has(word));
  // argv[0] chooses the command of multi-call programs, so it belongs to the effect.
  const shape = [ask.argv[0] ?? '', ...args];
  const key = JSON.stringify([
    'exec',
    rule.id,
    ask.program,
    ask.interpreter?.program ?? null,
    ask.interpreter?.argument ?? null,
    ask.cwd,
    shape,
  ]);
  return {
    key,
    covers:
      `${ask.program} ${args.join(' ')}`.trim().slice(0, 500) +
      ` in ${ask.cwd}, as often as it likes in this session`,
  };
}
