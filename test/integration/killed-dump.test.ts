/** What is killed while CRIU writes it down: the dump ends, a sandbox that is gone is known to be gone, and no CRIU stays behind. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { dumpsBelow } from '../../host-helper/sandbox/oci/dump-watch.ts';
import type { Sandbox, SandboxSpec } from '../../host-helper/sandbox/sandbox.ts';
import { findCriu, leftovers, missing, setStage, sh, until, type Stage } from './sandbox-oci-fixture.ts';

const skip = missing() ?? (findCriu() === undefined ? 'no working CRIU' : undefined);
const options = skip === undefined ? {} : { skip };
const node = '/usr/bin/node';
/** How long after the start of a dump the kill comes: over the whole of one, most where processes are being seized. */
const instantsMs = [10, 20, 40, 60, 80, 120, 160, 240];

/** Processes with many threads: of those killed together, some are still traced when CRIU waits for the first. */
async function startThreads(sandbox: Sandbox): Promise<void> {
  const forever = `${node} -e 'setInterval(() => {}, 1000)' >/dev/null 2>&1 &`;
  await sh(sandbox, `for i in 1 2 3; do ${forever} sleep 1000 >/dev/null 2>&1 & done; sleep 0.3`);
}

async function seizing(spec: SandboxSpec): Promise<void> {
  const log = join(spec.directory, 'criu/dump.log');
  await until(async () => (await readFile(log, 'utf8').catch(() => '')).includes('SEIZE'));
}

/** Begins a dump, and tells how it ended. */
async function dumped(stage: Stage, sandbox: Sandbox): Promise<string> {
  return sandbox.dump(join(stage.stateDirectory, 'images'), async () => {}).then(() => 'dumped', String);
}

async function nothingIsLeft(stage: Stage, sandbox: Sandbox): Promise<void> {
  assert.deepEqual(await dumpsBelow(stage.stateDirectory), []);
  await sandbox.destroy();
  assert.deepEqual(await leftovers(stage.stateDirectory, sandbox.id), []);
}

for (const afterMs of instantsMs) {
  test(
    `a sandbox killed ${afterMs} ms into a dump is known to be gone, and no CRIU waits for it`,
    options,
    async (t) => {
      await using stage = await setStage();
      const sandbox = await stage.backend.create(stage.spec());
      let died = false;
      sandbox.onDied(() => (died = true));
      await sandbox.start();
      await startThreads(sandbox);
      const { supervisorPid } = sandbox;
      const outcome = dumped(stage, sandbox);
      await sleep(afterMs);
      process.kill(supervisorPid, 'SIGKILL');
      t.diagnostic(await outcome);
      await until(() => died);
      assert.doesNotMatch(await outcome, /runs on/);
      assert.equal(sandbox.state, 'stopped');
      await nothingIsLeft(stage, sandbox);
    },
  );
}

test('one process killed while it is dumped does not hold the sandbox for ever', options, async (t) => {
  await using stage = await setStage();
  const spec = stage.spec();
  const sandbox = await stage.backend.create(spec);
  let died = false;
  sandbox.onDied(() => (died = true));
  await sandbox.start();
  await startThreads(sandbox);
  const parent = `/proc/${sandbox.supervisorPid}/task/${sandbox.supervisorPid}/children`;
  const children = (await readFile(parent, 'utf8')).trim().split(' ');
  const names = await Promise.all(children.map(async (pid) => readFile(`/proc/${pid}/comm`, 'utf8')));
  const victim = Number(children[names.findIndex((name) => name === 'node\n')]);
  const outcome = dumped(stage, sandbox);
  await seizing(spec);
  process.kill(victim, 'SIGKILL');
  t.diagnostic(await outcome);
  // Where CRIU came to its end the sandbox goes on; where it had to be ended, so has the sandbox.
  if ((await outcome).includes('meanwhile')) await until(() => died);
  else assert.equal((await sh(sandbox, 'echo on')).output, 'on\n');
  await nothingIsLeft(stage, sandbox);
});

test(
  'a helper that starts after sandbox and helper were killed in a dump ends what is left of it',
  options,
  async () => {
    await using stage = await setStage();
    await mkdir(stage.stateDirectory, { recursive: true });
    const spec = stage.spec();
    const program = join(import.meta.dirname, 'sandbox-oci-doomed.ts');
    const argv = [program, stage.stateDirectory, JSON.stringify(spec), 'dumping'];
    const doomed = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    let words = '';
    doomed.stdout.on('data', (data: Buffer) => (words += data.toString()));
    await seizing(spec);
    const { pid } = z.object({ pid: z.int() }).parse(JSON.parse(words));
    process.kill(pid, 'SIGKILL');
    doomed.kill('SIGKILL');
    const second = await stage.restartedBackend().adopt(spec);
    assert.equal(second.state, 'stopped');
    await nothingIsLeft(stage, second);
  },
);
