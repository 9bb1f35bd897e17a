/** Turns as agents take them: version control, builds, package managers, a recorded task. */

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Scenario, Step, Suite } from './corpus.ts';
import type { Label } from './oracle.ts';

type Row = readonly [name: string, expect: Label | undefined, run: string];

function story(
  family: string,
  name: string,
  rows: readonly Row[],
  samples: readonly string[] = [],
): Scenario {
  return {
    family,
    name,
    steps: rows.map(([step, expect, run]): Step => ({
      name: step,
      run,
      ...(expect === undefined ? {} : { expect }),
      ...(samples.includes(step) ? { sample: true } : {}),
    })),
  };
}

const git = story(
  'git',
  'a small repository',
  [
    ['init', 'files', 'git init -q . && git config user.email a@b.c && git config user.name n'],
    ['status', undefined, 'git status --short'],
    ['status again', 'nothing', 'git status --short'],
    ['log of nothing', 'nothing', 'git log'],
    ['add', 'files', 'git add -A'],
    // Git writes objects again whose files are as young as its index.
    ['add again', undefined, 'git add -A'],
    ['commit', 'files', 'git commit -qm one'],
    ['log', 'nothing', 'git log --stat'],
    ['diff', 'nothing', 'git diff; git diff --stat HEAD'],
    ['show, blame, ls-files', 'nothing', 'git show HEAD; git blame README.md; git ls-files'],
    ['commit of nothing', undefined, 'git commit -qm two'],
    ['an edit', 'files', 'echo line >> src/one.txt'],
    ['diff of the edit', undefined, 'git diff'],
    ['diff of the edit again', 'nothing', 'git diff'],
    ['checkout of the edit', 'files', 'git checkout -q -- src/one.txt'],
    ['branch', 'files', 'git branch topic'],
    ['branches', 'nothing', 'git branch -a'],
    ['switch', 'files', 'git switch -q topic'],
    ['tag', 'files', 'git tag v1'],
    ['stash of nothing', undefined, 'git stash'],
    ['grep', 'nothing', 'git grep one'],
    ['fsck', 'nothing', 'git fsck --no-progress'],
    ['rev-parse', 'nothing', 'git rev-parse HEAD; git describe --always'],
    ['remote', 'nothing', 'git remote -v'],
    ['clone into /tmp, removed', 'nothing', 'git clone -q . /tmp/c && rm -rf /tmp/c'],
    ['gc', 'files', 'git gc -q'],
  ],
  ['commit', 'gc'],
);

const build = story('build', 'make and C', [
  [
    'sources',
    'files',
    'mkdir -p c && cd c && printf "#include <stdio.h>\\nint main(void){puts(\\"hi\\");}\\n" > a.c && printf "a: a.c\\n\\tcc -o a a.c\\n\\nclean:\\n\\trm -f a\\n" > Makefile',
  ],
  ['first build', 'files', 'make -C c'],
  ['up to date', 'nothing', 'make -C c'],
  ['a dry run', 'nothing', 'make -C c -n'],
  ['run', 'nothing', 'c/a'],
  ['touched source', 'files', 'sleep 0.02; touch c/a.c'],
  ['build again', 'files', 'make -C c'],
  ['up to date again', 'nothing', 'make -C c'],
  ['failed build', 'nothing', 'cd c && cc -o broken -x c - < Makefile'],
  ['syntax check', 'nothing', 'cc -fsyntax-only c/a.c'],
  ['preprocess', 'nothing', 'cc -E c/a.c | wc -l'],
  ['clean', 'files', 'make -C c clean'],
  ['clean again', 'nothing', 'make -C c clean'],
]);

const scripts = story('scripts', 'python, node and the shell', [
  ['python reads', 'nothing', 'python3 -c "import json,os; print(os.listdir(\'.\'))"'],
  ['python module', 'files', 'mkdir -p py && echo "x = 1" > py/mod.py'],
  ['python imports it', 'files', 'cd py && python3 -c "import mod"'],
  ['python imports it again', 'nothing', 'cd py && python3 -c "import mod"'],
  ['python -B', 'nothing', 'cd py && python3 -B -c "import mod"'],
  ['unittest of nothing', undefined, 'cd py && python3 -m unittest'],
  ['node reads', 'nothing', "node -e \"console.log(require('fs').readdirSync('.').length)\""],
  ['node writes', 'files', "node -e \"require('fs').writeFileSync('n.json', '{}')\""],
  [
    'node writes and removes',
    'nothing',
    "node -e \"const f=require('fs'); f.writeFileSync('t', '1'); f.unlinkSync('t')\"",
  ],
  [
    'which and versions',
    'nothing',
    'which sh python3 git; git --version; python3 --version; uname -a; id; date; env',
  ],
  ['tar and untar', 'files', 'tar czf src.tgz src && mkdir -p un && tar xzf src.tgz -C un'],
  ['untar over the same', 'nothing', 'tar xzf src.tgz -C un'],
  ['cp -pu of a newer one', 'files', 'cp -pu src/one.txt un/src/one.txt'],
  ['cp -pu of the same', 'nothing', 'cp -pu src/one.txt un/src/one.txt'],
  ['diff -r', 'nothing', 'diff -r src un/src'],
  ['xargs and tee', 'files', 'ls src | xargs -n1 | tee listing > /dev/null'],
  [
    'patch',
    'files',
    'printf -- "--- a\\n+++ b\\n@@ -1 +1 @@\\n-one\\n+uno\\n" > p.diff && patch -s src/one.txt p.diff',
  ],
  ['patch that fails', undefined, 'patch -s -r - src/two.txt p.diff'],
  ['patch --dry-run', 'nothing', 'patch -s -R --dry-run src/one.txt p.diff'],
  ['sort in place', 'files', 'seq 30 -1 1 > nums && sort -n -o nums nums'],
  ['a lock file', 'nothing', 'flock lock true; rm lock'],
  ['mktemp -d', 'nothing', 'd=$(mktemp -d) && touch $d/x && rm -r $d'],
  ['history of a shell', 'nothing', 'bash -c "history; set -o > /dev/null"'],
  ['ps, df, free', 'nothing', 'ps aux | head; df -h . ; cat /proc/meminfo | head -3'],
  ['dpkg -l', 'nothing', 'dpkg -l | head -5; dpkg -S /bin/sh'],
  ['a file in the home', 'files', 'echo x > ~/.profile-of-mine'],
  [
    'a tool for everybody',
    'files',
    'printf "#!/bin/sh\\necho tool\\n" > /usr/local/bin/tool && chmod +x /usr/local/bin/tool',
  ],
  ['the tool is run', 'nothing', 'tool'],
  ['a system file edited', 'files', 'echo "127.0.0.2 box" >> /etc/hosts'],
  ['a cache filled', 'files', 'mkdir -p /var/cache/mine && echo c > /var/cache/mine/c'],
  ['a system file put back', 'files', 'sed -i /box/d /etc/hosts'],
]);

const recordedSchema = z.object({
  name: z.string(),
  source: z.string(),
  turns: z.array(z.object({ command: z.string() })),
});

/** What the author of this file believes of the recorded turns, in their order. */
const recordedLabels: readonly Label[] = [
  ...['nothing', 'nothing', 'nothing', 'nothing', 'files', 'nothing', 'nothing'],
  ...['files', 'files', 'files'],
] as const;

function recorded(): Scenario {
  const file = new URL('workloads/mini-swe-github-issue.json', import.meta.url);
  const { turns } = recordedSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const broken = [
    'mkdir -p tests && git init -q . && git config user.email a@b.c && git config user.name n',
    'printf \'#!/usr/bin/env python3\\n\\n\\ndef division(a: float, b: float) -> float\\n    return a/b\\n\\n\\nif __name__ == "__main__":\\n    print(division(123, 15))\\n\' > tests/missing_colon.py',
  ].join(' && ');
  return {
    family: 'recorded',
    name: 'mini-swe-agent github issue',
    steps: [
      { name: 'setup', run: broken },
      ...turns.map(({ command }, index): Step => ({
        name: `turn-${index + 1}`,
        run: command,
        expect: recordedLabels[index] ?? 'nothing',
        ...(index === 8 ? { sample: true } : {}),
      })),
    ],
  };
}

export const toolSuites: readonly Suite[] = [
  { name: 'git and build', scenarios: [git, build] },
  { name: 'scripts and a recorded task', scenarios: [scripts, recorded()] },
];
