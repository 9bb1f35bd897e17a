/**
 * Small repositories with a failing test each: the agent reads, searches, runs the tests, mends, runs them again and commits. Made
 * from a frame for each language and a list of bugs. Needs only what is on every machine that Turntable is set up on.
 */

import type { ScriptStep } from '../../demo/script.ts';
import { codeBugs } from './code-bugs.ts';
import { edit, run, type WorkloadTask } from './task.ts';

export type Language = 'js' | 'perl' | 'sh' | 'c';

export interface CodeBug {
  readonly name: string;
  readonly language: Language;
  /** What is said to be wrong. */
  readonly complaint: string;
  /** Contents of the module; \`wrong\` occurs in it once. */
  readonly module: string;
  /** Lines of the test, in the words of the frame. */
  readonly test: string;
  /** Worth searching for. */
  readonly symbol: string;
  readonly wrong: string;
  readonly right: string;
  /** A first idea that does not help, where there is one. */
  readonly firstIdea?: string;
}

interface Frame {
  readonly modulePath: string;
  readonly testPath: string;
  readonly test: (lines: string) => string;
  readonly module: (lines: string) => string;
  readonly command: string;
  readonly more: Readonly<Record<string, string>>;
}

const frames: Readonly<Record<Language, Frame>> = {
  js: {
    modulePath: 'src/module.mjs',
    testPath: 'test/module.test.mjs',
    module: (lines) => lines,
    test: (lines) =>
      `import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nimport * as module from '../src/module.mjs';\n\n${lines}`,
    command:
      'node --test test/ 2>&1 | grep -E "^(not ok|ok|# (pass|fail))|^. (pass|fail) |expected|actual" | sort | head -n 20; node test/module.test.mjs >/dev/null 2>&1',
    more: { 'package.json': '{ "name": "module", "type": "module", "private": true }\n' },
  },
  perl: {
    modulePath: 'lib/Module.pm',
    testPath: 't/module.t',
    module: (lines) => `package Module;\nuse strict;\nuse warnings;\n\n${lines}\n1;\n`,
    test: (lines) =>
      `use strict;\nuse warnings;\nuse lib 'lib';\nuse Module;\n\nmy ($number, $bad) = (0, 0);\nsub is {\n    my ($got, $want, $name) = @_;\n    my $ok = $got eq $want;\n    $bad++ unless $ok;\n    printf "%s %d - %s\\n", ($ok ? 'ok' : 'not ok'), ++$number, $name;\n    print "# got $got, want $want\\n" unless $ok;\n}\n\n${lines}\nexit($bad > 0);\n`,
    command: 'perl t/module.t',
    more: {},
  },
  sh: {
    modulePath: 'bin/module.sh',
    testPath: 'test/run.sh',
    module: (lines) => `#!/bin/sh\nset -u\n\n${lines}`,
    test: (lines) =>
      `#!/bin/sh\n. ./bin/module.sh\nbad=0\nis() {\n  if [ "$1" = "$2" ]; then echo "ok - $3"; else echo "not ok - $3: got '$1', want '$2'"; bad=1; fi\n}\n\n${lines}\nexit $bad\n`,
    command: 'sh test/run.sh',
    more: {},
  },
  c: {
    modulePath: 'src/module.c',
    testPath: 'test/test.c',
    module: (lines) => `#include "module.h"\n\n#include <string.h>\n\n${lines}`,
    test: (lines) =>
      `#include "../src/module.h"\n\n#include <stdio.h>\n#include <string.h>\n\nstatic int bad;\n#define IS(got, want, name) do { long g = (got), w = (want); printf("%s - %s\\n", g == w ? "ok" : "not ok", name); if (g != w) { printf("# got %ld, want %ld\\n", g, w); bad = 1; } } while (0)\n\nint main(void) {\n${lines}    return bad;\n}\n`,
    command: 'make -s test 2>&1',
    more: {
      Makefile:
        'test: build/test\n\t./build/test\nbuild/test: build/module.o build/test.o\n\tcc -o $@ $^\nbuild/module.o: src/module.c src/module.h\n\t@mkdir -p build\n\tcc -O1 -Wall -c -o $@ $<\nbuild/test.o: test/test.c src/module.h\n\t@mkdir -p build\n\tcc -O1 -Wall -c -o $@ $<\n.PHONY: test\n',
      '.gitignore': 'build/\n',
    },
  },
};

/** The same author and date in every run, so that the commit has the same name. */
const commitEnvironment = "GIT_AUTHOR_DATE='2025-03-04T10:00:00Z' GIT_COMMITTER_DATE='2025-03-04T10:00:00Z'";

export const codeRepairTasks: readonly WorkloadTask[] = codeBugs.map(taskOf);

function taskOf(bug: CodeBug, at: number): WorkloadTask {
  const frame = frames[bug.language];
  const header = bug.language === 'c' ? { 'src/module.h': headerOf(bug.module) } : {};
  return {
    family: 'code-repair',
    name: `repair-${bug.name}`,
    prompt: bug.complaint,
    files: {
      'README.md': `# ${bug.name}\n\n${bug.complaint}\n\nTests: \`${frame.command.split(' 2>&1')[0] ?? ''}\`\n`,
      [frame.modulePath]: frame.module(bug.module),
      [frame.testPath]: frame.test(bug.test),
      'docs/notes.md': notes(at),
      ...frame.more,
      ...header,
    },
    repository: true,
    steps: stepsOf(bug, frame, at),
    probes: [],
    check: `${frame.command.includes(';') ? frame.command.slice(frame.command.indexOf(';') + 1) : frame.command} && test -z "$(git status --porcelain)" && test $(git log --oneline | wc -l) -eq 2`,
  };
}

/** Ways of working differ a little from task to task, as they do from agent to agent; each is a whole repair. */
function stepsOf(bug: CodeBug, frame: Frame, at: number): ScriptStep[] {
  const look = run(
    'I look around first.',
    'git log --oneline | head -n 3; ls -R . | head -n 30; cat README.md',
  );
  const read = run('The code.', `cat ${frame.modulePath}`);
  const search = run(
    'Where is it used?',
    `grep -rn '${bug.symbol}' --include='*' . --exclude-dir=.git --exclude-dir=build | head`,
  );
  const test = run('The tests.', frame.command);
  const readTest = run('What does the test want?', `cat ${frame.testPath}`);
  const begin =
    [
      [look, test, read],
      [look, read, search, test],
      [test, readTest, read],
      [look, readTest, test, search],
    ][at % 4] ?? [];
  const detour =
    bug.firstIdea === undefined
      ? []
      : [
          edit('Perhaps this?', frame.modulePath, bug.wrong, bug.firstIdea),
          test,
          run('No. Back.', `git checkout -q -- ${frame.modulePath} && git status --short`),
        ];
  const mend = edit('This is it.', frame.modulePath, bug.wrong, bug.right);
  const review = run('What I changed.', 'git --no-pager diff');
  const commit = run(
    'Committed.',
    `git add -A && ${commitEnvironment} git commit -q -m "Fix ${bug.name}" && git status --short`,
  );
  const last = run('Once more from the start.', 'git log --oneline; git --no-pager show --stat | tail -n 3');
  return [...begin, ...detour, mend, test, review, commit, ...(at % 2 === 0 ? [last] : [])];
}

/** Declarations of a C module: every line that begins a function at the left margin. */
function headerOf(module: string): string {
  const functions = module.split('\n').filter((line) => /^(int|long|void|char)\b.*\) \{$/.test(line));
  return `#pragma once\n\n${functions.map((line) => line.replace(/ \{$/, ';')).join('\n')}\n`;
}

function notes(at: number): string {
  return Array.from({ length: 20 + at }, (_, line) => `- note ${line} of module ${at}\n`).join('');
}
