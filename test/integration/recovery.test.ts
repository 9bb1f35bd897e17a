/** A real agent at work whose sandbox is killed in the middle of a task, alone or together with its helper: it ends as if nothing had happened. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { killAndRestore, type KillStyle } from '../../host-helper/bench/kill-run.ts';
import { PolicyHelpers, startUnder } from '../../host-helper/bench/policy-helpers.ts';
import { recordFaultFree } from '../../host-helper/bench/recovery.ts';
import { makeWorkspace, workloads } from '../../host-helper/bench/workloads/workloads.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

async function killed(context: TestContext, name: string, style: KillStyle, seed: string): Promise<void> {
  const task = Object.values(workloads)
    .flat()
    .find((each) => each.name === name);
  assert.ok(task);
  const directory = await mkdtemp('/var/tmp/turntable-test-');
  try {
    await using helpers = new PolicyHelpers(directory);
    const workspace = await makeWorkspace(task, join(directory, 'work'));
    const faultFree = await recordFaultFree(helpers, task, workspace);
    let host = await startUnder('effects', join(directory, 'killed'));
    try {
      const { features } = await host.helper.client.request('doctor', {});
      const processes = features.find((feature) => feature.name === 'processes');
      if (processes?.status !== 'ok' && task.probes.length > 0) {
        context.skip(`this host cannot dump processes: ${processes?.detail ?? 'unknown'}`);
        return;
      }
      const ended = await killAndRestore({ host, task, workspace, faultFree, style, seed });
      host = ended.host;
      assert.deepEqual(ended.run.notes, []);
      assert.deepEqual([ended.run.equal, ended.run.finished], [true, true]);
      assert.ok(ended.run.boundaries > 0);
    } finally {
      await host.helper.down();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test(
  'a sandbox that is killed comes back with the memory of its server, and the agent goes on as if nothing had happened',
  options,
  (context) => killed(context, 'counter-service', 'sandbox', 'in the middle'),
);

test(
  'a repair goes on under another helper after sandbox and helper were killed together',
  options,
  (context) => killed(context, 'repair-duration', 'spot', 'taken away'),
);
