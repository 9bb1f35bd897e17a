/** The set-up scripts: what can be told of them without installing anything. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const setup = join(root, 'host-helper/setup');

describe('step', () => {
  const run = (script: string): string => {
    using directory = temporary();
    const result = spawnSync('sh', ['-euc', `. ${setup}/steps.sh\n${script}`], {
      cwd: directory.path,
      encoding: 'utf8',
    });
    return result.stdout + result.stderr;
  };

  test('runs a command once for a key', () => {
    const output = run('for i in 1 2; do step once key - sh -c "echo ran >>count"; done; wc -l <count');
    assert.match(output, /^1$/m);
  });

  test('runs it again for another key', () => {
    const output = run('for key in a b; do step twice $key - sh -c "echo ran >>count"; done; wc -l <count');
    assert.match(output, /^2$/m);
  });

  test('runs it again when its output is gone', () => {
    const output = run(
      'for i in 1 2; do step made key made sh -c "echo ran >>count; touch made"; rm made; done; wc -l <count',
    );
    assert.match(output, /^2$/m);
  });

  test('says what failed, shows its last words, and remembers nothing', () => {
    const output = run(
      'step bad key - sh -c "echo the reason; exit 7" || echo "code $?"; [ ! -e .cache/setup/bad ] && echo forgotten',
    );
    assert.match(output, /bad +failed \(exit code 7\)/);
    assert.match(output, / {4}the reason/);
    assert.match(output, /code 7/);
    assert.match(output, /forgotten/);
  });

  test('fails when the command ends well without its output', () => {
    const output = run(
      'step hollow key made true || echo "code $?"; [ ! -e .cache/setup/hollow ] && echo forgotten',
    );
    assert.match(output, / {4}it ended well and yet there is no made/);
    assert.match(output, /code 1/);
    assert.match(output, /forgotten/);
  });

  test('prints in one line what the command says it did', () => {
    assert.match(run('step said key - echo "= three things"'), /^said +\d+\.\d s +three things$/m);
  });
});

describe('packages-installed', () => {
  const installed = (wanted: object, present: object | undefined): boolean => {
    using directory = temporary();
    writeFileSync(
      join(directory.path, 'package-lock.json'),
      JSON.stringify({ packages: { '': {}, ...wanted } }),
    );
    if (present !== undefined) {
      mkdirSync(join(directory.path, 'node_modules'));
      writeFileSync(
        join(directory.path, 'node_modules/.package-lock.json'),
        JSON.stringify({ packages: present }),
      );
    }
    return spawnSync(process.execPath, [join(setup, 'packages-installed.mjs'), directory.path]).status === 0;
  };
  const one = { 'node_modules/a': { version: '1.0.0' } };

  test('is content with what the lockfile asks for', () => assert.equal(installed(one, one), true));
  test('sees a missing folder', () => assert.equal(installed(one, undefined), false));
  test('sees another version', () =>
    assert.equal(installed(one, { 'node_modules/a': { version: '1.0.1' } }), false));
  test('sees a missing package', () => assert.equal(installed(one, {}), false));
  test('does without an optional package of another platform', () => {
    assert.equal(installed({ 'node_modules/b': { version: '1.0.0', optional: true } }, {}), true);
  });
});

describe('scripts', () => {
  test('every shell script parses', () => {
    for (const script of ['setup.sh', 'steps.sh', 'start.sh', 'test.sh', 'apt-packages.sh', 'criu.sh']) {
      execFileSync('sh', ['-n', join(setup, script)]);
    }
    execFileSync('bash', ['-n', join(setup, 'criu-selftest.sh')]);
    execFileSync('sh', ['-n', join(root, '.ci/run')]);
  });

  test('the build machine runs exactly what the README says', () => {
    const last = readFileSync(join(root, '.ci/run'), 'utf8').trimEnd().split('\n').at(-1);
    assert.equal(last, 'exec npm test');
    assert.match(readFileSync(join(root, 'README.md'), 'utf8'), /^npm test$/m);
  });

  test('a CRIU that is not there fails the self-test with its name', () => {
    const result = spawnSync('bash', [join(setup, 'criu-selftest.sh'), '/nowhere/criu'], {
      encoding: 'utf8',
    });
    assert.equal(result.status, 1);
    assert.match(result.stdout, /\/nowhere\/criu: not there/);
  });

  test('every apt package has a reason', () => {
    using directory = temporary();
    cpSync(join(setup, 'apt-packages.sh'), join(directory.path, 'apt-packages.sh'));
    const lists =
      readFileSync(join(directory.path, 'apt-packages.sh'), 'utf8').match(/packages='\n[^']*'/g) ?? [];
    assert.equal(lists.length, 3);
    for (const line of lists.flatMap((list) => list.split('\n').slice(1, -1)))
      assert.match(line, /^[a-z0-9.+-]+ {1,}\S.{8,}$/);
  });
});

function temporary(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'turntable-setup-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
