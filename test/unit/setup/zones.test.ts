/** The zones of host-helper/setup/zones.ts: every TypeScript file is in one, belongs to a TypeScript project, and imports only what it may. */

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { refusal, zoneOf } from '../../../host-helper/setup/zones.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const sources = globSync('{extension,webview,host-helper,bpf,test,media}/**/*.{ts,mts,cts,tsx}', {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
}).filter((path) => !path.includes('node_modules/'));

describe('zones', () => {
  test('every TypeScript file is in a zone', () => {
    assert.ok(sources.length > 20, 'the pattern found the sources');
    assert.deepEqual(
      sources.filter((path) => zoneOf(path) === undefined),
      [],
    );
  });

  test('every TypeScript file belongs to a project that tsc --build checks', () => {
    const solution = readConfig(join(root, 'tsconfig.json'));
    const covered = new Set<string>();
    for (const { path } of solution.projectReferences ?? []) {
      for (const file of readConfig(join(path, 'tsconfig.json')).fileNames) covered.add(file);
    }
    assert.deepEqual(
      sources.filter((path) => !covered.has(join(root, path))),
      [],
    );
  });

  test('no file imports what its zone may not', () => {
    const refused = sources.flatMap((path) =>
      ts
        .preProcessFile(readFileSync(join(root, path), 'utf8'), true, true)
        .importedFiles.map(({ fileName }) => refusal(path, fileName))
        .filter((message) => message !== undefined)
        .map((message) => `${path}: ${message}`),
    );
    assert.deepEqual(refused, []);
  });

  test('a file in no zone is refused whatever it imports', () => {
    assert.match(refusal('somewhere/new.ts', 'node:fs') ?? '', /in no zone/);
  });

  const refusedImports: readonly (readonly [why: string, path: string, specifier: string])[] = [
    ['the protocol importing a Node module', 'host-helper/protocol/state.ts', 'node:fs'],
    ['the protocol importing the rest of the helper', 'host-helper/protocol/state.ts', '../log.ts'],
    ['the helper importing VS Code', 'host-helper/session/session.ts', 'vscode'],
    ['a backend importing another', 'host-helper/sandbox/oci/oci-sandbox.ts', '../docker/docker-sandbox.ts'],
    ['the sandbox interface importing a backend', 'host-helper/sandbox/sandbox.ts', './oci/oci-sandbox.ts'],
    [
      'the extension importing the helper past the protocol',
      'extension/extension.ts',
      '../host-helper/log.ts',
    ],
    ['the webview importing the helper past the protocol', 'webview/timeline.ts', '../host-helper/log.ts'],
    ['the webview importing VS Code', 'webview/timeline.ts', 'vscode'],
    ['the webview importing Node', 'webview/timeline.ts', 'node:path'],
    ['the command line reaching into the helper', 'host-helper/cli/main.ts', '../session/session.ts'],
  ];
  for (const [why, path, specifier] of refusedImports) {
    test(`refuses ${why}`, () => assert.match(refusal(path, specifier) ?? '', /must not import/));
  }

  const allowedImports: readonly (readonly [why: string, path: string, specifier: string])[] = [
    ['the protocol importing its schema library', 'host-helper/protocol/state.ts', 'zod'],
    ['the protocol importing itself', 'host-helper/protocol/state.ts', './errors.ts'],
    ['the extension importing the protocol', 'extension/extension.ts', '../host-helper/protocol/state.ts'],
    [
      'the webview importing the protocol',
      'webview/view-model/cards.ts',
      '../../host-helper/protocol/state.ts',
    ],
    ['a backend importing its interface', 'host-helper/sandbox/oci/oci-sandbox.ts', '../sandbox.ts'],
  ];
  for (const [why, path, specifier] of allowedImports) {
    test(`allows ${why}`, () => assert.equal(refusal(path, specifier), undefined));
  }
});

function readConfig(path: string): ts.ParsedCommandLine {
  const { config, error } = ts.readConfigFile(path, (file) => ts.sys.readFile(file)) as {
    config: unknown;
    error?: ts.Diagnostic;
  };
  assert.equal(error, undefined);
  return ts.parseJsonConfigFileContent(config, ts.sys, dirname(path));
}
