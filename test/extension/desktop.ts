/**
 * The extension host's tests in desktop VS Code, for machines that have one or may download it:
 * `node test/extension/desktop.ts [PATH_OF_CODE]`. The same suite runs in the browser in extension-host.test.ts.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTests } from '@vscode/test-electron';
import { makeFolder } from './fixture/folder.ts';
import { FixtureHelper } from './fixture/helper.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const executable = process.argv[2];

await using folder = await makeFolder();
await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
await helper.listening;
const results = join(folder.path, 'results.json');
try {
  await runTests({
    ...(executable === undefined ? {} : { vscodeExecutablePath: executable }),
    extensionDevelopmentPath: root,
    extensionTestsPath: join(root, 'test', 'extension', 'host-suite', 'suite.cjs'),
    extensionTestsEnv: {
      TURNTABLE_SOCKET: folder.socketPath,
      TURNTABLE_TEST_RESULTS: results,
      TURNTABLE_TEST_WORKSPACE: folder.workspace,
    },
    launchArgs: [
      folder.workspace,
      '--disable-extensions',
      '--disable-workspace-trust',
      '--user-data-dir',
      join(folder.path, 'data'),
    ],
  });
} finally {
  process.stdout.write(
    `${await readFile(results, 'utf8').catch(() => 'VS Code did not get as far as the tests.')}\n`,
  );
}
