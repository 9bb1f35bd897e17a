/**
 * A small stand-in for a coding agent, run inside a sandbox: asks its model endpoint, runs the shell calls it is told, asks
 * again. With many sandboxes on a small machine real agents would measure their own start; some run beside these. Self-contained:
 * the sandbox sees this folder only.
 */

import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

interface Call {
  id: string;
  name: string;
  input: string;
}

interface Message {
  readonly role: string;
  readonly content: string | null;
  readonly tool_call_id?: string;
  readonly tool_calls?: readonly object[];
}

const [url = '', prompt = ''] = process.argv.slice(2);
const state = join(process.env['HOME'] ?? '/root', '.replay');
const outputChars = 8_000;
const tries = 4;

const messages: Message[] = [];
mkdirSync(state, { recursive: true });
remember({ role: 'user', content: prompt });
for (;;) {
  const calls = await ask();
  if (calls.length === 0) break;
  for (const call of calls) {
    const { command } = JSON.parse(call.input) as { command: string };
    remember({ role: 'tool', content: await run(command), tool_call_id: call.id });
  }
}

/** Real agents keep a transcript, which the inspector must not take for the work. */
function remember(message: Message): void {
  messages.push(message);
  appendFileSync(join(state, 'transcript.jsonl'), JSON.stringify(message) + '\n');
}

async function ask(): Promise<Call[]> {
  const parameters = { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] };
  const body = JSON.stringify({
    model: 'replay',
    stream: true,
    messages,
    tools: [{ type: 'function', function: { name: 'bash', parameters } }],
  });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const reply = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const text = await reply.text();
      if (!reply.ok) throw new Error(text);
      return read(text);
    } catch (error) {
      if (attempt === tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200 * attempt));
    }
  }
}

function read(text: string): Call[] {
  const calls: Call[] = [];
  let said = '';
  for (const line of text.split('\n')) {
    if (!line.startsWith('data: {')) continue;
    const { choices } = JSON.parse(line.slice(6)) as {
      choices?: {
        delta?: {
          content?: string;
          tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[];
        };
      }[];
    };
    const delta = choices?.[0]?.delta;
    said += delta?.content ?? '';
    for (const piece of delta?.tool_calls ?? []) {
      const call = (calls[piece.index] ??= { id: '', name: '', input: '' });
      call.id += piece.id ?? '';
      call.name += piece.function?.name ?? '';
      call.input += piece.function?.arguments ?? '';
    }
  }
  const toolCalls = calls.map(({ id, name, input }) => ({
    id,
    type: 'function',
    function: { name, arguments: input },
  }));
  remember({ role: 'assistant', content: said, ...(calls.length > 0 ? { tool_calls: toolCalls } : {}) });
  return calls;
}

function run(command: string): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => void (output = (output + data.toString()).slice(-outputChars)));
    }
    child.on('close', (code) => resolve(`${output}\nexit code ${code ?? 1}`));
    // A server left behind may hold its output open.
    child.on('exit', (code) => setTimeout(() => resolve(`${output}\nexit code ${code ?? 1}`), 50));
  });
}
