/**
 * Turns a script's step into a tool call that the agent at hand understands, by the tools it declared in its request.
 * The shell is the common denominator: what an agent's own edit tool would refuse (files it has not read) goes through the shell.
 */

import { z } from 'zod';

import type { WireTool } from '../turns/wire/wire-message.ts';
import type { ScriptTool } from './script.ts';

export interface ScriptedCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
}

const schemaSchema = z.looseObject({
  properties: z.record(z.string(), z.looseObject({ type: z.unknown().optional() })).default({}),
  required: z.array(z.string()).default([]),
});
type Schema = z.infer<typeof schemaSchema>;

const shellNames = [
  'bash',
  'shell',
  'shell_command',
  'exec_command',
  'run_shell_command',
  'container.exec',
  'execute_command',
  'execute',
];

/** Undefined when the agent declared nothing that can do it. */
export function callFor(tool: ScriptTool, tools: readonly WireTool[]): ScriptedCall | undefined {
  return nativeCall(tool, tools) ?? shellCall(asCommand(tool), tool, tools);
}

/** pi's own write and edit tools: the ones that ask for no reading first. They are known by their `path`. */
function nativeCall(tool: ScriptTool, tools: readonly WireTool[]): ScriptedCall | undefined {
  if (tool.kind === 'bash') return undefined;
  const declared = tools.find(({ name }) => name === tool.kind);
  const properties = schemaOf(declared)?.properties;
  if (properties?.['path'] === undefined) return undefined;
  if (tool.kind === 'write') {
    return properties['content'] === undefined
      ? undefined
      : { name: 'write', arguments: { path: tool.path, content: tool.content } };
  }
  const change = { oldText: tool.oldText, newText: tool.newText };
  if (properties['edits'] !== undefined)
    return { name: 'edit', arguments: { path: tool.path, edits: [change] } };
  return properties['oldText'] === undefined
    ? undefined
    : { name: 'edit', arguments: { path: tool.path, ...change } };
}

function shellCall(command: string, tool: ScriptTool, tools: readonly WireTool[]): ScriptedCall | undefined {
  const declared = shellNames
    .map((name) => tools.find((each) => each.name.toLowerCase() === name))
    .find((each) => each !== undefined);
  if (declared === undefined) return undefined;
  const schema = schemaOf(declared) ?? { properties: {}, required: [] };
  const key = ['command', 'cmd', 'script'].find((name) => schema.properties[name] !== undefined) ?? 'command';
  const value = schema.properties[key]?.type === 'array' ? ['bash', '-lc', command] : command;
  const args: Record<string, unknown> = { [key]: value };
  if (schema.properties['description'] !== undefined) args['description'] = describe(tool);
  for (const name of schema.required) args[name] ??= filler(schema, name);
  return { name: declared.name, arguments: args };
}

function schemaOf(tool: WireTool | undefined): Schema | undefined {
  const parsed = schemaSchema.safeParse(tool?.schema);
  return parsed.success ? parsed.data : undefined;
}

function filler(schema: Schema, name: string): unknown {
  const type = schema.properties[name]?.type;
  if (type === 'boolean' || type === 'BOOLEAN') return false;
  if (type === 'number' || type === 'integer' || type === 'NUMBER') return 60_000;
  return '';
}

function describe(tool: ScriptTool): string {
  return tool.kind === 'bash'
    ? 'Run the command'
    : `${tool.kind === 'write' ? 'Write' : 'Edit'} ${tool.path}`;
}

function asCommand(tool: ScriptTool): string {
  switch (tool.kind) {
    case 'bash':
      return tool.command;
    case 'write': {
      const directory = tool.path.includes('/')
        ? `mkdir -p ${quote(tool.path.replace(/\/[^/]*$/, ''))} && `
        : '';
      return `${directory}cat > ${quote(tool.path)} <<'END_OF_FILE'\n${tool.content.replace(/\n$/, '')}\nEND_OF_FILE`;
    }
    case 'edit':
      return tool.command;
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
