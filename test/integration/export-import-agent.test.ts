/** A real agent that was at work moves with its session, and finishes under another helper. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSampleRepository } from '../../host-helper/demo/sample-repository.ts';
import { samplePrompt } from '../../host-helper/demo/sample-script.ts';
import { answerApprovals, untilFinished } from '../../host-helper/demo/sample-session.ts';
import { dumps, exported, imported } from './archive-fixture.ts';
import { HelperFixture } from './helper-fixture.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

test(
  'a real agent that was at work goes on under the other helper and finishes',
  options,
  async (context) => {
    const there = await HelperFixture.own(context);
    const here = await HelperFixture.own(context);
    const processes = await dumps(there.client);
    await createSampleRepository(there.workspace);
    const [from, to] = [await there.watch(), await here.watch()];
    for (const { client } of [there, here]) {
      const approvals = await answerApprovals(client, () => 'allow');
      context.after(() => approvals.stop());
    }
    const { sessionId } = await there.client.request('session/start', {
      workspace: there.workspace,
      agent: 'pi',
      prompt: samplePrompt,
    });
    const finished = await untilFinished(from, sessionId, 240_000);
    const server = finished.turns.find((turn) =>
      turn.effects?.processes.survivors.some((each) => each.startedInTurn && each.ports.includes(5173)),
    );
    assert.ok(server, 'the sample starts a server');
    const archive = await exported(there.client, { sessionId, turn: server.id });
    await there.client.request('session/remove', { sessionId });

    const result = await imported(here.client, archive, { processes: true });
    assert.deepEqual(result.notes, []);
    await here.client.request('session/resume', { sessionId: result.sessionId });
    const moved = await untilFinished(to, result.sessionId, 240_000);
    assert.equal(moved.agent.status, 'finished', moved.agent.detail);
    assert.ok(moved.turns.length > result.turns, 'it did more here');
    const labels = (turns: typeof moved.turns): string[] =>
      turns.filter((turn) => turn.kind === 'agent').map((turn) => turn.label);
    if (processes)
      assert.deepEqual(
        labels(moved.turns),
        labels(finished.turns),
        'the very same steps, as if it had not moved',
      );
  },
);
