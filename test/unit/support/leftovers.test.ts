/** The guard at the end of a test run: it must see what a run leaves, and blame it for nothing else. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { leftovers, traces } from '../../support/leftovers.ts';

const run = {
  runId: `guard-${process.pid}`,
  directory: '/nowhere/turntable',
  alone: false,
  names: new Set<string>(),
};

function sleeper(runId: string): ReturnType<typeof spawn> {
  return spawn('sleep', ['60'], {
    env: { PATH: '/usr/bin:/bin', TURNTABLE_TEST_RUN: runId },
    stdio: 'ignore',
  });
}

describe('leftovers', () => {
  test('names a process that outlives its run', async () => {
    const before = traces(run);
    const child = sleeper(run.runId);
    await once(child, 'spawn');
    try {
      const left = await leftovers(before, run, 0);
      assert.deepEqual(left, [`process ${child.pid} sleep 60`]);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    assert.deepEqual(await leftovers(before, run, 5000), []);
  });

  test('does not blame a run for the process of another', async () => {
    const child = sleeper('somebody-else');
    await once(child, 'spawn');
    try {
      assert.ok(![...traces(run)].some((trace) => trace.startsWith(`process ${child.pid} `)));
    } finally {
      child.kill();
      await once(child, 'exit');
    }
  });

  test('does not blame a run for what was there before', async () => {
    const child = sleeper(run.runId);
    await once(child, 'spawn');
    try {
      assert.deepEqual(await leftovers(traces(run), run, 0), []);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
  });
});
