import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effects } from '../../../host-helper/protocol/state.ts';
import {
  costOf,
  factsOf,
  failed,
  markOf,
  restorable,
  spokenTurn,
  titleOf,
} from '../../../webview/view-model/turn-facts.ts';
import { turn } from './fixtures.ts';

function effects(change: {
  files?: Partial<Effects['files']>;
  processes?: Partial<Effects['processes']>;
}): Effects {
  return {
    files: { added: 0, changed: 0, removed: 0, entries: [], truncated: false, ...change.files },
    processes: { survivors: [], executed: [], executedCount: 0, ...change.processes },
    network: [],
    uncertain: [],
    droppedEvents: 0,
  };
}

test('a card says how many files, which way they changed, and what it cost', () => {
  const facts = factsOf(
    turn(1, 'files', { effects: effects({ files: { added: 2, changed: 1, removed: 1 } }) }),
  );
  assert.deepEqual(
    facts.map((fact) => fact.text),
    ['4 files', '+2', '~1', '−1', '3 KB · 6 ms hidden'],
  );
  assert.equal(facts[3]?.spoken, '1 removed');
});

test('a card names what lives on by its program and ports', () => {
  const survivors = [
    { pid: 3, command: '/usr/bin/node server.js', ports: [5173], startedInTurn: true, ran: true },
  ];
  assert.equal(
    factsOf(turn(1, 'processes', { effects: effects({ processes: { survivors } }) }))[0]?.text,
    'node :5173 lives on',
  );
});

test('a process that an earlier turn left running is not told again', () => {
  const survivors = [{ pid: 3, command: 'node', ports: [], startedInTurn: false, ran: true }];
  assert.ok(
    !factsOf(turn(2, 'files', { effects: effects({ processes: { survivors } }) })).some((fact) =>
      fact.text.includes('lives on'),
    ),
  );
});

test('a reply that was held back is said so, otherwise the time was hidden', () => {
  const base = turn(1, 'files').checkpoint;
  assert.ok(base);
  assert.equal(costOf(turn(1, 'files', { checkpoint: { ...base, heldMs: 42 } })), '3 KB · held 42 ms');
  assert.equal(costOf(turn(1, 'none')), '');
});

test('a turn that cannot be restored says so on its card and offers no rewind', () => {
  const base = turn(1, 'files').checkpoint;
  assert.ok(base);
  const lost = turn(1, 'files', { checkpoint: { ...base, restorable: false } });
  assert.ok(factsOf(lost).some((fact) => fact.text === 'not restorable' && fact.tone === 'caution'));
  assert.equal(restorable(lost), false);
  assert.equal(restorable(turn(1, 'files')), true);
});

test('a shell call is titled by its command, another tool by its name and object', () => {
  const called = (name: string, summary: string) =>
    titleOf(
      turn(1, 'none', { conversation: { text: '', toolCalls: [{ id: 'x', name, summary, input: '' }] } }),
    );
  assert.deepEqual(called('bash', 'npm test'), { words: '', code: 'npm test' });
  assert.deepEqual(called('edit', 'src/a.ts'), { words: 'Edit', code: 'src/a.ts' });
  assert.deepEqual(called('write', 'write src/a.ts'), { words: 'Write', code: 'src/a.ts' });
});

test('a failed test run is a failure, a grep without a match is not', () => {
  const ran = (program: string, exitCode: number) =>
    failed(
      turn(1, 'none', { effects: effects({ processes: { executed: [{ program, argv: [], exitCode }] } }) }),
    );
  assert.equal(ran('/usr/bin/npm', 1), true);
  assert.equal(ran('/usr/bin/grep', 1), false);
  assert.equal(ran('/usr/bin/npm', 0), false);
});

test('what a command names counts as failed, what a script tries on its way does not', () => {
  const called = (command: string, executed: { program: string; argv: string[]; exitCode: number }[]) =>
    failed(
      turn(1, 'none', {
        conversation: {
          text: '',
          toolCalls: [{ id: 'x', name: 'bash', summary: command, input: JSON.stringify({ command }) }],
        },
        effects: effects({ processes: { executed } }),
      }),
    );
  const probe = { program: '/usr/bin/node', argv: ['node', '-e', 'process.exit(1)'], exitCode: 1 };
  const tests = { program: '/usr/bin/node', argv: ['node', '--test'], exitCode: 1 };
  assert.equal(called('sh scripts/serve.sh', [probe]), false);
  assert.equal(called('node --test 2>&1 | tail -n 12', [tests]), true);
  const shell = { program: '/usr/bin/bash', argv: ['/bin/bash', '-c', 'make all'], exitCode: 2 };
  assert.equal(called('make all', [shell]), true);
});

test('a turn that asks is marked so whatever else it is', () => {
  assert.equal(markOf(turn(1, 'full'), true), 'asking');
  assert.equal(markOf(turn(1, 'full'), false), 'full');
  assert.equal(markOf(turn(1, 'none', { state: 'open' }), false), 'open');
});

test('a screen reader hears the class, which the eye sees as a shape', () => {
  assert.match(spokenTurn(turn(4, 'full'), false), /^Turn 4, turn 4, Full checkpoint/);
});
