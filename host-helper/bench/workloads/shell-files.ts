/** Terminal work on files: logs, tables, archives, system files, permissions. No process outlives its turn. */

import { lcg, run, write, type WorkloadTask } from './task.ts';

function task(each: Omit<WorkloadTask, 'family' | 'repository' | 'probes'>): WorkloadTask {
  return { family: 'shell-intensive', repository: false, probes: [], ...each };
}

/** Makes a tree with everything that the rules forbid. */
const makeTree = `#!/bin/sh
umask 022
mkdir -p "$1/data" "$1/tools" "$1/keys"
for i in 1 2 3 4 5 6; do
  echo "row $((i % 3))" > "$1/data/$i.dat"
  echo "#!/bin/sh" > "$1/tools/$i.sh"
  ln -s "../data/$((i * 2)).dat" "$1/tools/link-$i"
done
echo secret > "$1/keys/main.key"
chmod 666 "$1"/data/*.dat "$1/keys/main.key"
`;

export const shellFileTasks: readonly WorkloadTask[] = [
  task({
    name: 'log-report',
    prompt: 'The shop was slow last night. Find out who hammered it and write report.csv and blocklist.txt.',
    files: {
      'logs/access.log': accessLog(4_000),
      'README.md': '# logs\nOne request a line: time, address, path, status, milliseconds.\n',
    },
    steps: [
      run(
        'I look at what there is.',
        'ls -la . logs; cat README.md; head -n 3 logs/access.log; wc -l logs/access.log',
      ),
      run(
        'How are the answers spread?',
        "awk '{ n[$4]++ } END { for (s in n) print s, n[s] }' logs/access.log | sort",
      ),
      run(
        'Who asks most?',
        "awk '{ print $2 }' logs/access.log | sort | uniq -c | sort -k1,1nr -k2 | head -n 5",
      ),
      run(
        'The report first.',
        `mkdir -p out && awk '{ n[$2]++; ms[$2] += $5 } END { for (a in n) printf "%s,%d,%d\\n", a, n[a], ms[a] / n[a] }' logs/access.log | sort -t, -k2,2nr -k1,1 > out/report.csv && wc -l out/report.csv`,
      ),
      run('Are the averages plausible?', 'head -n 5 out/report.csv; tail -n 2 out/report.csv'),
      run(
        'Errors by hour, on a scratch file.',
        "grep -E ' 5[0-9][0-9] ' logs/access.log > /tmp/errors.txt; cut -c1-13 /tmp/errors.txt | sort | uniq -c; rm /tmp/errors.txt",
      ),
      run(
        'Those above the limit are blocked.',
        "awk -F, '$2 > 420 { print $1 }' out/report.csv > blocklist.txt; cat blocklist.txt",
      ),
      run(
        'The log can be packed now.',
        'gzip -n logs/access.log && ls logs && mv out/report.csv report.csv && rmdir out',
      ),
      run('A last look.', 'gzip -dc logs/access.log.gz | wc -l; ls -R .'),
    ],
    check:
      "test -s report.csv && test -s blocklist.txt && test ! -e out && test $(gzip -dc logs/access.log.gz | wc -l) -eq 4000 && awk -F, 'NR == FNR { b[$1]; next } ($2 > 420) != ($1 in b) { exit 1 }' blocklist.txt report.csv",
  }),
  task({
    name: 'table-join',
    prompt: 'Join orders and customers into a clean table, with totals by country.',
    files: { 'orders.csv': orders(600), 'customers.csv': customers(60) },
    steps: [
      run('The two tables.', 'head -n 4 orders.csv customers.csv; wc -l *.csv'),
      run('Are there broken rows?', `awk -F, 'NF != 4 || $3 !~ /^[0-9]+$/' orders.csv | head`),
      run(
        'They go into a file of their own.',
        `mkdir -p clean && awk -F, 'NF == 4 && $3 ~ /^[0-9]+$/ { print > "clean/orders.csv"; next } { print > "clean/rejected.csv" }' orders.csv && wc -l clean/*`,
      ),
      run('What was rejected?', 'cat clean/rejected.csv | sort | head -n 20'),
      run(
        'Now the join.',
        'LC_ALL=C sort -t, -k2,2 -k1,1 clean/orders.csv > clean/a && LC_ALL=C sort -t, -k1,1 customers.csv > clean/b && LC_ALL=C join -t, -1 2 -2 1 clean/a clean/b > clean/joined.csv && rm clean/a clean/b && head -n 2 clean/joined.csv',
      ),
      run('Does every order have its customer?', 'wc -l clean/orders.csv clean/joined.csv'),
      run(
        'Totals by country.',
        `awk -F, '{ sum[$6] += $3 } END { for (c in sum) print c "," sum[c] }' clean/joined.csv | LC_ALL=C sort > totals.csv; cat totals.csv`,
      ),
      run(
        'The same by perl, to be sure.',
        `perl -F, -lane '$s{$F[5]} += $F[2]; END { print "$_,$s{$_}" for sort keys %s }' clean/joined.csv | cmp - totals.csv && echo equal`,
      ),
      write(
        'A note for whoever comes next.',
        'clean/README',
        'joined.csv: customer, order, cents, day, name, country\n',
      ),
    ],
    check: `test -s totals.csv && test $(wc -l < clean/orders.csv) -eq $(wc -l < clean/joined.csv) && grep -q 'customer, order' clean/README`,
  }),
  task({
    name: 'release-archive',
    prompt: 'Make release 1.2 of the tool as an archive, install it below /opt and switch the current link.',
    files: {
      'src/greet.sh': '#!/bin/sh\necho "hello from $(cat "$(dirname "$0")/VERSION")"\n',
      'src/VERSION': '1.1\n',
      'src/docs/usage.txt': 'greet.sh greets.\n',
      CHANGES: '1.1 first\n',
    },
    steps: [
      run('What is to be released?', 'find . -type f | sort; cat src/VERSION CHANGES'),
      run(
        'The version goes up.',
        `echo 1.2 > src/VERSION && printf '1.2 second\\n' | cat - CHANGES > CHANGES.new && mv CHANGES.new CHANGES`,
      ),
      run('Does it run?', 'sh src/greet.sh'),
      run(
        'The archive, the same whoever makes it.',
        `mkdir -p dist && tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -C src -cf - . | gzip -n > dist/greet-1.2.tar.gz && sha256sum dist/greet-1.2.tar.gz > dist/SUMS`,
      ),
      run('What is in it?', 'tar tzf dist/greet-1.2.tar.gz; sha256sum -c dist/SUMS'),
      run(
        'I install the old one as it was, then the new one beside it.',
        `mkdir -p /opt/greet/1.1 /opt/greet/1.2 && cp -a src/. /opt/greet/1.1 && echo 1.1 > /opt/greet/1.1/VERSION && tar xzf dist/greet-1.2.tar.gz -C /opt/greet/1.2 && ln -s 1.1 /opt/greet/current`,
      ),
      run('Before the switch.', '/opt/greet/current/greet.sh; ls -l /opt/greet'),
      run(
        'The switch, at once.',
        'ln -s 1.2 /opt/greet/next && mv -T /opt/greet/next /opt/greet/current && /opt/greet/current/greet.sh',
      ),
      run(
        'A command for everybody.',
        'ln -sf /opt/greet/current/greet.sh /usr/local/bin/greet && rm -r /opt/greet/1.1 && ls /opt/greet',
      ),
    ],
    check: `test "$(readlink /opt/greet/current)" = 1.2 && test ! -e /opt/greet/1.1 && test -L /usr/local/bin/greet && test "$(sh /opt/greet/current/greet.sh)" = 'hello from 1.2' && sha256sum -c dist/SUMS`,
  }),
  task({
    name: 'system-settings',
    prompt:
      'Set this machine up for the team: a service account, its settings, a profile snippet and a host name.',
    files: { 'settings.env': 'PORT=8080\nMODE=staging\nNAME=depot\n' },
    steps: [
      run(
        'What is there now?',
        'cat settings.env; ls /etc/profile.d; grep -c . /etc/passwd; tail -n 2 /etc/hosts',
      ),
      run(
        'The account.',
        `grep -q '^depot:' /etc/group || { echo 'depot:x:4711:' >> /etc/group; echo 'depot:x:4711:4711::/opt/depot:/usr/sbin/nologin' >> /etc/passwd; }; getent passwd depot`,
      ),
      run(
        'Its settings.',
        `mkdir -p /etc/depot && sed 's/^MODE=.*/MODE=production/' settings.env > /etc/depot/depot.conf && chown -R 4711:4711 /etc/depot && chmod 640 /etc/depot/depot.conf`,
      ),
      run(
        'As they should be?',
        'stat -c "%n %a %U %G" /etc/depot /etc/depot/depot.conf; cat /etc/depot/depot.conf',
      ),
      run(
        'For every shell.',
        `echo 'export DEPOT_CONF=/etc/depot/depot.conf' > /etc/profile.d/depot.sh && . /etc/profile.d/depot.sh && echo $DEPOT_CONF`,
      ),
      run(
        'The host name.',
        `grep -q depot.internal /etc/hosts 2>/dev/null || echo '10.9.8.7 depot.internal' >> /etc/hosts; getent hosts depot.internal || grep depot /etc/hosts`,
      ),
      run(
        'A mistake in the account: the home is elsewhere.',
        `sed -i 's#:/opt/depot:#:/var/lib/depot:#' /etc/passwd && mkdir -p /var/lib/depot && chown 4711:4711 /var/lib/depot && getent passwd depot`,
      ),
      run(
        'And my own shell knows it too.',
        `echo '. /etc/profile.d/depot.sh' >> ~/.profile && tail -n 1 ~/.profile`,
      ),
      run('All of it once more.', 'ls -ld /etc/depot /var/lib/depot; id depot'),
    ],
    check: `grep -q '^depot:x:4711:4711::/var/lib/depot' /etc/passwd && grep -q MODE=production /etc/depot/depot.conf && test "$(stat -c %a /etc/depot/depot.conf)" = 640 && grep -q depot /etc/hosts && test -d /var/lib/depot && grep -q depot ~/.profile`,
  }),
  task({
    name: 'tool-install',
    prompt: 'Build the counting tool from its tarball, install it below /usr/local and use it on the corpus.',
    files: {
      'corpus/a.txt': 'one two three two\n',
      'corpus/b.txt': 'three three four\n',
      'tool/Makefile': `PREFIX = /usr/local
wordcount: wordcount.c
	cc -O1 -o wordcount wordcount.c
install: wordcount
	install -D -m755 wordcount $(PREFIX)/bin/wordcount
	install -D -m644 wordcount.1 $(PREFIX)/share/man/man1/wordcount.1
clean:
	rm -f wordcount
`,
      'tool/wordcount.1': '.TH wordcount 1\n',
      'tool/wordcount.c': `#include <stdio.h>
int main(void) {
    int c, in = 0;
    long words = 0;
    while ((c = getchar()) != EOF) {
        int space = c == ' ' || c == '\\n' || c == '\\t';
        if (!space && !in) words++;
        in = !space;
    }
    printf("%ld\\n", words);
    return 0;
}
`,
    },
    steps: [
      run('What do I have?', 'ls -R . | head -n 30; cat tool/Makefile'),
      run(
        'It comes as a tarball usually; I make one to install from.',
        'tar --sort=name --mtime=@1700000000 --owner=0 --group=0 -czf /tmp/tool.tar.gz tool 2>/dev/null; mkdir -p ~/build && tar xzf /tmp/tool.tar.gz -C ~/build && ls ~/build/tool',
      ),
      run('Build it.', 'cd ~/build/tool && make 2>&1'),
      run('Building again does nothing.', 'cd ~/build/tool && make 2>&1'),
      run('Does it count?', 'cat corpus/*.txt | ~/build/tool/wordcount'),
      run('Install it.', 'cd ~/build/tool && make install 2>&1 && ls -l /usr/local/bin/wordcount'),
      run(
        'Use it.',
        'for f in corpus/*.txt; do printf "%s %s\\n" "$f" "$(wordcount < $f)"; done > counts.txt; cat counts.txt',
      ),
      run('Tidy up the build.', 'rm -rf ~/build /tmp/tool.tar.gz; command -v wordcount'),
    ],
    check: `test -x /usr/local/bin/wordcount && test -e /usr/local/share/man/man1/wordcount.1 && test "$(cat counts.txt)" = "$(printf 'corpus/a.txt 4\\ncorpus/b.txt 3')" && test ! -e ~/build`,
  }),
  task({
    name: 'permissions',
    prompt: 'The shared tree has wrong owners, modes and links. Put it in order and write an inventory.',
    files: {
      'make-tree.sh': makeTree,
      'rules.txt': 'scripts 755, data 640, secret 600, no world-writable files, one copy of equal files\n',
    },
    steps: [
      run('The rules, and how the tree is made.', 'cat rules.txt make-tree.sh'),
      run('The tree.', 'sh make-tree.sh shared && find shared | sort | wc -l'),
      run('What is writable for everybody?', 'find shared -type f -perm -o+w | sort'),
      run(
        'Modes first.',
        'find shared -name "*.sh" -exec chmod 755 {} + && find shared -name "*.dat" -exec chmod 640 {} + && find shared -name "*.key" -exec chmod 600 {} +',
      ),
      run('None left?', 'find shared -type f -perm -o+w | wc -l'),
      run(
        'Owners, and a group that new files inherit.',
        'chown -R 4711:4712 shared/data && chmod 2770 shared/data && touch shared/data/new.dat && stat -c "%n %a %g" shared/data shared/data/new.dat',
      ),
      run('Links that lead nowhere.', 'find shared -xtype l | sort; find shared -xtype l -delete'),
      run(
        'Equal files become one.',
        `cd shared && find . -type f -name '*.dat' -size +0 -exec sha256sum {} + | sort | awk '$1 == last { print first, $2; next } { last = $1; first = $2 }' | while read a b; do ln -f "$a" "$b"; done; find . -type f -links +1 | sort`,
      ),
      run(
        'The inventory.',
        `find shared -printf '%P %y %m %U %G %n\\n' | LC_ALL=C sort > inventory.txt; wc -l inventory.txt`,
      ),
    ],
    check: `test $(find shared -type f -perm -o+w | wc -l) -eq 0 && test -z "$(find shared -xtype l)" && test $(find shared -type f -links +1 | wc -l) -gt 1 && test "$(stat -c %a shared/data)" = 2770 && find shared -printf '%P %y %m %U %G %n\\n' | LC_ALL=C sort | cmp - inventory.txt`,
  }),
  task({
    name: 'photo-sorting',
    prompt: 'Sort the pictures into folders by month, without duplicates, and keep an index.',
    files: Object.fromEntries(
      Array.from({ length: 60 }, (_, at) => [`inbox/img-${String(at).padStart(3, '0')}.txt`, picture(at)]),
    ),
    steps: [
      run(
        'How many, and how do they look?',
        'ls inbox | wc -l; head -n 3 inbox/img-000.txt inbox/img-001.txt',
      ),
      run('Duplicates?', `sha256sum inbox/* | awk '{ print $1 }' | sort | uniq -d | wc -l`),
      run(
        'A dry run.',
        `for f in inbox/*; do echo "$f -> $(sed -n 's/^date: \\([0-9]*-[0-9]*\\).*/\\1/p' $f)"; done | head -n 5`,
      ),
      run(
        'Duplicates go aside.',
        `mkdir -p duplicates && sha256sum inbox/* | sort | awk '$1 == last { print $2 } { last = $1 }' | while read f; do mv "$f" duplicates/; done; ls duplicates | wc -l`,
      ),
      run(
        'Now by month.',
        `for f in inbox/*; do m=$(sed -n 's/^date: \\([0-9]*-[0-9]*\\).*/\\1/p' "$f"); mkdir -p "sorted/$m"; mv "$f" "sorted/$m/"; done; ls sorted`,
      ),
      run('Nothing left behind?', 'ls -A inbox | wc -l; find sorted -type f | wc -l'),
      run(
        'The index.',
        `rmdir inbox; (cd sorted && find . -type f | LC_ALL=C sort | while read f; do echo "$f $(sed -n 's/^title: //p' "$f")"; done) > index.txt; head -n 2 index.txt`,
      ),
      run('The duplicates are not needed.', 'rm -r duplicates; ls'),
      run('A link to the newest.', 'ln -s "$(ls -d sorted/* | tail -n 1)" newest && ls newest/ | head -n 2'),
    ],
    check: `test ! -e inbox && test ! -e duplicates && test -L newest && test $(wc -l < index.txt) -eq $(find sorted -type f | wc -l) && test -z "$(find sorted -type f -exec sha256sum {} + | awk '{ print $1 }' | sort | uniq -d)"`,
  }),
];

function accessLog(lines: number): string {
  const next = lcg(7);
  const rows: string[] = [];
  for (let at = 0; at < lines; at += 1) {
    const minute = Math.floor(at / 20);
    const time = `2025-03-03T${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
    const roll = (next() >>> 8) % 100;
    const address = roll < 12 ? '10.0.0.66' : `10.0.1.${(next() >>> 8) % 40}`;
    const status = roll % 23 === 0 ? 503 : roll % 11 === 0 ? 404 : 200;
    rows.push(`${time} ${address} /item/${(next() >>> 8) % 90} ${status} ${5 + ((next() >>> 8) % 400)}`);
  }
  return rows.join('\n') + '\n';
}

function orders(count: number): string {
  const next = lcg(11);
  return (
    Array.from({ length: count }, (_, at) => {
      const cents = at % 37 === 5 ? 'n/a' : String(100 + ((next() >>> 8) % 9000));
      const row = [
        `o${at}`,
        `c${String((next() >>> 8) % 60).padStart(2, '0')}`,
        cents,
        `2025-03-${String(1 + (at % 28)).padStart(2, '0')}`,
      ];
      return (at % 91 === 7 ? row.slice(0, 2) : row).join(',');
    }).join('\n') + '\n'
  );
}

function customers(count: number): string {
  const countries = ['at', 'be', 'ch', 'de', 'dk'];
  return (
    Array.from(
      { length: count },
      (_, at) => `c${String(at).padStart(2, '0')},Customer ${at},${countries[at % countries.length] ?? ''}`,
    ).join('\n') + '\n'
  );
}

function picture(at: number): string {
  const shown = at % 7 === 6 ? at - 1 : at;
  return `date: 2025-${String(1 + (shown % 5)).padStart(2, '0')}-11\ntitle: picture ${shown}\n${'#'.repeat(200 + shown)}\n`;
}
