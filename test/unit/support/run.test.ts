/** The test runner itself: what it counts, what it calls a failure, and its last line. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const runner = fileURLToPath(new URL('../../run.mjs', import.meta.url));

/** Runs the runner over `files`, given by their path below test/. */
function run(
  files: Record<string, string>,
  ...filters: string[]
): { code: number | null; output: string; last: string | undefined } {
  const root = mkdtempSync(join(tmpdir(), 'runner-'));
  try {
    for (const [path, source] of Object.entries(files)) {
      mkdirSync(dirname(join(root, 'test', path)), { recursive: true });
      writeFileSync(join(root, 'test', path), source);
    }
    const suites = filters.length === 0 ? ['unit'] : filters;
    const { status, stdout } = spawnSync(process.execPath, [runner, '--root', root, ...suites], {
      encoding: 'utf8',
    });
    return { code: status, output: stdout, last: stdout.trimEnd().split('\n').at(-1) };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const file = (body: string): string =>
  `import test, { describe } from 'node:test';\nimport assert from 'node:assert';\n${body}`;
const passing = file(`test('works', () => {});`);

/** One more passes than the files hold: that nothing is left on the machine. */
describe('the test runner', () => {
  test('ends with the counts and code 0 when everything passes', () => {
    const { code, last } = run({ 'unit/a.test.ts': passing, 'unit/deep/b.test.ts': passing });
    assert.equal(last, '3 passed, 0 failed, 0 skipped');
    assert.equal(code, 0);
  });

  test('fails when a test fails, and shows it again at the end', () => {
    const { code, last, output } = run({
      'unit/a.test.ts': file(`test('breaks', () => assert.equal(1, 2));`),
    });
    assert.equal(last, '1 passed, 1 failed, 0 skipped');
    assert.equal(code, 1);
    assert.equal(output.match(/^ {2}✗ .*breaks/gm)?.length, 2);
  });

  test('counts a subtest that fails once, not with its parents', () => {
    const body = `describe('group', () => { test('parent', async (t) => { await t.test('child', () => assert.fail()); }); });`;
    const { last, output } = run({ 'unit/a.test.ts': file(body) });
    assert.equal(last, '1 passed, 1 failed, 0 skipped');
    assert.match(output, /group › parent › child/);
  });

  test('says loudly what was skipped, and why', () => {
    const { code, last, output } = run({
      'unit/a.test.ts': file(`test('hard', (t) => t.skip('no CRIU here'));`),
    });
    assert.equal(last, '1 passed, 0 failed, 1 skipped');
    assert.equal(code, 0);
    assert.match(output, /skipped\n.*hard\n +no CRIU here/);
  });

  test('calls a file that dies a failure', () => {
    const { code, output } = run({
      'unit/a.test.ts': file(`test('works', () => {}); setTimeout(() => process.exit(3), 50);`),
    });
    assert.equal(code, 1);
    assert.match(output, /ended with code 3, though no test of it failed/);
  });

  test('calls a file without tests a failure', () => {
    const { code, output } = run({ 'unit/a.test.ts': 'export {};' });
    assert.equal(code, 1);
    assert.match(output, /the file holds no test/);
  });

  test('calls a filter that matches nothing a failure', () => {
    const { code, output } = run({ 'unit/a.test.ts': passing }, 'unti');
    assert.equal(code, 1);
    assert.match(output, /no test matches unti/);
  });

  test('runs only what a path names', () => {
    const { last } = run({ 'unit/a.test.ts': passing, 'unit/deep/b.test.ts': passing }, 'test/unit/deep/');
    assert.equal(last, '2 passed, 0 failed, 0 skipped');
  });

  test('shows what a failing file printed', () => {
    const { output } = run({
      'unit/a.test.ts': file(`test('breaks', () => { console.log('a hint'); assert.fail(); });`),
    });
    assert.match(output, /what test\/unit\/a\.test\.ts printed:\n +a hint/);
  });

  test('fails when a test leaves a process behind', () => {
    const body = `import { spawn } from 'node:child_process';
test('forgets', () => { spawn('sleep', ['7.5'], { detached: true, stdio: 'ignore' }).unref(); });`;
    const { code, output } = run({ 'unit/a.test.ts': file(body) });
    assert.equal(code, 1);
    assert.match(output, /nothing of Turntable is left on the machine[^]*process \d+ sleep 7\.5/);
  });
});
