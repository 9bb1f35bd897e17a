/**
 * Gemini (`POST …/models/M:generateContent`, `:streamGenerateContent?alt=sse`), read on the side.
 * Shapes: https://ai.google.dev/api/generate-content. Calls often carry no id; one is made from the name and the position.
 */

import { z } from 'zod';

import { ConversationBuilder } from './conversation-builder.ts';
import { callsOf, historyDigest, resultsInOrder } from './wire-message.ts';
import type { ReplyReader, WireMessage, WireReader, WireRequest, WireToolResult } from './wire-message.ts';

const partSchema = z.looseObject({
  text: z.string().nullish(),
  thought: z.boolean().nullish(),
  functionCall: z
    .looseObject({ id: z.string().nullish(), name: z.string(), args: z.unknown().optional() })
    .nullish(),
  functionResponse: z
    .looseObject({ id: z.string().nullish(), name: z.string().nullish(), response: z.unknown().optional() })
    .nullish(),
});
const contentSchema = z.looseObject({ role: z.string().nullish(), parts: z.array(partSchema).nullish() });

const declarationSchema = z.looseObject({
  name: z.string(),
  parameters: z.unknown().optional(),
  parametersJsonSchema: z.unknown().optional(),
});
const requestSchema = z.looseObject({
  contents: z.union([z.array(contentSchema), contentSchema.transform((content) => [content])]),
  tools: z.array(z.looseObject({ functionDeclarations: z.array(declarationSchema).nullish() })).nullish(),
  generationConfig: z.looseObject({ responseMimeType: z.string().nullish() }).nullish(),
});

const chunkSchema = z.looseObject({
  modelVersion: z.string().nullish(),
  candidates: z
    .array(z.looseObject({ content: contentSchema.nullish(), finishReason: z.string().nullish() }))
    .nullish(),
  usageMetadata: z
    .looseObject({
      promptTokenCount: z.number().nullish(),
      candidatesTokenCount: z.number().nullish(),
      thoughtsTokenCount: z.number().nullish(),
    })
    .nullish(),
  error: z.looseObject({ message: z.string().nullish(), status: z.string().nullish() }).nullish(),
});

export const gemini: WireReader = {
  format: 'gemini',

  readRequest(path, _headers, body): WireRequest | undefined {
    const match = /\/models\/([^/:]+):(generateContent|streamGenerateContent)$/.exec(path);
    if (!match) return undefined;
    const request = requestSchema.parse(body);
    const tools = (request.tools ?? [])
      .flatMap((tool) => tool.functionDeclarations ?? [])
      .map((tool) => ({
        name: tool.name,
        schema: tool.parametersJsonSchema ?? tool.parameters,
        freeform: false,
      }));
    const contents = request.contents.map((content) => ({
      ...content,
      parts: resultsInOrder(content.parts ?? [], (part) => part.functionResponse?.id),
    }));
    const wantsJson = request.generationConfig?.responseMimeType === 'application/json';
    return {
      model: match[1],
      streaming: match[2] === 'streamGenerateContent',
      messages: toMessages(contents),
      tools,
      side: tools.length === 0 || wantsJson,
      history: historyDigest(contents),
    };
  },

  createReplyReader(request): ReplyReader {
    const builder = new ConversationBuilder();
    let position = callsOf(request.messages).length;
    const read = (chunk: z.infer<typeof chunkSchema>): void => {
      builder.setModel(chunk.modelVersion);
      const usage = chunk.usageMetadata;
      const written =
        usage?.candidatesTokenCount == null
          ? undefined
          : usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0);
      builder.setUsage(usage?.promptTokenCount, written);
      if (chunk.error)
        builder.setError(chunk.error.message ?? chunk.error.status ?? 'the model reported an error');
      for (const part of chunk.candidates?.[0]?.content?.parts ?? []) {
        if (part.thought !== true) builder.addText(part.text);
        if (!part.functionCall) continue;
        const call = part.functionCall;
        builder.addCall(position, {
          id: call.id ?? `${call.name}-${position}`,
          name: call.name,
          input: JSON.stringify(call.args ?? {}),
        });
        position += 1;
      }
    };
    return {
      event: (data) => {
        const chunk = chunkSchema.parse(JSON.parse(data));
        read(chunk);
        return chunk.candidates?.[0]?.finishReason || chunk.error ? 'final' : 'partial';
      },
      body: (text) => {
        // Without alt=sse a stream is one JSON array of chunks.
        const value: unknown = JSON.parse(text);
        for (const chunk of Array.isArray(value) ? value : [value]) read(chunkSchema.parse(chunk));
      },
      conversation: () => builder.build(),
    };
  },
};

function toMessages(contents: readonly z.infer<typeof contentSchema>[]): WireMessage[] {
  const messages: WireMessage[] = [];
  let called = 0;
  let answered = 0;
  for (const content of contents) {
    const parts = content.parts ?? [];
    const text = parts
      .filter((part) => part.thought !== true)
      .map((part) => part.text ?? '')
      .join('');
    const calls = parts.flatMap((part) =>
      part.functionCall
        ? [
            {
              id: part.functionCall.id ?? `${part.functionCall.name}-${called++}`,
              name: part.functionCall.name,
            },
          ]
        : [],
    );
    const results: WireToolResult[] = parts.flatMap((part) => {
      if (!part.functionResponse) return [];
      const { id, name, response } = part.functionResponse;
      const shown = JSON.stringify(response ?? {});
      const failed = /^\{"error"/.test(shown);
      return [{ id: id ?? `${name ?? ''}-${answered++}`, text: shown.slice(0, 500), failed }];
    });
    if (content.role === 'model') messages.push({ role: 'assistant', text, calls, results: [] });
    else if (results.length > 0) messages.push({ role: 'tool', text: '', calls: [], results });
    if (content.role !== 'model' && text !== '')
      messages.push({ role: 'user', text, calls: [], results: [] });
  }
  return messages;
}
