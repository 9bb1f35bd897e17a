/** The bugs of the code-repair workload, as data: what is wrong, what is right, and the test that tells. */

import type { CodeBug } from './code-repair.ts';

export const codeBugs: readonly CodeBug[] = [
  {
    name: 'duration',
    language: 'js',
    complaint: '59.96 seconds are shown as "0:60.0".',
    symbol: 'formatDuration',
    module: `/** Milliseconds as minutes, seconds and tenths. */
export function formatDuration(ms) {
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1000;
  return \`\${minutes}:\${seconds.toFixed(1).padStart(4, '0')}\`;
}
`,
    test: `test('tenths are cut off', () => assert.equal(module.formatDuration(59_960), '0:59.9'));
test('a minute', () => assert.equal(module.formatDuration(60_000), '1:00.0'));
`,
    wrong: '(ms % 60_000) / 1000;',
    firstIdea: 'Math.min(59.94, (ms % 60_000) / 1000) + 0.01;',
    right: 'Math.floor((ms % 60_000) / 100) / 10;',
  },
  {
    name: 'paging',
    language: 'js',
    complaint: 'The last page is missing when it is not full.',
    symbol: 'pageCount',
    module: `export function pageCount(items, size) {
  return Math.floor(items / size);
}

export function page(list, number, size) {
  return list.slice((number - 1) * size, number * size);
}
`,
    test: `test('a page that is not full counts', () => assert.equal(module.pageCount(11, 5), 3));
test('full pages', () => assert.equal(module.pageCount(10, 5), 2));
test('the last one', () => assert.deepEqual(module.page([1, 2, 3], 2, 2), [3]));
`,
    wrong: 'Math.floor(items / size)',
    right: 'Math.ceil(items / size)',
  },
  {
    name: 'csv-quotes',
    language: 'js',
    complaint: 'A quoted field with a comma is split in two.',
    symbol: 'fields',
    module: `export function fields(line) {
  const found = [];
  let field = '';
  let quoted = false;
  for (const char of line) {
    if (char === '"') quoted = !quoted;
    else if (char === ',') {
      found.push(field);
      field = '';
    } else field += char;
  }
  return [...found, field];
}
`,
    test: `test('a comma in quotes', () => assert.deepEqual(module.fields('a,"b,c",d'), ['a', 'b,c', 'd']));
test('nothing quoted', () => assert.deepEqual(module.fields('a,,b'), ['a', '', 'b']));
`,
    wrong: "char === ','",
    firstIdea: "char === ',' && field !== ''",
    right: "char === ',' && !quoted",
  },
  {
    name: 'deep-merge',
    language: 'js',
    complaint: 'Merging settings changes the defaults.',
    symbol: 'merge',
    module: `export function merge(base, over) {
  const result = base;
  for (const [key, value] of Object.entries(over)) {
    const both = typeof value === 'object' && typeof result[key] === 'object';
    result[key] = both ? merge(result[key], value) : value;
  }
  return result;
}
`,
    test: `test('defaults stay', () => {
  const base = { a: 1, in: { b: 2 } };
  assert.deepEqual(module.merge(base, { in: { c: 3 } }), { a: 1, in: { b: 2, c: 3 } });
  assert.deepEqual(base, { a: 1, in: { b: 2 } });
});
`,
    wrong: 'const result = base;',
    right: 'const result = { ...base };',
  },
  {
    name: 'roman',
    language: 'perl',
    complaint: 'Four is written IIII.',
    symbol: 'roman',
    module: `my @steps = ([10, 'X'], [9, 'IX'], [5, 'V'], [1, 'I']);

sub roman {
    my ($number) = @_;
    my $text = '';
    for my $step (@steps) {
        while ($number >= $step->[0]) {
            $text .= $step->[1];
            $number -= $step->[0];
        }
    }
    return $text;
}
`,
    test: `is(Module::roman(4), 'IV', 'four');
is(Module::roman(9), 'IX', 'nine');
is(Module::roman(17), 'XVII', 'seventeen');
`,
    wrong: "[5, 'V'], [1, 'I']",
    right: "[5, 'V'], [4, 'IV'], [1, 'I']",
  },
  {
    name: 'trim',
    language: 'perl',
    complaint: 'Only the blanks on the left are removed.',
    symbol: 'trim',
    module: `sub trim {
    my ($text) = @_;
    $text =~ s/^\\s+//;
    return $text;
}
`,
    test: `is(Module::trim('  a b '), 'a b', 'both sides');
is(Module::trim(''), '', 'nothing');
`,
    wrong: 's/^\\s+//;',
    firstIdea: 's/\\s+$//;',
    right: 's/^\\s+|\\s+$//g;',
  },
  {
    name: 'median',
    language: 'perl',
    complaint: 'The median of numbers above nine is wrong.',
    symbol: 'median',
    module: `sub median {
    my @sorted = sort @_;
    return $sorted[$#sorted / 2];
}
`,
    test: `is(Module::median(1, 2, 10), 2, 'of three');
is(Module::median(30, 9, 200, 4, 100), 30, 'of five');
`,
    wrong: 'sort @_',
    right: 'sort { $a <=> $b } @_',
  },
  {
    name: 'file-name',
    language: 'sh',
    complaint: 'Names with blanks are cut.',
    symbol: 'extension',
    module: `# The part of a file's name after the last dot, in small letters.
extension() {
  name=$(basename $1)
  case $name in
    *.*) echo "\${name##*.}" | tr A-Z a-z ;;
    *) echo none ;;
  esac
}
`,
    test: `is "$(extension 'a b.TXT' 2>/dev/null)" txt 'a blank'
is "$(extension /x/y.tar.GZ)" gz 'a path'
is "$(extension README)" none 'no dot'
`,
    wrong: 'basename $1',
    right: 'basename "$1"',
  },
  {
    name: 'sum-column',
    language: 'sh',
    complaint: 'The sum leaves out the last line when it has no newline.',
    symbol: 'sum_column',
    module: `# Sum of the first column of what is read.
sum_column() {
  sum=0
  while read -r first rest; do
    sum=$((sum + first))
  done
  echo "$sum"
}
`,
    test: `is "$(printf '1 a\\n2 b\\n' | sum_column)" 3 'whole lines'
is "$(printf '1 a\\n2 b' | sum_column)" 3 'the last line without its end'
`,
    wrong: 'while read -r first rest; do',
    firstIdea: 'while read -r first; do',
    right: 'while read -r first rest || [ -n "$first" ]; do',
  },
  {
    name: 'retry',
    language: 'sh',
    complaint: 'retry gives up one try too early.',
    symbol: 'retry',
    module: `# retry TIMES COMMAND: until it succeeds, so many times at most.
retry() {
  left=$1
  shift
  while [ "$left" -gt 1 ]; do
    "$@" && return 0
    left=$((left - 1))
  done
  return 1
}
`,
    test: `tries=0
third() { tries=$((tries + 1)); [ "$tries" -eq 3 ]; }
retry 3 third && got=yes || got=no
is "$got" yes 'the last try counts'
tries=0
retry 2 third && got=yes || got=no
is "$got" no 'not more than that'
`,
    wrong: '-gt 1',
    right: '-gt 0',
  },
  {
    name: 'ring-buffer',
    language: 'c',
    complaint: 'The ring loses the oldest value one too early.',
    symbol: 'ring_put',
    module: `#define SIZE 4
static int values[SIZE];
static int count, start;

void ring_clear(void) {
    count = start = 0;
}

void ring_put(int value) {
    values[(start + count) % SIZE] = value;
    if (count < SIZE - 1)
        count++;
    else
        start = (start + 1) % SIZE;
}

int ring_get(int at) {
    return values[(start + at) % SIZE];
}

int ring_count(void) {
    return count;
}
`,
    test: `    ring_clear();
    for (int i = 1; i <= 4; i++) ring_put(i);
    IS(ring_count(), 4, "it holds four");
    IS(ring_get(0), 1, "the oldest is there");
    ring_put(5);
    IS(ring_get(0), 2, "then it goes");
`,
    wrong: 'count < SIZE - 1',
    firstIdea: 'count <= SIZE',
    right: 'count < SIZE',
  },
  {
    name: 'binary-search',
    language: 'c',
    complaint: 'The last element is never found.',
    symbol: 'search',
    module: `int search(const int *sorted, int length, int wanted) {
    int low = 0, high = length - 1;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (sorted[middle] == wanted)
            return middle;
        if (sorted[middle] < wanted)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}
`,
    test: `    const int list[] = {1, 3, 5, 7, 9};
    IS(search(list, 5, 9), 4, "the last");
    IS(search(list, 5, 1), 0, "the first");
    IS(search(list, 5, 4), -1, "one that is not there");
`,
    wrong: 'low < high',
    right: 'low <= high',
  },
  {
    name: 'word-count',
    language: 'c',
    complaint: 'Two blanks in a row count as a word.',
    symbol: 'words',
    module: `int words(const char *text) {
    int count = 0;
    for (size_t at = 0; at < strlen(text); at++) {
        if (text[at] != ' ' && text[at + 1] == ' ')
            count++;
        else if (text[at] == ' ' && text[at + 1] == ' ')
            count++;
    }
    return count + 1;
}
`,
    test: `    IS(words("one two"), 2, "two");
    IS(words("one  two three"), 3, "a wide gap");
`,
    wrong: `        else if (text[at] == ' ' && text[at + 1] == ' ')
            count++;
`,
    right: '',
  },
];
