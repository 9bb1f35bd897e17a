/**
 * One line for a person out of a tool call's input: the command, or the path. For display only: nothing is decided on it.
 */

import { z } from 'zod';

const maxSummaryChars = 200;

const commandKeys = ['command', 'cmd', 'script'];
const pathKeys = ['path', 'file_path', 'filePath', 'absolute_path', 'notebook_path', 'filename', 'dir_path'];
const otherKeys = ['pattern', 'query', 'url', 'description', 'prompt', 'input', 'chars'];

const inputSchema = z.record(z.string(), z.unknown().optional());

/** Reads the input as JSON where it is; takes a patch's first path or the bare text where it is not. */
export function summarizeToolInput(name: string, input: string): string {
  const parsed = inputSchema.safeParse(parseJson(input));
  if (!parsed.success) return summarizeFreeform(name, input);
  const values = parsed.data;
  for (const key of [...commandKeys, ...pathKeys, ...otherKeys]) {
    const value = values[key];
    if (typeof value === 'string' && value !== '') {
      return key === 'input' ? summarizeFreeform(name, value) : oneLine(value);
    }
    if (Array.isArray(value) && value.length > 0) return oneLine(unwrapShell(value.map(String)));
  }
  const rest = Object.entries(values).find(([, value]) => typeof value === 'string');
  return rest ? oneLine(String(rest[1])) : name;
}

/** `bash -lc "…"` is shown as what it runs. */
function unwrapShell(argv: readonly string[]): string {
  const [program, flag, script] = argv;
  if (
    argv.length === 3 &&
    script &&
    flag &&
    /^-l?c$/.test(flag) &&
    /(^|\/)(ba|z|da)?sh$/.test(program ?? '')
  ) {
    return script;
  }
  return argv.join(' ');
}

function summarizeFreeform(name: string, text: string): string {
  const patched = /^\*\*\* (?:Add|Update|Delete) File: (.+)$/m.exec(text);
  if (patched?.[1]) return oneLine(patched[1]);
  // JSON that was cut off in the middle still shows its command or path.
  const cut = /"(?:command|cmd|path|file_?[pP]ath)"\s*:\s*"((?:[^"\\]|\\.)*)/.exec(text);
  if (cut?.[1]) return oneLine(cut[1]);
  const line = oneLine(text);
  return line === '' || line === '{}' ? name : line;
}

function oneLine(text: string): string {
  const flat = text
    .trim()
    .replace(/\s*\n\s*/g, ' ⏎ ')
    .replace(/\s+/g, ' ');
  return flat.length > maxSummaryChars ? flat.slice(0, maxSummaryChars - 1) + '…' : flat;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
