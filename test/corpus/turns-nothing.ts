/** Turns that change nothing that a restore would need, however busy they look: alone, in other tracked roots, and beside a process that sleeps. */

import { kit, one, otherSpots, spots, type Scenario, type Spot, type Suite } from './corpus.ts';

type Quiet = readonly [family: string, name: string, run: string];

/** In a directory that holds a kit. */
const quiet: readonly Quiet[] = [
  ['look', 'ls', 'ls -la; ls -R dir'],
  ['look', 'cat', 'cat file other small > /dev/null'],
  ['look', 'grep', 'grep -rn 77 . | tail -3; grep -q nowhere file'],
  ['look', 'find', 'find . -newer small -type f -name "*o*"'],
  ['look', 'stat and wc', 'stat file dir link; wc file other; du -s .'],
  ['look', 'head, tail, sed -n, awk', 'head -2 file; tail -2 file; sed -n 5p file; awk "NR==3" file'],
  ['look', 'diff', 'diff file other | head -3; cmp file file'],
  ['look', 'checksums', 'md5sum file; sha256sum other; cksum small'],
  ['look', 'through a mapping', '$M mmap-read file'],
  ['look', 'a private mapping written to', '$M mmap-private file'],
  ['look', 'python', 'python3 -c "print(len(open(\'file\').read()))"'],
  ['look', 'opened for writing', ': >> file; exec 3<> other; exec 3>&-'],
  ['look', 'reading many times', 'for i in 1 2 3 4 5; do cat file > /dev/null; done'],
  ['look', 'tar to nowhere', 'tar cf - . | wc -c'],
  ['undone', 'create, then delete', 'echo x > new && rm new'],
  ['undone', 'mkdir, then rmdir', 'mkdir -p a/b && rmdir -p a/b'],
  ['undone', 'a tree made and removed', 'cp -a dir copy && rm -rf copy'],
  ['undone', 'touched and put back', '$M touch-back file'],
  ['undone', 'written, and put back with its times', '$M rewrite file'],
  ['undone', 'chmod and back', '$M chmod file 0600 && $M chmod file 0644'],
  ['undone', 'chown and back', '$M chown file 5 5 && $M chown file 0 0'],
  ['undone', 'rename and back', 'mv file away && mv away file'],
  ['undone', 'exchange and back', '$M exchange file other && $M exchange file other'],
  ['undone', 'link and unlink', 'ln file another && rm another'],
  ['undone', 'xattr set and removed', '$M setxattr file user.x y && $M removexattr file user.x'],
  ['undone', 'symlink made and removed', 'ln -s file s && rm s'],
  ['undone', 'fifo made, used and removed', 'mkfifo q && (cat q > /dev/null & echo hi > q; wait) && rm q'],
  ['undone', 'socket bound and removed', '$M bind s.sock && rm s.sock'],
  ['undone', 'an unnamed file', '$M tmpfile . "" nobody'],
  ['undone', 'truncated and restored', 'cp -p file keep && : > file && cp -p keep file && rm keep'],
  ['undone', 'a directory mode and back', 'chmod 700 dir && chmod 755 dir'],
  ['undone', 'only the access time', '$M atime file 1000000000'],
  ['failed', 'no such file', 'cat missing; rm missing; mv missing x; rmdir missing'],
  ['failed', 'mkdir of what is there', 'mkdir dir; mkdir file'],
  ['failed', 'rmdir of a full directory', 'rmdir dir'],
  ['failed', 'O_EXCL on what is there', '$M exclusive file'],
  ['failed', 'noreplace on what is there', '$M noreplace file other'],
  ['failed', 'whiteout', '$M whiteout file gone'],
  ['failed', 'link over what is there', '$M link file other'],
  ['failed', 'no device nodes', '$M device dev'],
  ['failed', 'io_uring is not there', '$M io-uring file'],
  ['failed', 'open_by_handle_at is forbidden', '$M by-handle file . changed'],
  ['failed', 'an unknown command', 'nosuchcommand --at-all'],
  ['failed', 'a syntax error', 'if then'],
  ['failed', 'a command that is killed', 'sleep 60 & kill -9 $!; wait'],
  ['failed', 'a program that aborts', 'python3 -c "import os; os.abort()"'],
  ['failed', 'writing to what is read-only', 'echo x > /proc/sys/kernel/hostname; echo x > /sys/power/state'],
  ['come and go', 'a pipeline', 'seq 1 1000 | sort -r | uniq | tail -1'],
  ['come and go', 'background jobs that end', '(sleep 0.01; true) & (sleep 0.02; true) & wait'],
  ['come and go', 'many short processes', '$M children 200'],
  ['come and go', 'a daemon that ends itself', 'setsid sh -c "sleep 0.02" & wait'],
  ['come and go', 'a survivor that is told to quit', '$M serve brief && $M tell brief quit; sleep 0.05'],
  [
    'come and go',
    'a server asked and ended',
    'python3 -m http.server 8123 > /dev/null 2>&1 & p=$!; sleep 0.3; kill $p; wait',
  ],
  [
    'nowhere',
    'to /dev/null',
    'seq 1 10000 > /dev/null; dd if=/dev/zero of=/dev/null bs=64k count=20 2> /dev/null',
  ],
  ['nowhere', 'to standard output and error', 'seq 1 500; seq 1 500 >&2'],
  ['nowhere', 'to a terminal', '$M terminal typed'],
  ['nowhere', 'to a socket pair', '$M socket-pair hello'],
  ['nowhere', 'to a memfd that goes', '$M memfd scratch'],
  ['nowhere', 'to shared memory that goes', '$M shared-memory'],
  ['nowhere', 'a socket in /tmp that vanishes', '$M bind /tmp/v.sock && rm /tmp/v.sock'],
  ['nowhere', 'a file in /tmp that vanishes', 't=$(mktemp) && echo x > $t && rm $t'],
  ['nowhere', 'through a FIFO', '(cat fifo > /dev/null & echo through > fifo; wait)'],
  ['nowhere', 'env and cd', 'export A=b; cd dir; umask 077; ulimit -n 100; pwd'],
  ['nowhere', 'a here document', 'cat <<X\nhello\nX'],
];

function suiteAt(
  name: string,
  spot: Spot,
  rows: readonly (readonly [Quiet, number])[],
  inFolder: boolean,
): Suite {
  const directory = (index: number): string => `${spot.directory}/n${index}`;
  const kits = rows.map(([, index]) => kit(directory(index))).join('; ');
  return {
    name,
    ...(inFolder ? { prepareFolder: kits } : {}),
    scenarios: [
      ...(inFolder
        ? []
        : [{ family: 'look', name: `prepare ${spot.name}`, steps: [{ name: 'kit', run: kits }] }]),
      ...rows.map(([[family, title, run], index]) =>
        one(family, `${title} (${spot.name})`, 'nothing', `cd ${directory(index)} && { ${run}\n}`),
      ),
    ],
  };
}

const all = quiet.map((row, index) => [row, index] as const);

/** The same turns with somebody asleep beside them: started once, told nothing, so it keeps its image. */
function beside(suite: Suite): Suite {
  const [first, ...rest] = suite.scenarios;
  if (!first) return suite;
  const sleeper: Scenario = {
    family: 'survivor starts',
    name: 'a sleeper beside quiet turns',
    steps: [{ name: 'turn', run: '$M serve sleeper', expect: 'processes', sample: true }],
  };
  return {
    ...suite,
    scenarios: [first, sleeper, ...rest.map((each) => ({ ...each, name: `${each.name}, beside a sleeper` }))],
  };
}

const elsewhere = otherSpots.map((spot, place) =>
  suiteAt(
    '',
    spot,
    all.filter(([, index]) => index % otherSpots.length === place),
    false,
  ),
);

export const nothingSuites: readonly Suite[] = [
  suiteAt('nothing in the folder', spots.lower, all, true),
  suiteAt('nothing in what the session made', spots.upper, all, false),
  { name: 'nothing in other roots', scenarios: elsewhere.flatMap((suite) => suite.scenarios) },
  beside(suiteAt('nothing beside a sleeper', spots.upper, all, false)),
];
