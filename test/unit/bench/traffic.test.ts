import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summariseTraffic, type PolicyRun } from '../../../host-helper/bench/traffic.ts';
import type { EffectClass, Turn } from '../../../host-helper/protocol/state.ts';

function turn(
  effectClass: EffectClass,
  bytesWritten: number,
  bytesStored: number,
  kind: Turn['kind'] = 'agent',
): Turn {
  const checkpoint = {
    ...{ id: 'c', restorable: true, reason: '', reused: false, hasProcesses: false },
    ...{ bytesStored, bytesWritten, inspectMs: 0, filesMs: 0, processesMs: 0, heldMs: 0 },
  };
  return { id: 0, parent: null, kind, state: 'closed', label: '', startedAt: 0, effectClass, checkpoint };
}

function run(policy: string, turns: Turn[]): PolicyRun {
  return { policy, family: 'code-repair', task: 't', turns };
}

test('what is saved is told of what was written and of what stays, and the first state counts for nobody', () => {
  const traffic = summariseTraffic([
    run('ours', [turn('none', 999, 999, 'start'), turn('none', 0, 0), turn('full', 100, 40)]),
    run('fullEveryTurn', [turn('none', 999, 999, 'start'), turn('none', 400, 50), turn('full', 600, 50)]),
  ]);
  assert.equal(traffic.savedVsFull, 0.9);
  assert.equal(traffic.savedStoredVsFull, 0.6);
  assert.equal(traffic.savedVsPlainImages, 0.96);
  assert.equal(traffic.byPolicy['ours']?.turns, 2);
});

test('turns that needed nothing are counted under ours only', () => {
  const traffic = summariseTraffic([
    run('ours', [turn('none', 0, 0), turn('files', 1, 1), turn('none', 0, 0), turn('full', 1, 1)]),
    run('fullEveryTurn', [turn('none', 1, 1)]),
  ]);
  assert.equal(traffic.skipRate, 0.5);
  assert.deepEqual(traffic.classMix['code-repair'], { none: 2, files: 1, processes: 0, full: 1 });
});
