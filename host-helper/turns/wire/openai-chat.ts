/**
 * OpenAI chat completions (`POST …/chat/completions`), read on the side: the agents' most common format.
 * Shapes: https://platform.openai.com/docs/api-reference/chat. Unknown fields are ignored.
 */

import { z } from 'zod';

import { ConversationBuilder } from './conversation-builder.ts';
import { historyDigest, resultsInOrder } from './wire-message.ts';
import type { ReplyReader, WireMessage, WireReader, WireRequest } from './wire-message.ts';

const contentSchema = z
  .union([
    z.string(),
    z.array(z.looseObject({ type: z.string().optional(), text: z.string().optional() })),
    z.null(),
  ])
  .optional();

const requestSchema = z.looseObject({
  model: z.string().optional(),
  stream: z.boolean().nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  tools: z
    .array(
      z.looseObject({
        function: z.looseObject({ name: z.string(), parameters: z.unknown().optional() }).optional(),
      }),
    )
    .nullish(),
  messages: z.array(
    z.looseObject({
      role: z.string(),
      content: contentSchema,
      tool_call_id: z.string().nullish(),
      tool_calls: z
        .array(
          z.looseObject({
            id: z.string().default(''),
            function: z.looseObject({ name: z.string() }).optional(),
          }),
        )
        .nullish(),
    }),
  ),
});

const callPieceSchema = z.looseObject({
  index: z.number().nullish(),
  id: z.string().nullish(),
  function: z.looseObject({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});
const partSchema = z
  .looseObject({ content: contentSchema, tool_calls: z.array(callPieceSchema).nullish() })
  .nullish();
const replySchema = z.looseObject({
  model: z.string().nullish(),
  choices: z
    .array(z.looseObject({ finish_reason: z.string().nullish(), delta: partSchema, message: partSchema }))
    .nullish(),
  usage: z
    .looseObject({ prompt_tokens: z.number().nullish(), completion_tokens: z.number().nullish() })
    .nullish(),
  error: z.union([z.string(), z.looseObject({ message: z.string().nullish() })]).nullish(),
});

export const openaiChat: WireReader = {
  format: 'openai-chat',

  readRequest(path, _headers, body): WireRequest | undefined {
    if (!/\/chat\/completions$/.test(path)) return undefined;
    const request = requestSchema.parse(body);
    const turns = resultsInOrder(
      request.messages.filter(({ role }) => role !== 'system' && role !== 'developer'),
      (message) => (message.role === 'tool' ? message.tool_call_id : undefined),
    );
    const tools = (request.tools ?? []).flatMap((tool) =>
      tool.function ? [{ name: tool.function.name, schema: tool.function.parameters, freeform: false }] : [],
    );
    const wantsJson = request.response_format != null && request.response_format.type !== 'text';
    return {
      model: request.model,
      streaming: request.stream === true,
      messages: turns.map(toMessage),
      tools,
      side: tools.length === 0 || wantsJson,
      history: historyDigest(turns),
    };
  },

  createReplyReader(): ReplyReader {
    const builder = new ConversationBuilder();
    let stopped = false;
    const read = (json: string): void => {
      const reply = replySchema.parse(JSON.parse(json));
      builder.setModel(reply.model);
      builder.setUsage(reply.usage?.prompt_tokens, reply.usage?.completion_tokens);
      if (reply.error) {
        builder.setError(
          typeof reply.error === 'string'
            ? reply.error
            : (reply.error.message ?? 'the model reported an error'),
        );
      }
      const choice = reply.choices?.[0];
      if (choice?.finish_reason) stopped = true;
      const part = choice?.delta ?? choice?.message;
      builder.addText(textOf(part?.content));
      for (const [position, call] of (part?.tool_calls ?? []).entries()) {
        builder.addCall(call.index ?? position, {
          id: call.id ?? null,
          name: call.function?.name ?? null,
          input: call.function?.arguments ?? null,
        });
      }
    };
    return {
      event: (data) => {
        if (data === '[DONE]') return 'final';
        read(data);
        return stopped ? 'enough' : 'partial';
      },
      body: read,
      conversation: () => builder.build(),
    };
  },
};

function toMessage(message: z.infer<typeof requestSchema>['messages'][number]): WireMessage {
  const text = textOf(message.content);
  if (message.role === 'tool' || message.role === 'function') {
    const result = { id: message.tool_call_id ?? '', text: text.slice(0, 500), failed: false };
    return { role: 'tool', text: '', calls: [], results: [result] };
  }
  const calls = (message.tool_calls ?? []).map((call) => ({ id: call.id, name: call.function?.name ?? '' }));
  return { role: message.role === 'assistant' ? 'assistant' : 'user', text, calls, results: [] };
}

function textOf(content: z.infer<typeof contentSchema>): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join('');
}
