import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { untilIdle } from '../../../host-helper/session/agent-idle.ts';

/** A control group in which something runs for so many ticks. */
async function group(context: TestContext, ticks: number): Promise<{ path: string; ticked(): number }> {
  const path = await mkdtemp(join(tmpdir(), 'tt-idle-'));
  let ticked = 0;
  const use = (): void =>
    writeFileSync(join(path, 'cpu.stat'), `usage_usec ${ticked * 20_000}\nuser_usec 1\n`);
  use();
  const busy = setInterval(() => {
    if (ticked >= ticks) clearInterval(busy);
    else ticked += 1;
    use();
  }, 10);
  context.after(async () => {
    clearInterval(busy);
    await rm(path, { recursive: true, force: true });
  });
  return { path, ticked: () => ticked };
}

const hour = 3_600_000;

test('what does not run is at rest, long before the cap', async (context) => {
  const { path } = await group(context, 0);
  await untilIdle(path, hour, new AbortController().signal);
});

test('what runs is not at rest until it stops', async (context) => {
  const { path, ticked } = await group(context, 40);
  await untilIdle(path, hour, new AbortController().signal);
  assert.equal(ticked(), 40);
});

test('what is always busy is waited for no longer than the cap', async (context) => {
  const { path } = await group(context, Infinity);
  await untilIdle(path, 350, new AbortController().signal);
});

test('where the kernel does not tell, the cap holds', async (context) => {
  const { path } = await group(context, 0);
  await untilIdle(join(path, 'nothing'), 120, new AbortController().signal);
});

test('the wait ends when it is no longer of interest', async (context) => {
  const { path } = await group(context, Infinity);
  const given = new AbortController();
  const wait = untilIdle(path, hour, given.signal);
  given.abort();
  await assert.rejects(wait, { name: 'AbortError' });
});

test('a process that has not got to run for a while is not at rest', async (context) => {
  const { path } = await group(context, 0);
  // It runs all the time, or would; the processor time says nothing of it.
  const busy = spawn('sh', ['-c', 'while :; do :; done']);
  context.after(() => busy.kill('SIGKILL'));
  writeFileSync(join(path, 'cgroup.procs'), `${busy.pid}\n`);
  const begun = performance.now();
  await untilIdle(path, 900, new AbortController().signal);
  assert.ok(performance.now() - begun >= 900);
});
