/**
 * One scripted reply, written in each of the four wire formats, streamed and whole. Only writes; what to say is decided elsewhere.
 */

import type { WireFormat } from '../turns/model-endpoint.ts';
import type { ScriptedCall } from './script-tools.ts';

export interface ScriptedReply {
  readonly model: string;
  readonly text: string;
  readonly call: (ScriptedCall & { readonly id: string }) | undefined;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A whole reply as JSON. */
export function wholeReply(format: WireFormat, reply: ScriptedReply): object {
  switch (format) {
    case 'openai-chat':
      return {
        id: 'chatcmpl-scripted',
        object: 'chat.completion',
        created: 0,
        model: reply.model,
        choices: [
          {
            index: 0,
            message: {
              role: 'assistant',
              content: reply.text,
              ...(reply.call ? { tool_calls: [chatCall(reply.call)] } : {}),
            },
            finish_reason: reply.call ? 'tool_calls' : 'stop',
          },
        ],
        usage: chatUsage(reply),
      };
    case 'openai-responses':
      return responsesObject(reply, 'completed', responsesItems(reply));
    case 'anthropic-messages':
      return {
        ...anthropicStart(reply),
        content: [
          { type: 'text', text: reply.text },
          ...(reply.call ? [anthropicCall(reply.call, reply.call.arguments)] : []),
        ],
        stop_reason: reply.call ? 'tool_use' : 'end_turn',
        usage: { input_tokens: reply.inputTokens, output_tokens: reply.outputTokens },
      };
    case 'gemini':
      return geminiChunk(reply, [{ text: reply.text }, ...geminiCalls(reply)], 'STOP');
  }
}

/** A streamed reply as server-sent events, in order. */
export function streamedReply(format: WireFormat, reply: ScriptedReply): readonly string[] {
  switch (format) {
    case 'openai-chat':
      return chatEvents(reply);
    case 'openai-responses':
      return responsesEvents(reply);
    case 'anthropic-messages':
      return anthropicEvents(reply);
    case 'gemini':
      return [
        ...pieces(reply.text).map((text) => event(geminiChunk(reply, [{ text }], undefined))),
        event(geminiChunk(reply, reply.call ? geminiCalls(reply) : [{ text: '' }], 'STOP')),
      ];
  }
}

function chatEvents(reply: ScriptedReply): string[] {
  const chunk = (delta: object, finish: string | null): string =>
    event({
      id: 'chatcmpl-scripted',
      object: 'chat.completion.chunk',
      created: 0,
      model: reply.model,
      choices: [{ index: 0, delta, finish_reason: finish }],
    });
  const call = reply.call;
  return [
    chunk({ role: 'assistant', content: '' }, null),
    ...pieces(reply.text).map((content) => chunk({ content }, null)),
    ...(call
      ? [
          chunk(
            {
              tool_calls: [
                { index: 0, id: call.id, type: 'function', function: { name: call.name, arguments: '' } },
              ],
            },
            null,
          ),
          ...pieces(JSON.stringify(call.arguments)).map((text) =>
            chunk({ tool_calls: [{ index: 0, function: { arguments: text } }] }, null),
          ),
        ]
      : []),
    chunk({}, call ? 'tool_calls' : 'stop'),
    event({
      id: 'chatcmpl-scripted',
      object: 'chat.completion.chunk',
      created: 0,
      model: reply.model,
      choices: [],
      usage: chatUsage(reply),
    }),
    'data: [DONE]\n\n',
  ];
}

function chatCall(call: NonNullable<ScriptedReply['call']>): object {
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: JSON.stringify(call.arguments) },
  };
}

function chatUsage(reply: ScriptedReply): object {
  return {
    prompt_tokens: reply.inputTokens,
    completion_tokens: reply.outputTokens,
    total_tokens: reply.inputTokens + reply.outputTokens,
  };
}

function responsesEvents(reply: ScriptedReply): string[] {
  const items = responsesItems(reply);
  const events: { type: string; [field: string]: unknown }[] = [
    { type: 'response.created', response: responsesObject(reply, 'in_progress', []) },
  ];
  for (const [index, item] of items.entries()) {
    events.push({
      type: 'response.output_item.added',
      output_index: index,
      item: { ...item, status: 'in_progress', ...emptyOf(item) },
    });
    if (item.type === 'message') {
      events.push(
        ...pieces(reply.text).map((delta) => ({
          type: 'response.output_text.delta',
          item_id: item.id,
          output_index: index,
          content_index: 0,
          delta,
        })),
      );
    }
    if (item.type === 'function_call') {
      events.push(
        ...pieces(JSON.stringify(reply.call?.arguments ?? {})).map((delta) => ({
          type: 'response.function_call_arguments.delta',
          item_id: item.id,
          output_index: index,
          delta,
        })),
      );
    }
    events.push({ type: 'response.output_item.done', output_index: index, item });
  }
  events.push({ type: 'response.completed', response: responsesObject(reply, 'completed', items) });
  return events.map((each, sequence) => {
    const numbered = { ...each, sequence_number: sequence };
    return namedEvent(numbered);
  });
}

/** What an item lacks when it has just begun. */
function emptyOf(item: ResponsesItem): object {
  return item.type === 'message' ? { content: [] } : { arguments: '' };
}

interface ResponsesItem {
  readonly type: string;
  readonly id: string;
}

function responsesItems(reply: ScriptedReply): readonly ResponsesItem[] {
  const message = {
    type: 'message',
    id: `msg_${reply.inputTokens}`,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text: reply.text, annotations: [] }],
  };
  if (!reply.call) return [message];
  const call = {
    type: 'function_call',
    id: `fc_${reply.call.id}`,
    call_id: reply.call.id,
    name: reply.call.name,
    arguments: JSON.stringify(reply.call.arguments),
    status: 'completed',
  };
  return [message, call];
}

function responsesObject(reply: ScriptedReply, status: string, output: readonly object[]): object {
  const usage = {
    input_tokens: reply.inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: reply.outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: reply.inputTokens + reply.outputTokens,
  };
  return {
    id: `resp_${reply.inputTokens}`,
    object: 'response',
    created_at: 0,
    status,
    model: reply.model,
    output,
    ...(status === 'completed' ? { usage } : {}),
  };
}

function anthropicEvents(reply: ScriptedReply): string[] {
  const call = reply.call;
  const events: { type: string }[] = [
    typed({ type: 'message_start', message: anthropicStart(reply) }),
    block('content_block_start', 0, { content_block: { type: 'text', text: '' } }),
    ...pieces(reply.text).map((text) =>
      block('content_block_delta', 0, { delta: { type: 'text_delta', text } }),
    ),
    block('content_block_stop', 0, {}),
  ];
  if (call) {
    events.push(
      block('content_block_start', 1, { content_block: anthropicCall(call, {}) }),
      ...pieces(JSON.stringify(call.arguments)).map((text) =>
        block('content_block_delta', 1, { delta: { type: 'input_json_delta', partial_json: text } }),
      ),
      block('content_block_stop', 1, {}),
    );
  }
  const end = {
    type: 'message_delta',
    delta: { stop_reason: call ? 'tool_use' : 'end_turn', stop_sequence: null },
    usage: { output_tokens: reply.outputTokens },
  };
  events.push(end, { type: 'message_stop' });
  return events.map(namedEvent);
}

function block(type: string, index: number, rest: object): { type: string } {
  return typed({ type, index, ...rest });
}

function anthropicStart(reply: ScriptedReply): object {
  return {
    id: `msg_${reply.inputTokens}`,
    type: 'message',
    role: 'assistant',
    model: reply.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: reply.inputTokens, output_tokens: 1 },
  };
}

function anthropicCall(call: NonNullable<ScriptedReply['call']>, input: object): object {
  return { type: 'tool_use', id: call.id, name: call.name, input };
}

function geminiChunk(
  reply: ScriptedReply,
  parts: readonly object[],
  finishReason: string | undefined,
): object {
  return {
    candidates: [
      {
        index: 0,
        content: { role: 'model', parts },
        ...(finishReason === undefined ? {} : { finishReason }),
      },
    ],
    modelVersion: reply.model,
    usageMetadata: {
      promptTokenCount: reply.inputTokens,
      candidatesTokenCount: reply.outputTokens,
      totalTokenCount: reply.inputTokens + reply.outputTokens,
    },
  };
}

function geminiCalls(reply: ScriptedReply): readonly object[] {
  return reply.call
    ? [{ functionCall: { id: reply.call.id, name: reply.call.name, args: reply.call.arguments } }]
    : [];
}

function event(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function namedEvent(value: { readonly type?: string }): string {
  return `event: ${value.type ?? 'message'}\n${event(value)}`;
}

/** A text in a few pieces, as a model would stream it. */
function pieces(text: string): readonly string[] {
  return text.match(/[\s\S]{1,48}/g) ?? [];
}

function typed<Event extends { readonly type: string }>(value: Event): Event {
  return value;
}
