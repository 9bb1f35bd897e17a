import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeBugs } from '../../../../host-helper/bench/workloads/code-bugs.ts';
import { promptOf, scriptOf } from '../../../../host-helper/bench/workloads/task.ts';
import { makeWorkspace, workloads } from '../../../../host-helper/bench/workloads/workloads.ts';
import { treeDigest } from '../../../../host-helper/demo/tree-digest.ts';

const tasks = Object.values(workloads).flat();

test('each family has ten tasks at least, of six to twelve turns each', () => {
  for (const [family, list] of Object.entries(workloads)) {
    assert.ok(list.length >= 10, `${family}: ${list.length}`);
    for (const { name, steps } of list)
      assert.ok(steps.length >= 6 && steps.length <= 12, `${name}: ${steps.length}`);
  }
});

test('a task’s message names its own script and no other', () => {
  assert.equal(new Set(tasks.map((task) => task.name)).size, tasks.length);
  for (const task of tasks) {
    const named = tasks.filter((other) => promptOf(task).includes(scriptOf(other).keyword ?? ''));
    assert.deepEqual(
      named.map((each) => each.name),
      [task.name],
    );
  }
});

test('what is wrong stands in its module once, so that an edit can find it', () => {
  for (const bug of codeBugs) assert.equal(bug.module.split(bug.wrong).length, 2, bug.name);
});

test('the folder of a task is the same whenever it is made, git’s own times aside', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'turntable-workloads-'));
  try {
    const task = workloads['shell-intensive'][0];
    assert.ok(task);
    const made = [
      await makeWorkspace(task, join(directory, 'a')),
      await makeWorkspace(task, join(directory, 'b')),
    ];
    const [one, other] = await Promise.all(made.map((path) => treeDigest(path)));
    assert.equal(one, other);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
