/** Starting a daemon that outlives the terminal, and what is said when it does not start. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { helperCommand, startDetached } from '../../../host-helper/cli/launch.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';

const place = { stateDir: '/tmp/state', socketPath: '/tmp/state/helper.sock' };

describe('startDetached', () => {
  test('the daemon has a session of its own, no terminal, and goes on', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('would ask for a sudo password');
    const directory = await mkdtemp(join(tmpdir(), 'tt-launch-'));
    const ready = join(directory, 'ready file');
    const script = join(directory, 'daemon.mjs');
    // field 6 of stat is the session, 7 the terminal.
    await writeFile(
      script,
      `
      import { readFileSync, writeFileSync } from 'node:fs';
      writeFileSync(process.argv[2], process.pid + ' ' + readFileSync('/proc/self/stat', 'utf8').split(') ')[1]);
      setTimeout(() => {}, 60_000);
    `,
    );
    await startDetached([process.execPath, script, ready], () => Promise.resolve(existsSync(ready)), place);
    const [pid = '', , , , session, terminal] = (await readFile(ready, 'utf8')).split(' ');
    process.kill(Number(pid), 'SIGKILL');
    assert.deepEqual([session, terminal], [pid, '0']);
    await rm(directory, { recursive: true, force: true });
  });

  test('a helper that ends while it starts is quoted', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('would ask for a sudo password');
    const command = ['sh', '-c', 'echo "turntable: no cgroup2 here: mount it" >&2; exit 1'];
    await assert.rejects(
      startDetached(command, () => Promise.resolve(false), place),
      (error) =>
        error instanceof TurntableError &&
        error.code === 'helperNotRunning' &&
        error.message.includes('no cgroup2 here: mount it'),
    );
  });

  test('the command is this runtime on the helper that lies beside', () => {
    const [runtime, entry = '', ...flags] = helperCommand(place, { group: 'devs' });
    assert.equal(runtime, process.execPath);
    assert.match(entry, /host-helper\/main\.ts$/);
    assert.deepEqual(flags, [
      '--state-dir',
      '/tmp/state',
      '--socket',
      '/tmp/state/helper.sock',
      '--group',
      'devs',
    ]);
  });
});
