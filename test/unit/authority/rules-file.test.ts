import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadRules } from '../../../host-helper/authority/rules-file.ts';

describe('the rule file', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'turntable-rules-'));
  });
  after(() => rm(directory, { recursive: true }));

  async function file(content: string, mode = 0o644): Promise<string> {
    const path = join(directory, 'rules.json');
    await writeFile(path, content);
    await chmod(path, mode);
    return path;
  }

  it('may be absent', async () => {
    assert.deepEqual(await loadRules(join(directory, 'none.json')), {
      exec: [],
      network: [],
      allowPrivate: [],
    });
  });

  it('gives exec rules, network rules and private hosts', async () => {
    const rules = await loadRules(
      await file(
        JSON.stringify({
          exec: [{ id: 'no-curl', effect: 'deny', programs: ['curl'] }],
          network: [{ id: 'ours', effect: 'allow', hosts: ['*.example.org:443'] }],
          allowPrivate: ['registry.local:4873'],
        }),
      ),
    );
    assert.deepEqual(rules, {
      exec: [{ id: 'no-curl', effect: 'deny', text: 'Your rule "no-curl".', programs: ['curl'] }],
      network: [{ id: 'ours', effect: 'allow', hosts: ['*.example.org:443'] }],
      allowPrivate: ['registry.local:4873'],
    });
  });

  it('stops the start when it is wrong, cannot be read, or may be written by everybody', async () => {
    await assert.rejects(file('{"exec":1}').then(loadRules), { code: 'invalidParams' });
    await assert.rejects(loadRules(directory), { code: 'notPermitted' });
    await assert.rejects(file('{}', 0o666).then(loadRules), { code: 'notPermitted', message: /chmod o-w/ });
  });
});
