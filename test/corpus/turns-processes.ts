/**
 * Turns that change processes which outlive them: their memory, descriptors, directory, children, sockets; changes by others while
 * they do not run; and idle ones, which change by nothing. `$M serve` and `$M tell` are survivor.c.
 */

import type { Scenario, Step, Suite } from './corpus.ts';
import type { Label } from './oracle.ts';

type Row = readonly [name: string, expect: Label | undefined, run: string];

function life(family: string, name: string, rows: readonly Row[], samples: readonly string[] = []): Scenario {
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

/** Where to write in a survivor's memory, and its pid: for those that reach into it. */
const where = (name: string): string => `set -- $($M tell ${name} where)`;

const main = '$(pgrep -o -x mutate)';
const thread = `$(ls /proc/${main}/task | sort -n | tail -n 1)`;

const own: readonly Scenario[] = [
  life(
    'survivor memory',
    'no file touched',
    [
      ['start', 'processes', '$M serve a'],
      ['asleep', 'nothing', 'true'],
      ['one byte', 'processes', '$M tell a memory 200 x 1'],
      ['asleep after it', 'nothing', 'ls > /dev/null'],
      ['many pages', 'processes', '$M tell a memory 4096 y 100000'],
      ['grows', 'processes', '$M tell a grow 3000000'],
      ['environment', 'processes', '$M tell a setenv ANSWER 42'],
      ['with a file too', 'full', '$M tell a memory 300 z 1; echo x > with-memory'],
      ['files only beside it', 'files', 'echo y > without-memory'],
      ['nothing after a file', 'nothing', 'cat without-memory'],
      ['ends', 'processes', '$M tell a quit; sleep 0.05'],
      ['nobody left', 'nothing', 'true'],
    ],
    ['one byte', 'many pages', 'files only beside it', 'ends'],
  ),
  life('survivor start', 'ways to outlive a turn', [
    ['daemon', 'processes', '$M serve d1'],
    ['double fork', 'processes', '$M serve d2 double'],
    ['without its main thread', 'processes', '$M serve d3 headless; sleep 0.05'],
    ['its memory', 'processes', '$M tell d3 memory 200 x 1'],
    ['it ends', 'processes', '$M tell d3 quit; sleep 0.05'],
    ['setsid', 'processes', 'setsid sleep 1000 > /dev/null 2>&1 < /dev/null &'],
    ['nohup', 'processes', 'nohup sleep 1000 > /dev/null 2>&1 < /dev/null &'],
    ['background', 'processes', 'sleep 1000 > /dev/null 2>&1 < /dev/null & sleep 0.05'],
    ['with a log', 'full', 'setsid sh -c "echo begun; exec sleep 1000" > log 2>&1 < /dev/null & sleep 0.1'],
    ['one is killed', 'processes', 'pkill -n -x sleep; sleep 0.05'],
    [
      'replaced by its like',
      'processes',
      'pkill -n -x sleep; setsid sleep 1000 > /dev/null 2>&1 < /dev/null & sleep 0.1',
    ],
  ]),
  life('survivor start', 'stopped and continued', [
    ['start', undefined, '$M serve x'],
    ['stopped', 'processes', 'pkill -STOP -x mutate; sleep 0.05'],
    ['stays stopped', 'nothing', 'true'],
    ['a file beside it', 'files', 'echo x > beside-stopped'],
    ['continued', 'processes', 'pkill -CONT -x mutate; sleep 0.05'],
  ]),
  life(
    'survivor descriptors',
    'files that it holds',
    [
      ['start', undefined, '$M serve f'],
      ['opens a new file', 'full', '$M tell f open held'],
      ['writes through it', 'full', '$M tell f write first'],
      ['asleep with it open', 'nothing', 'cat held'],
      ['seeks', 'processes', '$M tell f seek 0'],
      ['writes over it', 'full', '$M tell f write again'],
      ['changes its flags', 'processes', '$M tell f flags'],
      ['locks it', 'processes', '$M tell f lock'],
      ['chmod through it', 'full', '$M tell f chmod-held 0600'],
      ['another appends to it', 'files', 'echo more >> held'],
      ['its file is renamed', 'files', 'mv held moved'],
      ['writes to the renamed', 'full', '$M tell f write renamed'],
      ['its file is deleted', 'full', 'rm moved'],
      ['writes to the deleted', 'processes', '$M tell f write ghost'],
      [
        'another writes to the deleted',
        'processes',
        'echo intruder >> /proc/$(pgrep -x mutate)/fd/$(ls -l /proc/$(pgrep -x mutate)/fd | sed -n "s/.* \\([0-9]*\\) -> .*deleted.*/\\1/p")',
      ],
      ['closes the deleted', 'processes', '$M tell f close'],
      ['is handed a file', 'processes', '$M tell f with-fd README.md nothing'],
      ['writes through what it was handed', 'full', '$M tell f write handed'],
    ],
    [
      'another appends to it',
      'its file is renamed',
      'writes to the deleted',
      'another writes to the deleted',
    ],
  ),
  // Whoever is told to do something has the words in its memory afterwards.
  life(
    'survivor mappings',
    'a shared mapping of a file',
    [
      ['start', undefined, '$M serve m; seq 1 3000 > mapped; seq 9001 12000 > other'],
      ['maps it', 'processes', '$M tell m map mapped'],
      ['first store', 'full', '$M tell m store 10 first'],
      ['store into the dirty page', 'full', '$M tell m store 20 second'],
      ['and again', 'full', '$M tell m store 30 third'],
      ['asleep with it mapped', 'nothing', 'cat mapped > /dev/null'],
      ['msync', 'processes', '$M tell m msync'],
      ['store after a flush', 'full', '$M tell m store 40 fourth'],
      ['another writes the file', 'files', '$M pwrite mapped 100 others'],
      ['replaced by rename', 'full', 'cp other next && mv next mapped'],
      ['store into the replaced', 'processes', '$M tell m store 50 lost'],
      ['unmaps', 'processes', '$M tell m unmap'],
    ],
    ['store into the dirty page', 'replaced by rename'],
  ),
  life(
    'survivor mappings',
    'a private mapping of a file',
    [
      ['start', undefined, '$M serve p; seq 1 3000 > library'],
      ['maps it', 'processes', '$M tell p map-private library'],
      ['another file beside it', 'files', 'echo z > beside'],
      ['replaced by rename, another size', 'full', 'seq 1 50 > library.new && mv library.new library'],
      ['asleep with the replaced', 'nothing', 'true'],
      ['unmaps', 'processes', '$M tell p unmap'],
    ],
    ['replaced by rename, another size'],
  ),
  life('survivor sockets', 'opened by a survivor', [
    ['start', undefined, '$M serve s'],
    ['a TCP port', 'processes', '$M tell s listen 8201'],
    ['closed', 'processes', '$M tell s close'],
    ['a unix socket', 'full', '$M tell s listen-unix here.sock'],
    ['its name removed', 'files', 'rm here.sock'],
    ['a pipe', 'processes', '$M tell s pipe'],
    ['bytes left in the pipe', 'processes', '$M tell s write waiting'],
    ['a socket pair', 'processes', '$M tell s pair'],
    ['a memfd', 'processes', '$M tell s memfd kept'],
    ['an inotify watch', 'processes', '$M tell s watch .'],
  ]),
  life('survivor state', 'what else a process is', [
    ['start', undefined, '$M serve t; mkdir -p place/inner'],
    ['changes its directory', 'processes', '$M tell t cd place/inner'],
    ['its directory is renamed', 'files', 'mv place palace'],
    ['asleep in the renamed', 'nothing', 'ls palace'],
    ['umask', 'processes', '$M tell t umask 077'],
    ['a thread', 'processes', '$M tell t thread'],
    ['the thread reniced', 'processes', `renice -n 4 -p ${thread} > /dev/null`],
    ['a signal for it stays pending', 'processes', `$M signal-thread ${main} ${thread} 12`],
    ['asleep with it', 'nothing', 'true'],
    ['a child', 'processes', '$M tell t fork'],
    ['a child ends', 'processes', 'pkill -n -x mutate; sleep 0.05'],
    ['a signal handler', 'processes', '$M tell t signals'],
    ['a signal', 'processes', 'pkill -USR1 -x mutate; sleep 0.05'],
    ['blocks a signal', 'processes', '$M tell t block'],
    ['a signal stays pending', 'processes', 'pkill -USR1 -x mutate; sleep 0.05'],
    ['a limit', 'processes', '$M tell t limit'],
    ['reniced', 'processes', 'renice -n 5 -p $(pgrep -o -x mutate) > /dev/null'],
    [
      'a limit by another',
      'processes',
      "python3 -c 'import resource, sys; resource.prlimit(int(sys.argv[1]), resource.RLIMIT_NOFILE, (64, 64))' $(pgrep -o -x mutate)",
    ],
    ['oom score by another', 'processes', 'echo 500 > /proc/$(pgrep -o -x mutate)/oom_score_adj'],
  ]),
  life(
    'reached into',
    'a survivor that does not run',
    [
      ['start', undefined, `$M serve r; ${where('r')}; echo $1 $2 > target`],
      ['asleep', 'nothing', 'cat target'],
      ['process_vm_writev', 'nothing', 'read p a < target; $M poke $p $a vmwrite'],
      ['/proc/PID/mem', 'processes', 'read p a < target; $M poke-mem $p $a procmem'],
      ['ptrace', 'processes', 'read p a < target; $M poke-traced $p $a traced'],
      ['asleep after all', 'nothing', 'cat target'],
    ],
    ['/proc/PID/mem'],
  ),
  life('reached into', 'its descriptors and queues', [
    ['start', undefined, '$M serve q; mkfifo in; seq 1 100 > file; $M tell q open in'],
    ['bytes for a FIFO that it does not read', 'processes', '$M fill in unread'],
    ['more of them', 'processes', '$M fill in more'],
    ['asleep with them', 'nothing', 'true'],
    ['opens a file', 'processes', '$M tell q open-read file'],
    [
      'its offset moved by another',
      'processes',
      'p=$(pgrep -x mutate); $M seek-theirs $p $(ls -l /proc/$p/fd | sed -n "s/.* \\([0-9]*\\) -> .*file$/\\1/p") 17',
    ],
    ['connections that it does not accept', undefined, '$M tell q listen 8202'],
    [
      'a connection to its port',
      'processes',
      "python3 -c \"import socket; s=socket.create_connection(('127.0.0.1', 8202)); s.send(b'x')\"",
    ],
    ['an event for its inotify', undefined, '$M tell q watch .'],
    ['a file in the watched directory', 'full', 'echo x > seen'],
  ]),
  life(
    'reached into',
    'a large file that it holds and nobody names',
    [
      ['start', undefined, '$M serve v; head -c 8M /dev/zero > large; $M tell v open large; rm large'],
      ['asleep with it', 'nothing', 'true'],
      [
        'written to by another',
        'processes',
        'p=$(pgrep -x mutate); echo over | dd conv=notrunc status=none of=/proc/$p/fd/$(ls -l /proc/$p/fd | sed -n "s/.* \\([0-9]*\\) -> .*large.*/\\1/p")',
      ],
      ['asleep after it', 'nothing', 'true'],
    ],
    ['written to by another'],
  ),
  life('reached into', 'memory that is shared', [
    ['start', undefined, '$M serve h'],
    ['an anonymous shared mapping', 'processes', '$M tell h shared'],
    ['asleep with it', 'nothing', 'true'],
    ['a store into it', 'processes', '$M tell h store-shared 4 q'],
    ['a store by its child', 'processes', '$M tell h fork-writer w'],
    ['a child that only comes and goes', undefined, '$M tell h fork-and-reap'],
    ['a System V segment', 'processes', '$M tell h segment 77'],
    [
      'written by another',
      'processes',
      'python3 - <<X\nimport ctypes\nc=ctypes.CDLL(None)\nc.shmat.restype=ctypes.c_void_p\np=c.shmat(c.shmget(77,4096,0o600),None,0)\nctypes.memset(p+9,90,3)\nX',
    ],
    ['a memfd', undefined, '$M tell h memfd kept'],
    [
      'the memfd written by another',
      'processes',
      'p=$(pgrep -x mutate); echo over > /proc/$p/fd/$(ls -l /proc/$p/fd | sed -n "s/.* \\([0-9]*\\) -> .memfd.*/\\1/p")',
    ],
  ]),
  life('survivor runs', 'all the time', [
    ['start', undefined, '$M serve k'],
    ['counts by itself', 'processes', '$M tell k ticks'],
    ['still counts', 'processes', 'true'],
    ['counts beside a file', 'full', 'echo x > counted'],
  ]),
  life(
    'shell',
    'that is fed by a FIFO',
    [
      ['start', 'full', 'mkfifo feed; setsid sh -c "exec sh 0<> feed" > /dev/null 2>&1 & sleep 0.1'],
      ['idle', 'nothing', 'true'],
      ['a variable', 'processes', 'echo "A=one" > feed; sleep 0.1'],
      ['an exported variable', 'processes', 'echo "export B=two" > feed; sleep 0.1'],
      ['its directory', 'processes', 'echo "cd src" > feed; sleep 0.1'],
      ['a function', 'processes', 'echo "f() { echo \\$A > \\$1; }" > feed; sleep 0.1'],
      ['it writes a file', 'full', 'echo "f made" > feed; sleep 0.2'],
      ['an open descriptor', 'full', 'echo "exec 7> seven" > feed; sleep 0.1'],
      ['it runs a program', 'processes', 'echo "ls > /dev/null" > feed; sleep 0.2'],
      ['idle after all', 'nothing', 'cat src/made'],
      ['it ends', 'processes', 'echo "exit" > feed; sleep 0.1'],
    ],
    ['a variable', 'an open descriptor'],
  ),
  // It wakes up twice a second by itself: what it is after a rewind differs from what it was.
  life('server', 'of a developer', [
    [
      'starts',
      'processes',
      'setsid python3 -m http.server 8203 > /dev/null 2>&1 < /dev/null & for i in $(seq 100); do curl -s -o /dev/null 127.0.0.1:8203/ && break; sleep 0.05; done; sleep 0.2',
    ],
    ['is asked', 'processes', 'curl -s 127.0.0.1:8203/README.md; sleep 0.3'],
    ['ends', 'processes', 'pkill -f http.server; sleep 0.1'],
  ]),
];

/** Every lifeless thing a survivor can have, each alone: asleep with it is nothing, a file beside it is files. */
const belongings: readonly (readonly [string, string])[] = [
  ['nothing special', '$M tell z nothing'],
  ['a port', '$M tell z listen 8204'],
  ['an open file', '$M tell z open kept-open'],
  ['a private mapping', '$M tell z map-private README.md'],
  ['a pipe with bytes', '$M tell z pipe; $M tell z write bytes'],
  ['a socket pair', '$M tell z pair'],
  ['an inotify watch elsewhere', '$M tell z watch /opt'],
  ['a thread', '$M tell z thread'],
  ['a child', '$M tell z fork'],
  ['an anonymous shared mapping', '$M tell z shared'],
];

const idle: readonly Scenario[] = belongings.map(([name, prepare], index) =>
  life('survivor idle', `with ${name}`, [
    ['prepare', undefined, `${index === 0 ? '$M serve z; ' : ''}${prepare}`],
    ['true', 'nothing', 'true'],
    ['a look', 'nothing', 'ls -la > /dev/null; cat README.md'],
    ['a pipeline', 'nothing', 'seq 1 1000 | sort | wc -l'],
    ['a failed command', 'nothing', 'cat nowhere'],
    ['a file made', 'files', `echo ${index} > made-${index}`],
    ['a look after a file', 'nothing', `cat made-${index}`],
    ['made and removed', 'nothing', 'echo x > brief && rm brief'],
  ]),
);

export const processSuites: readonly Suite[] = [
  ...own.map((scenario) => ({ name: `${scenario.family}: ${scenario.name}`, scenarios: [scenario] })),
  { name: 'survivor idle', scenarios: idle },
];
