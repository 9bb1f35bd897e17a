import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { formatPatch } from '../../../host-helper/cli/format/patch.ts';
import { printable, type Style } from '../../../host-helper/cli/format/style.ts';
import { formatTable } from '../../../host-helper/cli/format/table.ts';
import { treeRows } from '../../../host-helper/cli/format/turns.ts';
import { formatAgo, formatDuration, formatSize, plural } from '../../../host-helper/cli/format/units.ts';
import { aSession, aTurn } from '../server/fake-helper.ts';

const same = (text: string): string => text;
const plain: Style = {
  strong: same,
  faint: same,
  good: same,
  bad: same,
  warn: same,
  accent: same,
  process: same,
};

describe('units', () => {
  test('sizes keep at most three digits and never say 1000 kB', () => {
    const cases: [number, string][] = [
      [0, '0 B'],
      [999, '999 B'],
      [1000, '1.0 kB'],
      [9_949, '9.9 kB'],
      [9_951, '10 kB'],
      [999_499, '999 kB'],
      [999_500, '1.0 MB'],
      [2.5e12, '2.5 TB'],
    ];
    for (const [sizeBytes, text] of cases) assert.equal(formatSize(sizeBytes), text);
  });

  test('durations read as people say them', () => {
    const cases: [number, string][] = [
      [0, '0 ms'],
      [999, '999 ms'],
      [1_234, '1.2 s'],
      [59_400, '59 s'],
      [60_000, '1 min'],
      [125_000, '2 min 5 s'],
      [3_600_000, '1 h'],
      [12_000_000, '3 h 20 min'],
      [400_000_000, '4 days'],
    ];
    for (const [durationMs, text] of cases) assert.equal(formatDuration(durationMs), text);
  });

  test('times past are rounded down', () => {
    assert.deepEqual(
      [500, 59_999, 3_599_999, 7_200_000, 300_000_000].map((ms) => formatAgo(0, ms)),
      ['now', '59 s ago', '59 min ago', '2 h ago', '3 days ago'],
    );
  });

  test('one is not many', () => {
    assert.deepEqual(
      [plural(1, 'file'), plural(2, 'file'), plural(0, 'process', 'processes')],
      ['1 file', '2 files', '0 processes'],
    );
  });
});

describe('printable', () => {
  test('shows what would drive a terminal or turn words around, and leaves all other text', () => {
    assert.equal(printable('ok é 漢 🙂'), 'ok é 漢 🙂');
    assert.equal(
      printable('a\u001b[31m\u0007\u009b\u202e\u2066b\r'),
      String.raw`a\u001b[31m\u0007\u009b\u202e\u2066b\u000d`,
    );
    assert.equal(printable('a\nb\tc'), 'a⏎b c');
    assert.equal(printable('a\nb\tc', { lines: true }), 'a\nb\tc');
  });
});

describe('table', () => {
  test('columns line up, numbers to the right, and nothing is cut without a width', () => {
    const text = formatTable(
      [
        ['a', '1', 'x'.repeat(300)],
        ['bbb', '22', 'y'],
      ],
      { head: ['N', 'C', 'WHAT'], right: [1] },
    );
    assert.deepEqual(text.split('\n'), ['N     C  WHAT', `a     1  ${'x'.repeat(300)}`, 'bbb  22  y']);
  });

  test('the last column gives way to the terminal', () => {
    const lines = formatTable([['a', 'word '.repeat(40)]], { width: 60 }).split('\n');
    assert.equal(lines.length, 1);
    assert.ok((lines[0] ?? '').length <= 60 && (lines[0] ?? '').endsWith('…'));
  });
});

describe('turn tree', () => {
  test('thousands of turns, and turns that follow a missing one, do not break it', () => {
    const turns = Array.from({ length: 20_000 }, (_, id) => aTurn({ id, parent: id === 0 ? null : id - 1 }));
    const rows = treeRows(aSession({ turns, head: 19_999 }));
    assert.equal(rows.length, 20_000);
    assert.ok(rows.every((row) => row.depth === 0 && row.onLine));
  });

  test('a turn that is being worked on stands on the line, after its head', () => {
    const turns = [
      aTurn({ id: 0, parent: null }),
      aTurn({ id: 1, parent: 0 }),
      aTurn({ id: 2, parent: 0 }),
      aTurn({ id: 3, parent: 2, state: 'open' }),
    ];
    const shown = (head: number): unknown =>
      treeRows(aSession({ turns, head })).map(({ turn, depth }) => [turn.id, depth]);
    assert.deepEqual(shown(2), [
      [0, 0],
      [1, 1],
      [2, 0],
      [3, 0],
    ]);
    assert.deepEqual(shown(1), [
      [0, 0],
      [2, 1],
      [3, 1],
      [1, 0],
    ]);
  });

  test('what was set aside comes before the line goes on, one step deeper for each fork', () => {
    const turns = [
      [0, null],
      [1, 0],
      [2, 1],
      [3, 1],
      [4, 3],
      [5, 3],
    ].map(([id, parent]) => aTurn({ id: id ?? 0, parent: parent ?? null }));
    const rows = treeRows(aSession({ turns, head: 2 }));
    assert.deepEqual(
      rows.map(({ turn, depth }) => [turn.id, depth]),
      [
        [0, 0],
        [1, 0],
        [3, 1],
        [5, 2],
        [4, 1],
        [2, 0],
      ],
    );
  });
});

describe('patch', () => {
  const texts = {
    empty: '',
    short: 'a\nb\nc\n',
    long: Array.from({ length: 60 }, (_, line) => `line ${line}\n`).join(''),
    edited:
      Array.from({ length: 60 }, (_, line) =>
        line === 3 || line === 8 ? `LINE ${line}\n` : line === 40 ? '' : `line ${line}\n`,
      ).join('') + 'end\n',
    near: Array.from({ length: 60 }, (_, line) =>
      [10, 17, 25].includes(line) ? `LINE ${line}\n` : `line ${line}\n`,
    ).join(''),
    noEnd: 'a\nb\nc',
    noEndEdited: 'a\nB\nc',
  };

  for (const [from, to] of [
    ['long', 'edited'],
    ['edited', 'long'],
    ['long', 'near'],
    ['short', 'noEnd'],
    ['noEnd', 'noEndEdited'],
    ['empty', 'short'],
    ['short', 'empty'],
  ] as const) {
    test(`from ${from} to ${to} is a patch that \`patch\` takes, and as long as diff's own`, (t) => {
      if (spawnSync('patch', ['--version']).error || spawnSync('diff', ['--version']).error)
        return t.skip('needs diff and patch');
      const directory = mkdtempSync(join(tmpdir(), 'tt-patch-'));
      try {
        const file = join(directory, 'f');
        const target = join(directory, 'wanted');
        writeFileSync(file, texts[from]);
        writeFileSync(target, texts[to]);
        const made =
          formatPatch(
            '/f',
            { content: Buffer.from(texts[from]) },
            { content: Buffer.from(texts[to]) },
            plain,
            true,
          ) + '\n';
        const reference = spawnSync('diff', ['-u', file, target], { encoding: 'utf8' }).stdout;
        assert.deepEqual(made.split('\n').slice(2), reference.split('\n').slice(2));
        const applied = spawnSync('patch', ['-p1', '-d', directory], { input: made, encoding: 'utf8' });
        assert.equal(applied.status, 0, applied.stdout + applied.stderr);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    });
  }

  test('binary files are named and not shown; control characters are shown as such on a terminal', () => {
    const binary = formatPatch('/b', undefined, { content: Buffer.from([0, 1, 2]) }, plain, false);
    assert.equal(binary, '--- /dev/null\n+++ b/b\n(binary, or too large to compare here)');
    const hostile = formatPatch('/h', undefined, { content: Buffer.from('x\u001b[2J\n') }, plain, false);
    assert.ok(hostile.endsWith(String.raw`+x\u001b[2J`));
  });
});
