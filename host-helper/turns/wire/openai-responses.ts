/**
 * OpenAI responses (`POST …/responses`), read on the side: Codex speaks it.
 * Shapes: https://platform.openai.com/docs/api-reference/responses. Unknown items and events are ignored.
 */

import { z } from 'zod';

import { ConversationBuilder } from './conversation-builder.ts';
import { historyDigest, resultsInOrder } from './wire-message.ts';
import type { ReplyReader, WireMessage, WireReader, WireRequest } from './wire-message.ts';

const contentSchema = z
  .union([
    z.string(),
    z.array(z.looseObject({ type: z.string().optional(), text: z.string().nullish() })),
    z.null(),
  ])
  .optional();

const actionSchema = z.looseObject({ command: z.union([z.string(), z.array(z.string())]).nullish() });

const itemSchema = z.looseObject({
  type: z.string().optional(),
  id: z.string().nullish(),
  role: z.string().nullish(),
  content: contentSchema,
  call_id: z.string().nullish(),
  name: z.string().nullish(),
  arguments: z.string().nullish(),
  input: z.string().nullish(),
  output: z.unknown().optional(),
  action: actionSchema.nullish(),
});
type Item = z.infer<typeof itemSchema>;

const requestSchema = z.looseObject({
  model: z.string().optional(),
  stream: z.boolean().nullish(),
  previous_response_id: z.string().nullish(),
  input: z.union([z.string(), z.array(itemSchema)]),
  tools: z
    .array(
      z.looseObject({ type: z.string(), name: z.string().nullish(), parameters: z.unknown().optional() }),
    )
    .nullish(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }).nullish() }).nullish(),
});

const responseSchema = z.looseObject({
  model: z.string().nullish(),
  status: z.string().nullish(),
  output: z.array(itemSchema).nullish(),
  usage: z.looseObject({ input_tokens: z.number().nullish(), output_tokens: z.number().nullish() }).nullish(),
  error: z.union([z.string(), z.looseObject({ message: z.string().nullish() })]).nullish(),
});
const eventSchema = z.looseObject({
  type: z.string(),
  delta: z.unknown().optional(),
  output_index: z.number().nullish(),
  item: itemSchema.nullish(),
  response: responseSchema.nullish(),
  message: z.string().nullish(),
  error: responseSchema.shape.error,
});

/** Errands that Codex marks in a header: they share the tools of the main loop but are not turns. */
const errands = /compact|memory|title|summar/;

export const openaiResponses: WireReader = {
  format: 'openai-responses',

  readRequest(path, headers, body): WireRequest | undefined {
    if (!/\/responses(\/compact)?$/.test(path)) return undefined;
    const request = requestSchema.parse(body);
    const items: readonly Item[] =
      typeof request.input === 'string'
        ? [{ role: 'user', content: request.input, output: undefined }]
        : request.input;
    const turns = resultsInOrder(
      items.filter(({ role }) => role !== 'system' && role !== 'developer'),
      (item) => (item.type?.endsWith('_output') === true ? item.call_id : undefined),
    );
    const tools = (request.tools ?? [])
      .filter(({ type }) => type === 'function' || type === 'custom' || type.includes('shell'))
      .map((tool) => ({
        name: tool.name ?? tool.type,
        schema: tool.parameters,
        freeform: tool.type === 'custom',
      }));
    const wantsJson =
      request.text?.format?.type === 'json_schema' || request.text?.format?.type === 'json_object';
    const errand = headers['x-openai-subagent'];
    return {
      model: request.model,
      streaming: request.stream === true,
      messages: turns.flatMap(toMessages),
      tools,
      side:
        tools.length === 0 ||
        wantsJson ||
        path.endsWith('/compact') ||
        (typeof errand === 'string' && errands.test(errand)),
      history: historyDigest([request.previous_response_id ?? null, turns.map(withoutReasoning)]),
    };
  },

  createReplyReader(): ReplyReader {
    const builder = new ConversationBuilder();
    const seenText = new Set<number>();

    // A finished item repeats what its deltas brought; an item just begun is only named.
    const addItem = (item: Item, index: number, finished: boolean): void => {
      const call = callOf(item);
      if (call) {
        builder.addCall(index, { id: call.id, name: call.name });
        if (finished && call.input !== '') builder.finishCall(index, call.input);
      } else if (item.type === 'message' && finished && !seenText.has(index)) {
        builder.addText(textOf(item.content));
        seenText.add(index);
      }
    };
    const addResponse = (response: z.infer<typeof responseSchema>): void => {
      builder.setModel(response.model);
      builder.setUsage(response.usage?.input_tokens, response.usage?.output_tokens);
      if (response.error) builder.setError(messageOf(response.error));
    };

    return {
      event: (data) => {
        if (data === '[DONE]') return 'final';
        const event = eventSchema.parse(JSON.parse(data));
        const index = event.output_index ?? 0;
        if (event.response) addResponse(event.response);
        if (event.item) addItem(event.item, index, event.type === 'response.output_item.done');
        if (event.type === 'response.output_text.delta' && typeof event.delta === 'string') {
          seenText.add(index);
          builder.addText(event.delta);
        } else if (/^response\.(function_call_arguments|custom_tool_call_input)\.delta$/.test(event.type)) {
          if (typeof event.delta === 'string') builder.addCall(index, { input: event.delta });
        } else if (event.type === 'error' || event.type === 'response.failed') {
          builder.setError(
            event.error ? messageOf(event.error) : (event.message ?? 'the model reported a failure'),
          );
        }
        return /^(response\.(completed|incomplete|failed)|error)$/.test(event.type) ? 'final' : 'partial';
      },
      body: (text) => {
        const response = responseSchema.parse(JSON.parse(text));
        addResponse(response);
        for (const [index, item] of (response.output ?? []).entries()) addItem(item, index, true);
      },
      conversation: () => builder.build(),
    };
  },
};

function toMessages(item: Item): WireMessage[] {
  const call = callOf(item);
  if (call) {
    return [{ role: 'assistant', text: '', calls: [{ id: call.id, name: call.name }], results: [] }];
  }
  if (item.type?.endsWith('_output')) {
    const output = typeof item.output === 'string' ? item.output : JSON.stringify(item.output ?? '');
    const failed = /"exit_code":\s*[1-9]|exited with code [1-9]/.test(output.slice(0, 2_000));
    return [
      {
        role: 'tool',
        text: '',
        calls: [],
        results: [{ id: item.call_id ?? '', text: output.slice(0, 500), failed }],
      },
    ];
  }
  if (item.role === 'user' || item.role === 'assistant') {
    return [{ role: item.role, text: textOf(item.content), calls: [], results: [] }];
  }
  return [];
}

function callOf(item: Item): { id: string; name: string; input: string } | undefined {
  const id = item.call_id ?? item.id ?? '';
  switch (item.type) {
    case 'function_call':
      return { id, name: item.name ?? '', input: item.arguments ?? '' };
    case 'custom_tool_call':
      return { id, name: item.name ?? '', input: item.input ?? '' };
    case 'local_shell_call':
    case 'shell_call':
      return { id, name: 'shell', input: JSON.stringify({ command: item.action?.command ?? '' }) };
    default:
      return undefined;
  }
}

/** Reasoning is sealed anew by some servers; it does not tell one request from another. */
function withoutReasoning(item: Item): Item | null {
  return item.type === 'reasoning' ? null : item;
}

function textOf(content: z.infer<typeof contentSchema>): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join('');
}

function messageOf(error: string | { message?: string | null | undefined }): string {
  return typeof error === 'string' ? error : (error.message ?? 'the model reported an error');
}
