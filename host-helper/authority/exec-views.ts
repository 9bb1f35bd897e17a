/**
 * What an exec amounts to: the programs it makes run in the same process, as far as its argv shows. A script is itself
 * and its interpreter; ld.so, busybox, interpreters and corepack run their argument without another exec, so it is
 * looked at here; `env`, `nice`, `sh -c` and their like exec again and are checked there. It knows no rules and reads no files.
 */

import type { ExecAsk } from '../inspector/sentry.ts';
import type { InterpreterFamily } from './exec-rules.ts';

/** One program with its arguments. `names` are base names, `path` is absolute where known. */
export interface ExecView {
  readonly names: readonly string[];
  readonly path: string | undefined;
  /** argv[0] and the arguments as this program sees them. */
  readonly argv: readonly string[];
  /** Set when an interpreter of this family was given the program as a script. */
  readonly interpreter?: InterpreterFamily;
}

export interface ExecReading {
  readonly views: readonly ExecView[];
  /** What looking at this argv cannot vouch for, in one sentence. */
  readonly caution: string | undefined;
  /** What the file behind the ask could be made to run by other arguments: decides what may be remembered. */
  readonly openEnded: 'no' | 'anything' | InterpreterFamily;
}

const viewLimit = 64;

const loaders = /^(ld-linux.*\.so.*|ld-musl-.*\.so.*|ld-[0-9.]+\.so|ld64\.so.*|ld\.so.*|libc\.musl-.*)$/;
const multiCall = new Set([
  'busybox',
  'toybox',
  'rustup',
  'rustup-init',
  'snap',
  'volta-shim',
  'mise',
  'proto-shim',
  'asdf',
]);
const reExec = new Set(
  (
    'env nice timeout nohup setsid xargs stdbuf ionice chrt taskset strace ltrace watch time parallel script unshare nsenter ' +
    'chroot setpriv find fd make ninja flock chpst catchsegv prlimit numactl faketime unbuffer dbus-run-session npx pnpx bunx uvx'
  ).split(' '),
);

/** Reads one ask. Pure: the same ask gives the same reading. */
export function readExec(ask: Pick<ExecAsk, 'program' | 'interpreter' | 'argv' | 'cwd'>): ExecReading {
  const views: ExecView[] = [];
  const cautions = new Set<string>();
  const program = ask.program.replace(/ \(deleted\)$/, '');
  const own = expand({ path: program, names: [baseName(program)], argv: ask.argv }, ask.cwd, cautions, 0);
  views.push(...own);
  let openEnded = openEndedness(baseName(program));
  if (ask.interpreter) {
    const { program: interpreter, argument } = ask.interpreter;
    // The kernel puts the interpreter and its one argument before the script and drops the script's own argv[0].
    const argv = [interpreter, ...(argument === undefined ? [] : [argument]), program, ...ask.argv.slice(1)];
    views.push(...expand({ path: interpreter, names: [baseName(interpreter)], argv }, ask.cwd, cautions, 0));
    const family = familyOf(baseName(interpreter));
    // The script is fixed by its inode; only an interpreter with an argument of its own might yet read past it.
    if (openEnded === 'no' && argument !== undefined && family) openEnded = family;
    if (openEnded === 'no' && openEndedness(baseName(interpreter)) === 'anything' && !family)
      openEnded = 'anything';
  }
  if (/(^|\/)(memfd:|fd\/\d+$)/.test(program))
    cautions.add('The program exists in memory only; its name says nothing about what it is.');
  return {
    views: views.slice(0, viewLimit),
    caution: cautions.size > 0 ? [...cautions].join(' ') : undefined,
    openEnded,
  };
}

/** The family of an interpreter by its base name, versions included. */
export function familyOf(name: string): InterpreterFamily | undefined {
  if (
    /^(r?bash|sh|dash|zsh|ksh[0-9]*|mksh|ash|fish|csh|tcsh|yash|oksh|posh|busybox-sh)([-.][0-9.]+)?$/.test(
      name,
    )
  )
    return 'shell';
  if (/^(node|nodejs|bun|deno|qjs|electron|tsx|ts-node)([-.]?[0-9.]+)?$/.test(name)) return 'node';
  if (/^(python|pypy|pypy3|python[23])(-?[0-9.]+)?[a-z]?$/.test(name)) return 'python';
  if (/^(ruby|jruby|truffleruby)[0-9.]*$/.test(name)) return 'ruby';
  if (/^perl[0-9.]*$/.test(name)) return 'perl';
  return undefined;
}

function openEndedness(name: string): ExecReading['openEnded'] {
  if (loaders.test(name) || multiCall.has(name) || name === 'corepack' || name === 'corepack.js')
    return 'anything';
  return familyOf(name) ?? 'no';
}

function expand(view: ExecView, cwd: string, cautions: Set<string>, depth: number): ExecView[] {
  const name = view.names[0] ?? '';
  const views = [withGitNames(view)];
  if (depth >= 4) {
    cautions.add('Launchers are nested too deeply to be looked through.');
    return views;
  }
  const follow = (next: ExecView): void => {
    views.push(...expand(next, cwd, cautions, depth + 1));
  };
  const family = familyOf(name);
  if (loaders.test(name)) {
    cautions.add(
      'The program loader runs the file it is given without a second check: a link or a copy under another name would not be recognised.',
    );
    const given = loaderProgram(view.argv);
    if (given) follow(viewOfPath(given.path, cwd, [given.argv0, ...given.rest]));
  } else if (multiCall.has(name)) {
    const called = baseName(view.argv[0] ?? '');
    if (called !== '' && !multiCall.has(called))
      follow({ names: [called], path: undefined, argv: view.argv });
    else if (name !== 'rustup') {
      const applet = view.argv.slice(1).findIndex((word) => !word.startsWith('-'));
      if (applet >= 0) follow(applied(view.argv.slice(1 + applet)));
    }
  } else if (name === 'corepack' || name === 'corepack.js') {
    const at = view.argv.slice(1).findIndex((word) => !word.startsWith('-'));
    if (at >= 0) follow(applied(view.argv.slice(1 + at)));
  } else if (family) {
    cautions.add(
      codeOnCommandLine(family, view.argv)
        ? 'It runs code given on its command line; that code is checked only where it starts programs or reaches the network.'
        : 'What the script says inside is not checked; only the programs it starts and the hosts it reaches are.',
    );
    for (const script of scripts(family, view.argv)) {
      const next = { ...viewOfPath(script.path, cwd, [script.path, ...script.rest]), interpreter: family };
      views.push(withGitNames(next));
      if (/^corepack/.test(next.names[0] ?? '')) follow(next);
    }
  } else if (reExec.has(name)) {
    cautions.add('It starts another program, which is checked when it starts.');
  }
  return views;
}

/** A view of a program named by a bare word, as multi-call programs and corepack take it (`yarn@4` is yarn). */
function applied(argv: readonly string[]): ExecView {
  const word = (argv[0] ?? '').replace(/(.)@.*$/, '$1');
  return { names: [baseName(word)], path: undefined, argv: [word, ...argv.slice(1)] };
}

function viewOfPath(path: string, cwd: string, argv: readonly string[]): ExecView {
  const absolute = normalise(path.startsWith('/') ? path : `${cwd}/${path}`);
  return { names: [baseName(absolute)], path: absolute, argv };
}

/** git runs as `git-push` by its argv[0] alone, whatever the file is called; dashed programs are its commands too. */
function withGitNames(view: ExecView): ExecView {
  const name = view.names[0] ?? '';
  if (name !== 'git' && !name.startsWith('git-')) return view;
  const called = baseName(view.argv[0] ?? '');
  const dashed = called.startsWith('git-') ? called : name !== 'git' ? name : undefined;
  const argv = dashed ? ['git', dashed.slice('git-'.length), ...view.argv.slice(1)] : view.argv;
  return { ...view, names: [...new Set(['git', name])], argv };
}

const loaderValues = new Set([
  '--library-path',
  '--inhibit-rpath',
  '--audit',
  '--preload',
  '--argv0',
  '--glibc-hwcaps-prepend',
  '--glibc-hwcaps-mask',
]);

/** The program that ld.so was told to run, if it was. */
function loaderProgram(
  argv: readonly string[],
): { path: string; argv0: string; rest: readonly string[] } | undefined {
  let argv0: string | undefined;
  for (let index = 1; index < argv.length; index++) {
    const word = argv[index] ?? '';
    if (word === '--') {
      const path = argv[index + 1];
      return path === undefined ? undefined : { path, argv0: argv0 ?? path, rest: argv.slice(index + 2) };
    }
    if (loaderValues.has(word)) {
      if (word === '--argv0') argv0 = argv[index + 1];
      index++;
    } else if (word.startsWith('--argv0=')) {
      argv0 = word.slice('--argv0='.length);
    } else if (!word.startsWith('--')) {
      return { path: word, argv0: argv0 ?? word, rest: argv.slice(index + 1) };
    }
  }
  return undefined;
}

const codeOptions: Record<InterpreterFamily, RegExp> = {
  shell: /^-[a-zA-Z]*c/,
  node: /^(-e|-p|-pe|--eval|--print)(=|$)/,
  python: /^-[a-zA-Z]*c/,
  ruby: /^-[a-zA-Z]*e/,
  perl: /^-[a-zA-Z0-9]*[eE]/,
};

function codeOnCommandLine(family: InterpreterFamily, argv: readonly string[]): boolean {
  for (const word of argv.slice(1)) {
    if (!word.startsWith('-')) return false;
    if (codeOptions[family].test(word)) return true;
  }
  return false;
}

/**
 * Every word that the interpreter may take as its script or module. An option that is not known may or may not swallow
 * the next word, so each word up to the first that certainly is the script counts.
 */
function scripts(
  family: InterpreterFamily,
  argv: readonly string[],
): { path: string; rest: readonly string[] }[] {
  const found: { path: string; rest: readonly string[] }[] = [];
  let afterOption = false;
  for (let index = 1; index < argv.length && found.length < 16; index++) {
    const word = argv[index] ?? '';
    if (word === '--') {
      afterOption = false;
      continue;
    }
    if (word.startsWith('-') && word.length > 1) {
      const module = family === 'python' ? /^-[a-zA-Z]*m(.*)$/.exec(word) : null;
      if (module) {
        const name = module[1] !== '' ? module[1] : argv[index + 1];
        const rest = argv.slice(module[1] !== '' ? index + 1 : index + 2);
        // `python -m twine` runs twine/__main__.py, `-m twine.__main__` the same.
        if (name) found.push({ path: name.split('.')[0] ?? name, rest });
        return found;
      }
      const glued = /^--[a-z-]+=(.+)$/.exec(word);
      if (glued?.[1] && (glued[1].includes('/') || glued[1].includes('.')))
        found.push({ path: glued[1], rest: argv.slice(index + 1) });
      afterOption = !word.includes('=');
      continue;
    }
    found.push({ path: word.replace(/^file:\/\//, ''), rest: argv.slice(index + 1) });
    if (!afterOption) return found;
    afterOption = false;
  }
  return found;
}

function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

function normalise(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return '/' + parts.join('/');
}
