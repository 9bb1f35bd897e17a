import assert from 'node:assert/strict';
import { test } from 'node:test';

import { summarizeToolInput } from '../../../host-helper/turns/wire/tool-summary.ts';

const cases: readonly [what: string, name: string, input: string, summary: string][] = [
  ['a command', 'bash', '{"command":"npm test","description":"Run"}', 'npm test'],
  ['a command over several lines', 'Bash', '{"command":"cd src &&\\n  ls\\n"}', 'cd src && ⏎ ls'],
  ['an argv with a shell in front', 'shell', '{"command":["bash","-lc","git status"]}', 'git status'],
  ['an argv without', 'shell', '{"command":["git","status"]}', 'git status'],
  ['a path', 'edit', '{"filePath":"/w/a.ts","oldString":"x"}', '/w/a.ts'],
  ['a patch', 'apply_patch', '*** Begin Patch\n*** Update File: src/a.ts\n@@', 'src/a.ts'],
  ['a patch in JSON', 'apply_patch', '{"input":"*** Begin Patch\\n*** Add File: b.ts\\n+x"}', 'b.ts'],
  ['a search', 'grep', '{"pattern":"TODO"}', 'TODO'],
  ['JSON that was cut', 'bash', '{"command":"echo \\"a', 'echo \\"a'],
  ['nothing', 'list_tasks', '{}', 'list_tasks'],
];

for (const [what, name, input, summary] of cases) {
  test(`${what} is summed up in one line`, () => assert.equal(summarizeToolInput(name, input), summary));
}

test('a very long command is shortened', () => {
  const summary = summarizeToolInput('bash', JSON.stringify({ command: 'x'.repeat(5_000) }));
  assert.equal(summary.length, 200);
  assert.ok(summary.endsWith('…'));
});
