import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nextReply, titleFor } from '../../../host-helper/demo/script.ts';
import type { Script } from '../../../host-helper/demo/script.ts';
import { callFor } from '../../../host-helper/demo/script-tools.ts';
import { streamedReply, wholeReply } from '../../../host-helper/demo/scripted-replies.ts';
import { ReplyTap } from '../../../host-helper/turns/reply-tap.ts';
import type { WireFormat } from '../../../host-helper/turns/model-endpoint.ts';
import { wireReaders } from '../../../host-helper/turns/wire/wire-formats.ts';
import type { WireMessage, WireRequest } from '../../../host-helper/turns/wire/wire-message.ts';

const step = (command: string) => ({ say: `I run ${command}`, tool: { kind: 'bash', command } as const });
const scripts: readonly Script[] = [
  {
    title: 'Main work',
    keyword: undefined,
    steps: [step('one'), step('two'), step('three')],
    closings: [
      { when: 'refused', say: 'It was refused.' },
      { when: undefined, say: 'All done.' },
    ],
  },
  {
    title: 'Other way',
    keyword: 'fake clock',
    steps: [step('four'), step('five')],
    closings: [{ when: undefined, say: 'Other done.' }],
  },
];

const user = (text: string): WireMessage => ({ role: 'user', text, calls: [], results: [] });
const turn = (id: string, output = 'ok'): WireMessage[] => [
  { role: 'assistant', text: 'x', calls: [{ id, name: 'bash' }], results: [] },
  { role: 'tool', text: '', calls: [], results: [{ id, text: output, failed: false }] },
];

function request(...messages: WireMessage[]): WireRequest {
  return { model: 'm', streaming: true, messages, tools: [], side: false, history: '' };
}

function said(...messages: WireMessage[]): string {
  return nextReply(scripts, request(...messages)).say;
}

test('the next step follows from the calls in the history', () => {
  assert.equal(said(user('go')), 'I run one');
  assert.equal(said(user('go'), ...turn('a')), 'I run two');
  assert.equal(said(user('go'), ...turn('a'), ...turn('b'), ...turn('c')), 'All done.');
  assert.equal(
    said(user('go'), ...turn('a'), ...turn('b'), ...turn('c', 'it was refused')),
    'It was refused.',
  );
});

test('"Continue." changes nothing, wherever it stands', () => {
  assert.equal(said(user('go'), ...turn('a'), user('Continue.')), 'I run two');
  assert.equal(
    said(user('go'), ...turn('a'), user('Continue.'), ...turn('b'), user('"Continue."')),
    'I run three',
  );
});

test('a keyword in a later message takes the other script from its start', () => {
  const history = [user('go'), ...turn('a'), user('try a FAKE CLOCK instead')];
  assert.equal(said(...history), 'I run four');
  assert.equal(said(...history, ...turn('b'), user('Continue.')), 'I run five');
  assert.equal(said(...history, ...turn('b'), ...turn('c')), 'Other done.');
});

test('call ids are unique in a conversation and equal when asked again', () => {
  assert.equal(nextReply(scripts, request(user('go'), ...turn('a'))).callNumber, 1);
  assert.equal(nextReply(scripts, request(user('go'), ...turn('a'))).callNumber, 1);
});

test('a title follows the script that the prompt chooses', () => {
  assert.equal(titleFor(scripts, request(user('Generate a title'), user('use a fake clock'))), 'Other way');
  assert.equal(titleFor(scripts, request(user('go'))), 'Main work');
});

const strings = (...names: string[]) => ({
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
  required: names.slice(0, 1),
});
const tool = (name: string, schema: unknown) => ({ name, schema, freeform: false });

test("a step becomes a call of the agent's own shell tool", () => {
  const bash = { kind: 'bash', command: 'ls' } as const;
  assert.deepEqual(callFor(bash, [tool('bash', strings('command'))]), {
    name: 'bash',
    arguments: { command: 'ls' },
  });
  assert.deepEqual(callFor(bash, [tool('exec_command', strings('cmd'))]), {
    name: 'exec_command',
    arguments: { cmd: 'ls' },
  });
  assert.deepEqual(
    callFor(bash, [tool('shell', { properties: { command: { type: 'array' } } })])?.arguments,
    { command: ['bash', '-lc', 'ls'] },
  );
  assert.deepEqual(
    callFor(bash, [
      tool('Bash', {
        properties: {
          command: { type: 'string' },
          description: { type: 'string' },
          sandbox: { type: 'boolean' },
        },
        required: ['command', 'description', 'sandbox'],
      }),
    ])?.arguments,
    { command: 'ls', description: 'Run the command', sandbox: false },
  );
  assert.equal(callFor(bash, [tool('web_search', strings('query'))]), undefined);
});

test("an edit uses pi's own tool, and the shell with other agents", () => {
  const edit = {
    kind: 'edit',
    path: 'a.js',
    oldText: 'x',
    newText: 'y',
    command: 'sed -i s/x/y/ a.js',
  } as const;
  const pi = [tool('bash', strings('command')), tool('edit', { properties: { path: {}, edits: {} } })];
  assert.deepEqual(callFor(edit, pi), {
    name: 'edit',
    arguments: { path: 'a.js', edits: [{ oldText: 'x', newText: 'y' }] },
  });
  const other = [
    tool('bash', strings('command')),
    tool('edit', strings('filePath', 'oldString', 'newString')),
  ];
  assert.deepEqual(callFor(edit, other)?.arguments, { command: 'sed -i s/x/y/ a.js' });
});

for (const format of [
  'openai-chat',
  'openai-responses',
  'anthropic-messages',
  'gemini',
] as const satisfies WireFormat[]) {
  test(`${format}: what the scripted model writes reads back the same, streamed and whole`, () => {
    const reply = {
      model: 'm-1',
      text: 'Ünder way. '.repeat(20),
      call: { id: 'call_0001', name: 'bash', arguments: { command: 'echo "grün"; '.repeat(9) } },
      inputTokens: 7,
      outputTokens: 3,
    };
    const read = (contentType: string, text: string) => {
      const tap = new ReplyTap(wireReaders[format].createReplyReader(request()), 200, {
        'content-type': contentType,
      });
      tap.feed(Buffer.from(text));
      tap.end();
      assert.ok(tap.answered);
      return tap.conversation();
    };
    const streamed = read('text/event-stream', streamedReply(format, reply).join(''));
    assert.deepEqual(read('application/json', JSON.stringify(wholeReply(format, reply))), streamed);
    assert.equal(streamed.text, reply.text);
    assert.deepEqual(
      streamed.toolCalls.map(({ id, input }) => [id, JSON.parse(input)]),
      [['call_0001', reply.call.arguments]],
    );
    assert.deepEqual([streamed.model, streamed.inputTokens, streamed.outputTokens], ['m-1', 7, 3]);
  });
}
