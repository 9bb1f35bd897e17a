import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { agentStatePredicate, continuePrompt, formatFor } from '../../../host-helper/agents/profile.ts';
import type { AgentProfile } from '../../../host-helper/agents/profile.ts';
import { agentProfiles, defaultAgentName } from '../../../host-helper/agents/profiles.ts';

const modelUrl = 'http://127.0.0.1:4141';
const home = '/home/agent';
const launch = { nodePath: '/opt/node', entryPath: '/opt/agent/cli.js', prompt: 'do it' } as const;

function profile(name: string): AgentProfile {
  const found = agentProfiles.get(name);
  assert.ok(found);
  return found;
}

for (const [name, each] of agentProfiles) {
  test(`${name}: is told of the endpoint and of nothing else on the network`, () => {
    const told = JSON.stringify([each.environment({ home, modelUrl }), each.prepareHome({ home, modelUrl })]);
    assert.ok(told.includes('127.0.0.1:4141'));
    const hosts = [...told.matchAll(/https?:\/\/([^/"\\:]+)/g)].map((match) => match[1]);
    assert.deepEqual(
      hosts.filter((host) => host !== '127.0.0.1' && host !== 'opencode.ai'),
      [],
    );
  });

  test(`${name}: starts with the prompt and resumes with "Continue." as whole arguments`, () => {
    const start = each.start(launch);
    assert.deepEqual(start.slice(0, 2), ['/opt/node', '/opt/agent/cli.js']);
    assert.equal(start.filter((argument) => argument === 'do it').length, 1);
    const resume = each.resume({ ...launch, prompt: undefined });
    assert.equal(resume.at(-1), continuePrompt);
    assert.notDeepEqual(resume, each.start({ ...launch, prompt: continuePrompt }));
  });

  test(`${name}: a binary entry is run by itself`, () => {
    assert.equal(each.start({ ...launch, entryPath: '/opt/agent/bin/it' })[0], '/opt/agent/bin/it');
  });

  test(`${name}: without a prompt, or asked to, opens its terminal interface`, () => {
    assert.ok(!each.start({ ...launch, prompt: undefined }).includes('-p'));
    assert.notDeepEqual(each.start({ ...launch, interactive: true }), each.start(launch));
  });

  test(`${name}: its settings are its own state, the workspace is not`, () => {
    const isState = agentStatePredicate(each, home);
    for (const file of each.prepareHome({ home, modelUrl }))
      assert.ok(isState(join(home, file.path)), file.path);
    for (const path of [home, '/code/app/src/index.ts', '/usr/local/bin/tool', '/tmp', `${home}/.bashrc`]) {
      assert.equal(isState(path), false, path);
    }
  });
}

test('directories made only to hold agent state are agent state, their neighbours are not', () => {
  const isState = agentStatePredicate(profile('opencode'), home);
  assert.ok(isState(`${home}/.local`));
  assert.ok(isState(`${home}/.local/share`));
  assert.ok(isState(`${home}/.local/share/opencode/opencode.db-wal`));
  assert.equal(isState(`${home}/.local/bin/tool`), false);
  assert.ok(isState('/tmp/.bcf9ef7eb6cfb62d-00000000.so'));
  assert.equal(isState('/tmp/other.so'), false);
});

test('an agent is found by its manifest under the first root that has it', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'turntable-agents-'));
  t.after(() => rmSync(root, { recursive: true }));
  const directory = join(root, 'node_modules/@mariozechner/pi-coding-agent');
  mkdirSync(join(directory, 'dist'), { recursive: true });
  writeFileSync(join(directory, 'package.json'), '{"bin":{"pi":"dist/cli.js"}}');
  const pi = profile('pi');
  assert.equal(pi.locate([root]), undefined);
  writeFileSync(join(directory, 'dist/cli.js'), '');
  assert.equal(pi.locate(['/nowhere', root]), join(directory, 'dist/cli.js'));
  assert.equal(pi.locate([join(root, 'node_modules')]), join(directory, 'dist/cli.js'));
});

test('a damaged manifest is an agent that is not installed', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'turntable-agents-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, '@mariozechner/pi-coding-agent'), { recursive: true });
  writeFileSync(join(root, '@mariozechner/pi-coding-agent/package.json'), '{"bin":');
  assert.equal(profile('pi').locate([root]), undefined);
});

test('the default agent is known', () => assert.ok(agentProfiles.has(defaultAgentName)));

test('the locked bundle names no registry', () => {
  const lock = readFileSync(
    new URL('../../../host-helper/agents/bundle/package-lock.json', import.meta.url),
    'utf8',
  );
  assert.ok(!lock.includes('"resolved"'));
});

test('an agent speaks the first of its formats for which there is a provider', () => {
  assert.equal(
    formatFor(profile('pi'), { baseUrls: { 'anthropic-messages': 'https://a.example' } }),
    'anthropic-messages',
  );
  assert.equal(
    formatFor(profile('pi'), {
      baseUrls: { gemini: 'https://g.example', 'openai-chat': 'https://o.example' },
    }),
    'openai-chat',
  );
  assert.equal(
    formatFor(profile('codex'), { baseUrls: { gemini: 'https://g.example' } }),
    'openai-responses',
  );
});
