/** Terminal work with processes that outlive their turns: servers, workers, a shell, a small database, whose memory is part of the task. */

import { run, write, type WorkloadTask } from './task.ts';

function task(each: Omit<WorkloadTask, 'family' | 'repository'>): WorkloadTask {
  return { family: 'shell-intensive', repository: false, ...each };
}

/** Asks a server on the sandbox's own loopback; prints the answer. By the shell alone: it is asked often. */
const ask = `#!/bin/bash
# ask.sh PORT PATH: prints what the server there answers.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 7
printf 'GET %s HTTP/1.0\\r\\n\\r\\n' "$2" >&3
read -r version status reason <&3
while IFS= read -r line <&3 && [ "$line" != $'\\r' ]; do :; done
cat <&3
echo
[ "$status" = 200 ]
`;

/** Starts a program in the background and waits until it answers on its port. */
const serve = `#!/bin/sh
# serve.sh PORT FILE: starts a server, unless it is there already, and waits until it answers.
bash ask.sh "$1" /health >/dev/null 2>&1 && exit 0
setsid nohup node "$2" "$1" >/tmp/$(basename "$2").log 2>&1 </dev/null &
for try in $(seq 50); do
  bash ask.sh "$1" /health >/dev/null 2>&1 && echo "it answers" && exit 0
  sleep 0.1
done
cat /tmp/$(basename "$2").log
exit 1
`;

/** A server's frame: \`handle(path, query)\` gives the text of the answer. */
function server(state: string, handle: string): string {
  return `import { createServer } from 'node:http';
import { appendFileSync, writeFileSync } from 'node:fs';
${state}
function handle(path, query) {
  if (path === '/health') return 'ok';
${handle}
  return undefined;
}
createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const text = handle(url.pathname, url.searchParams);
  response.writeHead(text === undefined ? 404 : 200, { connection: 'close' });
  response.end(text);
}).listen(Number(process.argv[2]), '127.0.0.1');
`;
}

const tools = { 'ask.sh': ask, 'serve.sh': serve };

export const shellProcessTasks: readonly WorkloadTask[] = [
  task({
    name: 'counter-service',
    prompt: 'Start the counter service, put some load on it and write down what it counted.',
    files: {
      ...tools,
      'counter.mjs': server(
        'const counts = new Map();',
        `  const name = query.get('name') ?? 'all';
  if (path === '/hit') { counts.set(name, (counts.get(name) ?? 0) + 1); return String(counts.get(name)); }
  if (path === '/count') return JSON.stringify(Object.fromEntries(counts));`,
      ),
    },
    steps: [
      run('The service.', 'ls -la; cat counter.mjs'),
      run('It runs in the background.', 'sh serve.sh 8081 counter.mjs'),
      run('Some load.', 'for i in 1 2 3; do bash ask.sh 8081 "/hit?name=a"; done'),
      run('What else is here?', 'grep -n hit *.mjs; wc -l *.sh'),
      run('More, under another name.', 'for i in 1 2; do bash ask.sh 8081 "/hit?name=b"; done'),
      run('A note of the half-way mark.', 'bash ask.sh 8081 /count > half.txt; cat half.txt'),
      run('Is it still the same process?', 'pgrep -fc "[c]ounter.mjs 8081"'),
      run('The rest of the load.', 'bash ask.sh 8081 "/hit?name=a"; bash ask.sh 8081 "/hit?name=c"'),
      run('The result.', 'bash ask.sh 8081 /count > result.txt; cat result.txt'),
    ],
    probes: ['bash ask.sh 8081 /count'],
    check: `test "$(cat result.txt)" = '{"a":4,"b":2,"c":1}' && test "$(cat half.txt)" = '{"a":3,"b":2}' && test "$(bash ask.sh 8081 /count)" = "$(cat result.txt)"`,
  }),
  task({
    name: 'job-queue',
    prompt: 'Run the job worker: queue the jobs, let it do them in order, and save its ledger.',
    files: {
      ...tools,
      'worker.mjs': server(
        'const queue = [];\nconst ledger = [];',
        `  if (path === '/add') { queue.push(query.get('job')); return String(queue.length); }
  if (path === '/work') {
    const job = queue.shift();
    if (job === undefined) return 'idle';
    ledger.push(job);
    appendFileSync('done.log', job + '\\n');
    return job;
  }
  if (path === '/state') return JSON.stringify({ queue, ledger });
  if (path === '/save') { writeFileSync('ledger.json', JSON.stringify(ledger)); return 'saved'; }`,
      ),
      'jobs.txt': 'resize\nrename\nupload\nnotify\narchive\n',
    },
    steps: [
      run('The jobs.', 'cat jobs.txt; grep -c path worker.mjs'),
      run('The worker.', 'sh serve.sh 8082 worker.mjs'),
      run('All jobs into the queue.', 'while read job; do bash ask.sh 8082 "/add?job=$job"; done < jobs.txt'),
      run('How does it stand?', 'bash ask.sh 8082 /state'),
      run('Two of them.', 'bash ask.sh 8082 /work; bash ask.sh 8082 /work'),
      run('What is done?', 'cat done.log'),
      run(
        'A job too many: it goes in at the end.',
        'bash ask.sh 8082 "/add?job=audit"; cp done.log done.bak',
      ),
      run('The rest.', 'for i in 1 2 3 4; do bash ask.sh 8082 /work; done'),
      run('Saved.', 'bash ask.sh 8082 /save; cat ledger.json; rm done.bak'),
      run('Everything in order?', 'wc -l done.log; bash ask.sh 8082 /state'),
    ],
    probes: ['bash ask.sh 8082 /state'],
    check: `test "$(cat ledger.json)" = '["resize","rename","upload","notify","archive","audit"]' && test $(wc -l < done.log) -eq 6 && test "$(bash ask.sh 8082 /work)" = idle && test ! -e done.bak`,
  }),
  task({
    name: 'open-transaction',
    prompt: 'Load the new prices into the price database in one transaction, check them, then commit.',
    files: {
      ...tools,
      'database.mjs': server(
        'const table = new Map();\nlet pending;',
        `  if (path === '/begin') { pending = new Map(table); return 'begun'; }
  if (path === '/put') { (pending ?? table).set(query.get('key'), query.get('value')); return 'put'; }
  if (path === '/get') return (pending ?? table).get(query.get('key')) ?? 'none';
  if (path === '/commit') {
    for (const [key, value] of pending) table.set(key, value);
    pending = undefined;
    writeFileSync('table.json', JSON.stringify([...table]));
    return String(table.size);
  }
  if (path === '/dump') return JSON.stringify({ table: [...table], pending: pending && [...pending] });`,
      ),
      'prices.txt': 'kettle 3490\nteapot 2250\ntimer 890\nspoon 150\n',
    },
    steps: [
      run('The prices.', 'cat prices.txt; ls'),
      run('The database.', 'sh serve.sh 8083 database.mjs'),
      run('An old price, committed at once.', 'bash ask.sh 8083 "/put?key=kettle&value=1"'),
      run(
        'The transaction.',
        'bash ask.sh 8083 /begin; while read k v; do bash ask.sh 8083 "/put?key=$k&value=$v"; done < prices.txt',
      ),
      run('Inside it the new price is seen.', 'bash ask.sh 8083 "/get?key=kettle"; ls'),
      run('The spoon is wrong; what does the list say?', 'grep spoon prices.txt'),
      run(
        'Corrected, still open.',
        `bash ask.sh 8083 "/put?key=spoon&value=175"; sed -i 's/spoon 150/spoon 175/' prices.txt`,
      ),
      run(
        'All of them as in the list?',
        'while read k v; do test "$(bash ask.sh 8083 "/get?key=$k")" = "$v" && echo "$k ok"; done < prices.txt',
      ),
      run('Commit.', 'bash ask.sh 8083 /commit; cat table.json'),
    ],
    probes: ['bash ask.sh 8083 /dump'],
    check: `test "$(cat table.json)" = '[["kettle","3490"],["teapot","2250"],["timer","890"],["spoon","175"]]' && test "$(bash ask.sh 8083 '/get?key=spoon')" = 175`,
  }),
  task({
    name: 'persistent-shell',
    prompt:
      'Work in one long-lived shell: set it up, collect values in its variables, and write them out at the end.',
    files: {
      'shell.sh': `#!/bin/sh
# shell.sh start | shell.sh COMMAND: a shell that lives on in the background and takes commands through a pipe.
if [ "$1" = start ]; then
  mkfifo /tmp/shell.in /tmp/shell.out
  setsid nohup bash -c 'exec 8<>/tmp/shell.in 9<>/tmp/shell.out; while IFS= read -r line <&8; do eval "$line" >&9 2>&1; echo "--- $?" >&9; done' >/dev/null 2>&1 </dev/null &
  set -- 'echo ready'
fi
printf '%s\\n' "$1" > /tmp/shell.in
while IFS= read -r line; do
  case $line in '--- '*) exit "\${line#--- }" ;; *) echo "$line" ;; esac
done < /tmp/shell.out
`,
      'numbers.txt': '4\n8\n15\n16\n23\n42\n',
    },
    steps: [
      run('What is asked for?', 'cat shell.sh numbers.txt'),
      run('The shell.', 'sh shell.sh start'),
      run(
        'Its surroundings.',
        `sh shell.sh 'export STAGE=one; mkdir -p work && cd work && pwd | grep -c work'`,
      ),
      run('Is it there?', 'pgrep -fc "[/]tmp/shell.in"'),
      run(
        'A function and a sum in a variable.',
        `sh shell.sh 'total=0; add() { total=$((total + $1)); }; for n in $(cat ../numbers.txt); do add $n; done; echo $total'`,
      ),
      run('Nothing of that is in a file.', 'ls -la work; grep -r total . | wc -l'),
      run(
        'An array, and the next stage.',
        `sh shell.sh 'list=(a b c); list+=(d); STAGE=two; umask 027; echo \${#list[@]}'`,
      ),
      run('One more number.', `sh shell.sh 'add 100; echo $total'`),
      run(
        'Written out, by the shell itself.',
        `sh shell.sh 'echo "$STAGE $total \${list[*]}" > result.txt'; cat work/result.txt`,
      ),
      run('The mode shows its umask.', 'stat -c %a work/result.txt'),
    ],
    probes: [`test ! -p /tmp/shell.in || sh shell.sh 'echo "$STAGE|$total|\${list[*]}|$(umask)|$PWD"'`],
    check: `test "$(cat work/result.txt)" = 'two 208 a b c d' && test "$(stat -c %a work/result.txt)" = 640 && test "$(sh shell.sh 'echo $total')" = 208`,
  }),
  task({
    name: 'inbox-watcher',
    prompt: 'Start the watcher that turns notes into pages, feed it, and fix its template on the way.',
    files: {
      'watch.mjs': `import { mkdirSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs';
let made = 0;
mkdirSync('outbox', { recursive: true });
watch('inbox', (_, name) => {
  if (name === null || !name.endsWith('.note')) return;
  let text;
  try { text = readFileSync('inbox/' + name, 'utf8'); } catch { return; }
  made += 1;
  const page = readFileSync('template.html', 'utf8').replace('TEXT', text.trim()).replace('NUMBER', String(made));
  writeFileSync('outbox/.page', page);
  renameSync('inbox/' + name, 'outbox/' + name);
  renameSync('outbox/.page', 'outbox/' + name.replace('.note', '.html'));
});
writeFileSync('/tmp/watcher.ready', '');
`,
      'template.html': '<p>TEXT</p> NUMBER\n',
      'inbox/.keep': '',
      'drop.sh': `#!/bin/sh
# drop.sh NAME TEXT: a note into the inbox, whole at once; waits for its page.
echo "$2" > "inbox/.$1" && mv "inbox/.$1" "inbox/$1.note"
for try in $(seq 100); do test -e "outbox/$1.html" && cat "outbox/$1.html" && exit; sleep 0.05; done
exit 1
`,
    },
    steps: [
      run('How does it work?', 'cat watch.mjs template.html; ls -A inbox'),
      run(
        'The watcher.',
        'setsid nohup node watch.mjs >/tmp/watcher.log 2>&1 </dev/null & for i in $(seq 100); do test -e /tmp/watcher.ready && break; sleep 0.05; done; pgrep -fc "[w]atch.mjs"',
      ),
      run('A first note.', 'sh drop.sh first "hello"'),
      run('The number is in the wrong place. Where is it made?', 'grep -n NUMBER watch.mjs template.html'),
      write('A better template.', 'template.html', '<h1>NUMBER</h1>\n<p>TEXT</p>\n'),
      run('A second note.', 'sh drop.sh second "world"'),
      run('What has been made?', 'ls outbox; cat outbox/*.html'),
      run('A third, to see it go on.', 'sh drop.sh third "again"; ls -A inbox'),
      run(
        'All pages in one.',
        'cat outbox/first.html outbox/second.html outbox/third.html > all.html; cat all.html',
      ),
    ],
    probes: [],
    check: `printf '<p>hello</p> 1\\n<h1>2</h1>\\n<p>world</p>\\n<h1>3</h1>\\n<p>again</p>\\n' | cmp - all.html && sh drop.sh probe x | grep -q '<h1>4</h1>'`,
  }),
  task({
    name: 'log-rotation',
    prompt:
      'The daemon writes one endless log. Rotate it without stopping the daemon, and check that nothing is lost.',
    files: {
      ...tools,
      'daemon.mjs': `import { closeSync, openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
let log = openSync('daemon.log', 'a');
let number = 0;
process.on('SIGUSR1', () => { closeSync(log); log = openSync('daemon.log', 'a'); });
createServer((request, response) => {
  if (request.url === '/line') writeSync(log, 'line ' + ++number + '\\n');
  response.writeHead(200, { connection: 'close' });
  response.end(request.url === '/health' ? 'ok' : String(number));
}).listen(8084, '127.0.0.1');
`,
    },
    steps: [
      run('The daemon.', 'cat daemon.mjs'),
      run('Started.', 'sh serve.sh 8084 daemon.mjs'),
      run('It writes.', 'for i in 1 2 3; do bash ask.sh 8084 /line; done; cat daemon.log'),
      run(
        'Moved away: it writes on into the old file.',
        'mv daemon.log daemon.log.1 && bash ask.sh 8084 /line && cat daemon.log.1',
      ),
      run('How does it open its log?', 'grep -n openSync daemon.mjs'),
      run(
        'The signal makes it open a new one.',
        'pkill -USR1 -f "[n]ode daemon.mjs"; for i in $(seq 50); do test -e daemon.log && break; sleep 0.05; done; bash ask.sh 8084 /line; cat daemon.log',
      ),
      run('The old one is packed.', 'gzip -n daemon.log.1 && ls'),
      run(
        'Removed under its feet: what it writes then is in no directory.',
        'rm daemon.log; bash ask.sh 8084 /line; ls',
      ),
      run(
        'But not lost.',
        'for f in /proc/$(pgrep -of "[n]ode daemon.mjs")/fd/*; do case $(readlink $f) in *daemon.log*) cat $f > rescued.log ;; esac; done; cat rescued.log',
      ),
      run(
        'A fresh log.',
        'pkill -USR1 -f "[n]ode daemon.mjs"; for i in $(seq 50); do test -e daemon.log && break; sleep 0.05; done; bash ask.sh 8084 /line; cat daemon.log',
      ),
    ],
    probes: [
      'bash ask.sh 8084 /count',
      `for f in /proc/$(pgrep -of '[n]ode daemon.mjs')/fd/*; do case $(readlink $f) in *daemon.log*) cat $f ;; esac; done`,
    ],
    check: `test "$(gzip -dc daemon.log.1.gz | tail -n 1)" = 'line 4' && test "$(cat rescued.log)" = "$(printf 'line 5\\nline 6')" && test "$(cat daemon.log)" = 'line 7'`,
  }),
  task({
    name: 'static-site',
    prompt: 'Build the little site with the shell script, serve it while you work, and fix the broken link.',
    files: {
      ...tools,
      'build.sh': `#!/bin/sh
# build.sh: every page of pages/ into site/, with a common frame.
mkdir -p site
for page in pages/*.txt; do
  name=$(basename "$page" .txt)
  { echo "<title>$name</title>"; sed 's#\\[\\([a-z]*\\)\\]#<a href="/\\1.html">\\1</a>#g' "$page"; } > "site/$name.html.new"
  cmp -s "site/$name.html.new" "site/$name.html" && rm "site/$name.html.new" || mv "site/$name.html.new" "site/$name.html"
done
`,
      'site.mjs': server(
        "import { existsSync, readFileSync } from 'node:fs';\nlet served = 0;",
        `  if (path === '/served') return String(served);
  if (!existsSync('site' + path)) return undefined;
  served += 1;
  return readFileSync('site' + path, 'utf8');`,
      ),
      'pages/index.txt': 'Welcome. See [about] and [prises].\n',
      'pages/about.txt': 'About us. Back to [index].\n',
      'pages/prices.txt': 'All for free. Back to [index].\n',
      'links.sh': `#!/bin/sh
# links.sh: asks the server for every link of every page.
for link in $(cat site/*.html | grep -o 'href="[^"]*"' | cut -d'"' -f2 | sort -u); do
  bash ask.sh 8085 "$link" >/dev/null && echo "ok $link" || echo "broken $link"
done
`,
    },
    steps: [
      run('What is here?', 'ls -R; cat build.sh'),
      run('Build.', 'sh build.sh; ls site'),
      run('Serve it.', 'sh serve.sh 8085 site.mjs'),
      run('Are the links whole?', 'sh links.sh'),
      run('Where does that one come from?', 'grep -rn prises pages site'),
      run('Mended.', `sed -i 's/prises/prices/' pages/index.txt && sh build.sh && cat site/index.html`),
      run('Building again changes nothing.', 'sh build.sh; ls -l site | wc -l'),
      run('And now?', 'sh links.sh | tee links.txt'),
      run('How much was asked for?', 'bash ask.sh 8085 /served > served.txt; cat served.txt'),
    ],
    probes: ['bash ask.sh 8085 /served'],
    check: `! grep -q broken links.txt && test $(wc -l < links.txt) -eq 3 && test "$(cat served.txt)" = 5 && test "$(bash ask.sh 8085 /served)" = 5`,
  }),
];
