/** One conversation in each wire format: a request after one tool call, and its reply streamed and whole. */

import type { Conversation } from '../../../../host-helper/protocol/state.ts';
import type { WireFormat } from '../../../../host-helper/turns/model-endpoint.ts';

export interface WireFixture {
  readonly path: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly messages: readonly object[];
  readonly stream: string;
  readonly json: string;
  readonly conversation: Conversation;
}

const input = '{"command":"echo \\"grün ✓\\" > notes.txt"}';
const text = 'Schön — ich schreibe 🎛️ it down.';
const args = JSON.parse(input) as object;

function conversation(id: string): Conversation {
  return {
    text,
    toolCalls: [{ id, name: 'bash', summary: 'echo "grün ✓" > notes.txt', input }],
    model: 'model-1',
    inputTokens: 120,
    outputTokens: 34,
  };
}

function messages(first: string): readonly object[] {
  return [
    { role: 'user', text: 'Grüße', calls: [], results: [] },
    { role: 'assistant', text: '', calls: [first], results: [] },
    { role: 'tool', text: '', calls: [], results: [first] },
  ];
}

function events(...values: readonly unknown[]): string {
  return values
    .map((value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`)
    .join('');
}

function named(...values: readonly { type: string; [field: string]: unknown }[]): string {
  return values.map((value) => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`).join('');
}

const halves = (value: string): [string, string] => [value.slice(0, 9), value.slice(9)];
const [text1, text2] = halves(text);
const [input1, input2] = halves(input);
const schema = { type: 'object', properties: { command: { type: 'string' } } };

const chunk = (delta: object, finish: string | null = null): object => ({
  id: 'c1',
  model: 'model-1',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

export const fixtures: Readonly<Record<WireFormat, WireFixture>> = {
  'openai-chat': {
    path: '/v1/chat/completions',
    request: {
      model: 'model-1',
      stream: true,
      messages: [
        { role: 'system', content: 'You are an agent.' },
        { role: 'user', content: [{ type: 'text', text: 'Grüße' }] },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'a1', type: 'function', function: { name: 'bash', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'a1', content: 'ok' },
      ],
      tools: [{ type: 'function', function: { name: 'bash', parameters: schema } }],
    },
    messages: messages('a1'),
    stream:
      ': keep-alive\n\n' +
      events(
        chunk({ role: 'assistant', content: '' }),
        chunk({ content: text1 }),
        chunk({ content: text2, reasoning_content: 'not shown' }),
        chunk({
          tool_calls: [{ index: 0, id: 'a2', type: 'function', function: { name: 'bash', arguments: '' } }],
        }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: input1 } }] }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: input2 } }] }),
        chunk({}, 'tool_calls'),
        {
          id: 'c1',
          model: 'model-1',
          choices: [],
          usage: { prompt_tokens: 120, completion_tokens: 34, total_tokens: 154 },
        },
        '[DONE]',
      ),
    json: JSON.stringify({
      model: 'model-1',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: text,
            tool_calls: [{ id: 'a2', type: 'function', function: { name: 'bash', arguments: input } }],
          },
          finish_reason: 'tool_calls',
        },
      ],
      usage: { prompt_tokens: 120, completion_tokens: 34 },
    }),
    conversation: conversation('a2'),
  },

  'openai-responses': {
    path: '/v1/responses',
    request: {
      model: 'model-1',
      stream: true,
      input: [
        { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'rules' }] },
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Grüße' }] },
        { type: 'reasoning', encrypted_content: 'sealed', summary: [] },
        { type: 'function_call', call_id: 'a1', name: 'bash', arguments: '{}' },
        { type: 'function_call_output', call_id: 'a1', output: 'ok' },
      ],
      tools: [{ type: 'function', name: 'bash', parameters: schema }, { type: 'web_search' }],
    },
    messages: messages('a1'),
    stream: named(
      {
        type: 'response.created',
        response: { id: 'r1', model: 'model-1', status: 'in_progress', output: [] },
      },
      { type: 'response.output_item.added', output_index: 0, item: { type: 'reasoning', id: 'rs1' } },
      { type: 'response.output_item.done', output_index: 0, item: { type: 'reasoning', id: 'rs1' } },
      {
        type: 'response.output_item.added',
        output_index: 1,
        item: { type: 'message', id: 'm1', role: 'assistant', content: [] },
      },
      { type: 'response.output_text.delta', output_index: 1, item_id: 'm1', delta: text1 },
      { type: 'response.output_text.delta', output_index: 1, item_id: 'm1', delta: text2 },
      {
        type: 'response.output_item.done',
        output_index: 1,
        item: { type: 'message', id: 'm1', role: 'assistant', content: [{ type: 'output_text', text }] },
      },
      {
        type: 'response.output_item.added',
        output_index: 2,
        item: { type: 'function_call', id: 'f1', call_id: 'a2', name: 'bash', arguments: '' },
      },
      { type: 'response.function_call_arguments.delta', output_index: 2, item_id: 'f1', delta: input1 },
      { type: 'response.function_call_arguments.delta', output_index: 2, item_id: 'f1', delta: input2 },
      {
        type: 'response.output_item.done',
        output_index: 2,
        item: { type: 'function_call', id: 'f1', call_id: 'a2', name: 'bash', arguments: input },
      },
      {
        type: 'response.completed',
        response: {
          id: 'r1',
          model: 'model-1',
          status: 'completed',
          usage: { input_tokens: 120, output_tokens: 34 },
        },
      },
    ),
    json: JSON.stringify({
      id: 'r1',
      model: 'model-1',
      status: 'completed',
      output: [
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text }] },
        { type: 'function_call', call_id: 'a2', name: 'bash', arguments: input },
      ],
      usage: { input_tokens: 120, output_tokens: 34 },
    }),
    conversation: conversation('a2'),
  },

  'anthropic-messages': {
    path: '/v1/messages',
    request: {
      model: 'model-1',
      stream: true,
      max_tokens: 32_000,
      system: [{ type: 'text', text: 'You are an agent.' }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Grüße' }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 's' },
            { type: 'tool_use', id: 'a1', name: 'bash', input: {} },
          ],
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'a1', content: [{ type: 'text', text: 'ok' }] }],
        },
      ],
      tools: [
        { name: 'bash', input_schema: schema },
        { type: 'web_search_20250305', name: 'web_search' },
      ],
    },
    messages: messages('a1'),
    stream: named(
      {
        type: 'message_start',
        message: {
          id: 'm1',
          role: 'assistant',
          model: 'model-1',
          content: [],
          usage: { input_tokens: 20, cache_read_input_tokens: 100, output_tokens: 1 },
        },
      },
      { type: 'ping' },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: text1 } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: text2 } },
      { type: 'content_block_stop', index: 0 },
      {
        type: 'content_block_start',
        index: 1,
        content_block: { type: 'tool_use', id: 'a2', name: 'bash', input: {} },
      },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: input1 } },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: input2 } },
      { type: 'content_block_stop', index: 1 },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 34 } },
      { type: 'message_stop' },
    ),
    json: JSON.stringify({
      id: 'm1',
      type: 'message',
      role: 'assistant',
      model: 'model-1',
      content: [
        { type: 'text', text },
        { type: 'tool_use', id: 'a2', name: 'bash', input: args },
      ],
      usage: { input_tokens: 20, cache_read_input_tokens: 100, output_tokens: 34 },
    }),
    conversation: conversation('a2'),
  },

  gemini: {
    path: '/v1beta/models/model-1:streamGenerateContent',
    request: {
      contents: [
        { role: 'user', parts: [{ text: 'Grüße' }] },
        { role: 'model', parts: [{ functionCall: { name: 'bash', args: {} } }] },
        { role: 'user', parts: [{ functionResponse: { name: 'bash', response: { output: 'ok' } } }] },
      ],
      systemInstruction: { parts: [{ text: 'You are an agent.' }] },
      tools: [{ functionDeclarations: [{ name: 'bash', parametersJsonSchema: schema }] }],
    },
    messages: messages('bash-0'),
    stream: events(
      {
        candidates: [{ content: { role: 'model', parts: [{ text: 'thinking', thought: true }] } }],
        modelVersion: 'model-1',
      },
      { candidates: [{ content: { role: 'model', parts: [{ text: text1 }] } }] },
      { candidates: [{ content: { role: 'model', parts: [{ text: text2 }] } }] },
      {
        candidates: [
          {
            content: { role: 'model', parts: [{ functionCall: { name: 'bash', args } }] },
            finishReason: 'STOP',
          },
        ],
        usageMetadata: { promptTokenCount: 120, candidatesTokenCount: 30, thoughtsTokenCount: 4 },
      },
    ),
    json: JSON.stringify({
      candidates: [
        {
          content: { role: 'model', parts: [{ text }, { functionCall: { name: 'bash', args } }] },
          finishReason: 'STOP',
        },
      ],
      modelVersion: 'model-1',
      usageMetadata: { promptTokenCount: 120, candidatesTokenCount: 30, thoughtsTokenCount: 4 },
    }),
    conversation: conversation('bash-1'),
  },
};
