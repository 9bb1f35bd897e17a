/**
 * Anthropic messages (`POST …/v1/messages`), read on the side.
 * Shapes: https://docs.anthropic.com/en/api/messages. Unknown fields, blocks and events are ignored.
 */

import { z } from 'zod';

import { ConversationBuilder } from './conversation-builder.ts';
import { historyDigest, resultsInOrder } from './wire-message.ts';
import type { ReplyReader, WireMessage, WireReader, WireRequest, WireToolResult } from './wire-message.ts';

const textPartSchema = z.looseObject({ type: z.string(), text: z.string().nullish() });
const blockSchema = z.looseObject({
  type: z.string(),
  text: z.string().nullish(),
  id: z.string().nullish(),
  name: z.string().nullish(),
  input: z.unknown().optional(),
  tool_use_id: z.string().nullish(),
  is_error: z.boolean().nullish(),
  content: z
    .union([z.string(), z.array(textPartSchema)])
    .nullish()
    .catch(null),
});

const requestSchema = z.looseObject({
  model: z.string().optional(),
  stream: z.boolean().nullish(),
  max_tokens: z.number().nullish(),
  output_format: z.unknown().optional(),
  output_config: z.looseObject({ format: z.unknown().optional() }).nullish(),
  tools: z
    .array(
      z.looseObject({ type: z.string().nullish(), name: z.string(), input_schema: z.unknown().optional() }),
    )
    .nullish(),
  messages: z.array(
    z.looseObject({ role: z.string(), content: z.union([z.string(), z.array(blockSchema)]) }),
  ),
});

const usageSchema = z
  .looseObject({
    input_tokens: z.number().nullish(),
    output_tokens: z.number().nullish(),
    cache_read_input_tokens: z.number().nullish(),
    cache_creation_input_tokens: z.number().nullish(),
  })
  .nullish();
const errorSchema = z.looseObject({ message: z.string().nullish(), type: z.string().nullish() }).nullish();
const messageSchema = z.looseObject({
  model: z.string().nullish(),
  content: z.array(blockSchema).nullish(),
  usage: usageSchema,
  error: errorSchema,
});
const eventSchema = z.looseObject({
  type: z.string(),
  index: z.number().nullish(),
  message: messageSchema.nullish(),
  content_block: blockSchema.nullish(),
  delta: z
    .looseObject({
      type: z.string().nullish(),
      text: z.string().nullish(),
      partial_json: z.string().nullish(),
    })
    .nullish(),
  usage: usageSchema,
  error: errorSchema,
});

/** Texts by which Claude Code marks requests that carry the tools (to share the cache) but are not turns. */
const errandText = /^\s*\[SUGGESTION MODE/;

export const anthropicMessages: WireReader = {
  format: 'anthropic-messages',

  readRequest(path, _headers, body): WireRequest | undefined {
    if (!/\/messages$/.test(path)) return undefined;
    const request = requestSchema.parse(body);
    const turns = request.messages
      .filter(({ role }) => role !== 'system')
      .map((message) =>
        typeof message.content === 'string' ? message : withResultsInOrder(message, message.content),
      );
    // Tools that the provider runs itself (web search) have a type and no schema.
    const tools = (request.tools ?? [])
      .filter((tool) => tool.input_schema !== undefined || /^(bash|text_editor)/.test(tool.type ?? ''))
      .map((tool) => ({ name: tool.name, schema: tool.input_schema, freeform: false }));
    const messages = turns.flatMap(toMessages);
    const wantsJson = request.output_format != null || request.output_config?.format != null;
    return {
      model: request.model,
      streaming: request.stream === true,
      messages,
      tools,
      side:
        tools.length === 0 ||
        wantsJson ||
        request.max_tokens === 1 ||
        errandText.test(messages.at(-1)?.text ?? ''),
      history: historyDigest(turns),
    };
  },

  createReplyReader(): ReplyReader {
    const builder = new ConversationBuilder();
    const addBlock = (block: z.infer<typeof blockSchema>, index: number, whole: boolean): void => {
      if (block.type === 'text') builder.addText(block.text);
      if (block.type !== 'tool_use') return;
      const input = whole ? JSON.stringify(block.input ?? {}) : '';
      builder.addCall(index, { id: block.id ?? null, name: block.name ?? null, input });
    };
    const addMessage = (message: z.infer<typeof messageSchema>): void => {
      builder.setModel(message.model);
      setUsage(builder, message.usage);
      if (message.error)
        builder.setError(message.error.message ?? message.error.type ?? 'the model reported an error');
    };
    return {
      event: (data) => {
        const event = eventSchema.parse(JSON.parse(data));
        if (event.message) addMessage(event.message);
        if (event.content_block) addBlock(event.content_block, event.index ?? 0, false);
        if (event.delta?.type === 'text_delta') builder.addText(event.delta.text);
        if (event.delta?.type === 'input_json_delta') {
          builder.addCall(event.index ?? 0, { input: event.delta.partial_json ?? null });
        }
        setUsage(builder, event.usage);
        if (event.error)
          builder.setError(event.error.message ?? event.error.type ?? 'the model reported an error');
        return event.type === 'message_stop' || event.type === 'error' ? 'final' : 'partial';
      },
      body: (text) => {
        const message = messageSchema.parse(JSON.parse(text));
        addMessage(message);
        for (const [index, block] of (message.content ?? []).entries()) addBlock(block, index, true);
      },
      conversation: () => builder.build(),
    };
  },
};

/** Cached input is input: the sum is what the model read. */
function setUsage(builder: ConversationBuilder, usage: z.infer<typeof usageSchema>): void {
  if (!usage) return;
  const read =
    usage.input_tokens == null
      ? undefined
      : usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  builder.setUsage(read, usage.output_tokens);
}

function withResultsInOrder<Message extends object>(
  message: Message,
  blocks: readonly z.infer<typeof blockSchema>[],
): Message & { content: z.infer<typeof blockSchema>[] } {
  const content = resultsInOrder(blocks, (block) =>
    block.type === 'tool_result' ? block.tool_use_id : undefined,
  );
  return { ...message, content };
}

/** One user message may hold results and then text; both orders are kept apart so that the last text is found. */
function toMessages(message: z.infer<typeof requestSchema>['messages'][number]): WireMessage[] {
  const blocks: readonly z.infer<typeof blockSchema>[] =
    typeof message.content === 'string'
      ? [{ type: 'text', text: message.content, input: undefined }]
      : message.content;
  const text = blocks
    .filter(({ type }) => type === 'text')
    .map((block) => block.text ?? '')
    .join('\n');
  if (message.role === 'assistant') {
    const calls = blocks
      .filter(({ type }) => type === 'tool_use')
      .map((block) => ({ id: block.id ?? '', name: block.name ?? '' }));
    return [{ role: 'assistant', text, calls, results: [] }];
  }
  const results: WireToolResult[] = blocks
    .filter(({ type }) => type === 'tool_result')
    .map((block) => ({
      id: block.tool_use_id ?? '',
      text: resultText(block.content).slice(0, 500),
      failed: block.is_error === true,
    }));
  const messages: WireMessage[] = [];
  if (results.length > 0) messages.push({ role: 'tool', text: '', calls: [], results });
  if (text !== '') messages.push({ role: 'user', text, calls: [], results: [] });
  return messages;
}

function resultText(content: z.infer<typeof blockSchema>['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join('');
}
