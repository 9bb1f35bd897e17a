/** One conversation, written in each of the four wire formats: for tests that hold for all of them. */

import type { WireFormat } from '../../../host-helper/turns/model-endpoint.ts';

export type Said =
  | { readonly user: string }
  | { readonly calls: readonly string[]; readonly text?: string }
  | { readonly results: readonly string[] };

export interface Asked {
  readonly path: string;
  readonly body: string;
}

interface Options {
  readonly tools?: boolean;
  readonly stream?: boolean;
}

const parameters = { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] };
const input = { command: 'true' };

export const speakers: Readonly<Record<WireFormat, (said: readonly Said[], options?: Options) => Asked>> = {
  'openai-chat': (said, { tools = true, stream = true } = {}) => ({
    path: '/v1/chat/completions',
    body: JSON.stringify({
      model: 'm',
      stream,
      ...(tools ? { tools: [{ type: 'function', function: { name: 'bash', parameters } }] } : {}),
      messages: [
        { role: 'system', content: 'You are an agent.' },
        ...said.flatMap((each): object[] => {
          if ('user' in each) return [{ role: 'user', content: each.user }];
          if ('results' in each)
            return each.results.map((id) => ({ role: 'tool', tool_call_id: id, content: `did ${id}` }));
          const calls = each.calls.map((id) => ({
            id,
            type: 'function',
            function: { name: 'bash', arguments: JSON.stringify(input) },
          }));
          return [{ role: 'assistant', content: each.text ?? '', tool_calls: calls }];
        }),
      ],
    }),
  }),

  'openai-responses': (said, { tools = true, stream = true } = {}) => ({
    path: '/v1/responses',
    body: JSON.stringify({
      model: 'm',
      stream,
      ...(tools ? { tools: [{ type: 'function', name: 'bash', parameters }] } : {}),
      input: said.flatMap((each): object[] => {
        if ('user' in each)
          return [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: each.user }] }];
        if ('results' in each)
          return each.results.map((id) => ({
            type: 'function_call_output',
            call_id: id,
            output: `did ${id}`,
          }));
        const said = each.text ?? '';
        const message = {
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_text', text: said }],
        };
        const calls = each.calls.map((id) => ({
          type: 'function_call',
          call_id: id,
          name: 'bash',
          arguments: JSON.stringify(input),
        }));
        return [...(said === '' ? [] : [message]), ...calls];
      }),
    }),
  }),

  'anthropic-messages': (said, { tools = true, stream = true } = {}) => ({
    path: '/v1/messages',
    body: JSON.stringify({
      model: 'm',
      max_tokens: 1000,
      stream,
      ...(tools ? { tools: [{ name: 'bash', input_schema: parameters }] } : {}),
      messages: said.map((each) => {
        if ('user' in each) return { role: 'user', content: [{ type: 'text', text: each.user }] };
        if ('results' in each) {
          const results = each.results.map((id) => ({
            type: 'tool_result',
            tool_use_id: id,
            content: [{ type: 'text', text: `did ${id}` }],
          }));
          return { role: 'user', content: results };
        }
        const calls = each.calls.map((id) => ({ type: 'tool_use', id, name: 'bash', input }));
        return { role: 'assistant', content: [{ type: 'text', text: each.text ?? 'Yes.' }, ...calls] };
      }),
    }),
  }),

  gemini: (said, { tools = true, stream = true } = {}) => ({
    path: stream ? '/v1beta/models/m:streamGenerateContent?alt=sse' : '/v1beta/models/m:generateContent',
    body: JSON.stringify({
      ...(tools
        ? { tools: [{ functionDeclarations: [{ name: 'bash', parametersJsonSchema: parameters }] }] }
        : {}),
      contents: said.map((each) => {
        if ('user' in each) return { role: 'user', parts: [{ text: each.user }] };
        if ('results' in each) {
          const parts = each.results.map((id) => ({
            functionResponse: { id, name: 'bash', response: { output: `did ${id}` } },
          }));
          return { role: 'user', parts };
        }
        const calls = each.calls.map((id) => ({ functionCall: { id, name: 'bash', args: input } }));
        return {
          role: 'model',
          parts: [...(each.text === undefined ? [] : [{ text: each.text }]), ...calls],
        };
      }),
    }),
  }),
};

/** Requests that belong to no turn, with a path of their own. */
export const errands: Readonly<Record<WireFormat, readonly Asked[]>> = {
  'openai-chat': [
    { path: '/v1/embeddings', body: JSON.stringify({ model: 'e', input: 'text' }) },
    { path: '/v1/models', body: '' },
  ],
  'openai-responses': [
    { path: '/v1/responses/input_tokens', body: JSON.stringify({ model: 'm', input: 'text' }) },
    { path: '/v1/embeddings', body: JSON.stringify({ model: 'e', input: 'text' }) },
  ],
  'anthropic-messages': [
    {
      path: '/v1/messages/count_tokens',
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'go' }] }),
    },
  ],
  gemini: [
    {
      path: '/v1beta/models/m:countTokens',
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'go' }] }] }),
    },
    { path: '/v1beta/models/e:embedContent', body: JSON.stringify({ content: { parts: [{ text: 'go' }] } }) },
  ],
};
