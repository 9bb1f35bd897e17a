/**
 * Finds the command words in an argv (`git -C dir -c a=b push --force` is a `push`): which options swallow the next
 * word is known for the programs that rules speak of. Where it is not known both readings are tried, and the answer
 * says so: a rule that asks may rest on a possible reading, a rule that allows may not. It knows no rules and no files.
 */

import { matchesGlob } from './glob.ts';

export interface Grammar {
  /** Options before or between command words that take the next word as their value. */
  readonly values: ReadonlySet<string>;
  /** Options that certainly take no value. */
  readonly flags: ReadonlySet<string>;
  /** An option in neither list: certainly without a value (the program would refuse it), or unknown. */
  readonly unknown: 'flag' | 'either';
  /** A first word like `+nightly` chooses a toolchain and is no command. */
  readonly plusWord?: boolean;
}

export type Match = 'no' | 'possible' | 'yes';

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter(Boolean));

const grammars = {
  git: {
    values: words('-C -c --git-dir --work-tree --namespace --super-prefix --config-env --attr-source'),
    flags: words(
      '-p -P --paginate --no-pager --no-replace-objects --bare --literal-pathspecs --glob-pathspecs --noglob-pathspecs --icase-pathspecs --no-optional-locks --no-advice --no-lazy-fetch',
    ),
    unknown: 'flag',
  },
  cargo: {
    values: words('--config -Z --color -C --manifest-path --target-dir --lockfile-path'),
    flags: words('-v -vv --verbose -q --quiet --locked --offline --frozen'),
    unknown: 'either',
    plusWord: true,
  },
  docker: {
    values: words('--config -c --context -H --host -l --log-level --tlscacert --tlscert --tlskey'),
    flags: words('-D --debug --tls --tlsverify'),
    unknown: 'either',
  },
  gh: { values: words('-R --repo --hostname'), flags: words(''), unknown: 'either' },
  any: { values: words(''), flags: words(''), unknown: 'either' },
} as const satisfies Record<string, Grammar>;

/** How a program reads its options. A program that is not known is read both ways at every option. */
export function grammarOf(program: string): Grammar {
  if (program === 'git') return grammars.git;
  if (program === 'cargo') return grammars.cargo;
  if (program === 'gh') return grammars.gh;
  if (['docker', 'podman', 'nerdctl'].includes(program)) return grammars.docker;
  return grammars.any;
}

/**
 * Whether the arguments (without argv[0]) begin, past their options, with these command words (globs).
 * `yes`: in the only reading there is; `possible`: in one of several.
 */
export function matchCommand(args: readonly string[], command: readonly string[], grammar: Grammar): Match {
  if (walk(args, command, grammar, false)) return 'yes';
  return walk(args, command, grammar, true) ? 'possible' : 'no';
}

/** Breadth-first over (argument, word) so that thousands of unknown options cost no more than their number. */
function walk(
  args: readonly string[],
  command: readonly string[],
  grammar: Grammar,
  lenient: boolean,
): boolean {
  const seen = new Set<number>();
  const open: { index: number; word: number; literal: boolean }[] = [{ index: 0, word: 0, literal: false }];
  const push = (index: number, word: number, literal: boolean): void => {
    const key = (index * (command.length + 1) + word) * 2 + (literal ? 1 : 0);
    if (!seen.has(key)) {
      seen.add(key);
      open.push({ index, word, literal });
    }
  };
  for (let step = open.pop(); step; step = open.pop()) {
    const { index, word, literal } = step;
    const pattern = command[word];
    if (pattern === undefined) return true;
    const arg = args[index];
    if (arg === undefined) continue;
    if (!literal && arg === '--') {
      push(index + 1, word, true);
    } else if (!literal && arg.length > 1 && arg.startsWith('-')) {
      if (grammar.values.has(arg)) {
        push(index + 2, word, false);
      } else if (arg.includes('=') || grammar.flags.has(arg) || grammar.unknown === 'flag') {
        push(index + 1, word, false);
      } else if (lenient) {
        push(index + 1, word, false);
        push(index + 2, word, false);
      }
    } else if (word === 0 && grammar.plusWord && arg.startsWith('+')) {
      push(index + 1, word, literal);
    } else if (matchesGlob(pattern, arg)) {
      push(index + 1, word + 1, literal);
    }
  }
  return false;
}

/**
 * Whether git would run `command` for a misspelt word: with `help.autocorrect` set (by any configuration, also one the
 * agent wrote) git corrects `psuh` to `push` within the same process, so no second exec would show it.
 */
export function mayAutocorrectTo(word: string, command: string): boolean {
  if (word.length < 3 || gitCommands.has(word)) return false;
  return command.startsWith(word) || distance(word, command) <= 2;
}

/** git's own commands that resemble those the rules ask about, and so are certainly not corrected. */
const gitCommands = words(
  'pull push stash show shell bundle blame fetch send-pack send-email fetch-pack index-pack rm mv log tag gc add am notes prune fsck rebase reset',
);

/** Damerau-Levenshtein (adjacent swaps count one). */
function distance(left: string, right: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let best = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (
        row > 1 &&
        column > 1 &&
        left[row - 1] === right[column - 2] &&
        left[row - 2] === right[column - 1]
      ) {
        best = Math.min(best, (older[column - 2] ?? 0) + 1);
      }
      current.push(best);
    }
    older = previous;
    previous = current;
  }
  return previous[right.length] ?? 0;
}
