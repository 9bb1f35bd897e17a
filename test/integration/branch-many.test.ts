/** Many branches from one turn, for real. */

import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { turntable } from '../../host-helper/demo/helper-process.ts';
import type { Client } from '../../host-helper/protocol/client.ts';
import { dumps } from './archive-fixture.ts';
import { askCounter, startCounter } from './bad-luck-fixture.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

test('branches of one turn are made many at a time, numbered, each on its own', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const { client } = fixture;
  const processes = await dumps(client);
  const session = await fixture.start();
  await fixture.exec(session, 'echo kept > a');
  const { turn } = await fixture.exec(session, processes ? startCounter : 'true');
  const result = await client.request('branch/many', {
    sessionId: session,
    turn: turn.id,
    count: 5,
    title: 'try',
  });
  cleanUp(
    context,
    client,
    result.branches.map((branch) => branch.sessionId),
  );
  assert.deepEqual(result.failed, []);
  assert.equal(result.branches.length, 5);
  const state = (await fixture.watch()).subscription.state.sessions;
  assert.deepEqual(result.branches.map((branch) => state[branch.sessionId]?.title).sort(), [
    'try 1',
    'try 2',
    'try 3',
    'try 4',
    'try 5',
  ]);
  for (const [index, { sessionId, restoredProcesses }] of result.branches.entries()) {
    assert.equal(restoredProcesses, processes);
    assert.equal(await fixture.output(sessionId, `cat a; echo ${index} > a`), 'kept\n');
    // Each counts for itself.
    if (processes) assert.equal(await fixture.output(sessionId, askCounter), '2\n');
  }
  assert.equal(await fixture.output(session, 'cat a'), 'kept\n');
  await assert.rejects(client.request('branch/many', { sessionId: session, turn: 99, count: 2 }), {
    code: 'turnNotFound',
  });

  const many = [
    'branch',
    session,
    String(turn.id),
    '--count',
    '2',
    '--state-dir',
    fixture.stateDirectory,
    '--json',
  ];
  const made = await turntable(many);
  assert.equal(made.code, 0, made.stdout);
  const { branches } = z
    .object({ branches: z.array(z.object({ sessionId: z.string() })) })
    .parse(JSON.parse(made.stdout));
  assert.equal(branches.length, 2);
  cleanUp(
    context,
    client,
    branches.map((branch) => branch.sessionId),
  );
});

function cleanUp(context: TestContext, client: Client, sessionIds: readonly string[]): void {
  context.after(async () => {
    for (const sessionId of sessionIds) await client.request('session/remove', { sessionId });
  });
}
