/** Runs host-suite/ inside the extension host of VS Code in the browser, with the packaged extension installed. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { startCodeServer } from '../../host-helper/demo/code-server.ts';
import { FixtureHelper } from './fixture/helper.ts';
import { makeFolder } from './fixture/folder.ts';
import { missing, openBrowser, vsixPath } from './harness.ts';

const resultsSchema = z.array(z.object({ name: z.string(), error: z.string().optional() }));
const suite = fileURLToPath(new URL('host-suite/', import.meta.url));

test('inside the extension host', async (t) => {
  const reason = missing();
  if (reason !== undefined) return t.skip(reason);
  await using folder = await makeFolder();
  await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
  await helper.listening;
  await using server = await startCodeServer({
    vsix: vsixPath,
    workspace: folder.workspace,
    settings: { 'turntable.socketPath': folder.socketPath },
    testDriver: true,
  });
  const browser = await openBrowser();
  try {
    const page = await browser.newPage();
    const { promise: ended, resolve } = Promise.withResolvers<number>();
    await page.exposeFunction('codeAutomationExit', (code: number) => resolve(code));
    await page.exposeFunction('codeAutomationLog', () => {});
    const results = join(folder.path, 'results.json');
    const remote = (path: string): string => `vscode-remote://127.0.0.1:${server.port}${path}`;
    const payload = [
      ['extensionDevelopmentPath', remote(suite)],
      ['extensionTestsPath', remote(join(suite, 'suite.cjs'))],
      ['skipWelcome', 'true'],
      [
        'extensionEnvironment',
        JSON.stringify({ TURNTABLE_TEST_RESULTS: results, TURNTABLE_TEST_WORKSPACE: folder.workspace }),
      ],
    ];
    await page.goto(`${server.url}&payload=${encodeURIComponent(JSON.stringify(payload))}`);
    const late = setTimeout(() => resolve(-1), 120_000);
    const code = await ended;
    clearTimeout(late);
    assert.notEqual(code, -1, 'the extension host never reported back');
    for (const result of resultsSchema.parse(JSON.parse(await readFile(results, 'utf8')))) {
      await t.test(result.name, () => assert.equal(result.error, undefined));
    }
    assert.equal(code, 0);
  } finally {
    await browser.close();
  }
});
