/** A real agent (pi) whose provider fails, whose requests hang, or that dies: each session can be stopped, rewound and resumed after it. */

import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import type { Script } from '../../host-helper/demo/script.ts';
import { startScriptedModel, type ScriptedFault } from '../../host-helper/demo/scripted-model.ts';
import { untilFinished, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import type { SessionState } from '../../host-helper/protocol/state.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

interface Work {
  readonly fixture: HelperFixture;
  readonly session: string;
  readonly watched: WatchedState;
  now(): SessionState;
  until(what: string, test: (session: SessionState) => boolean): Promise<SessionState>;
}

/** pi at work on `commands`, one a turn, with a provider that fails as told. */
async function atWork(
  context: TestContext,
  commands: readonly string[],
  fault: (number: number) => ScriptedFault | undefined,
): Promise<Work | undefined> {
  const fixture = await HelperFixture.shared(context);
  const script: Script = {
    title: 'Work',
    keyword: undefined,
    steps: commands.map((command) => ({ say: 'Next.', tool: { kind: 'bash', command } })),
    closings: [{ when: undefined, say: 'Done.' }],
  };
  const model = await startScriptedModel({ scripts: [script], thinkMs: 20, fault });
  context.after(() => model.close());
  const watched = await fixture.watch();
  context.after(() => watched.subscription.close());
  const { features } = await fixture.client.request('doctor', {});
  const agents = features.find((feature) => feature.name.includes('agent'));
  const { sessionId } = await fixture.client
    .request('session/start', {
      workspace: fixture.workspace,
      agent: 'pi',
      prompt: 'Do the work.',
      upstream: model.url,
    })
    .catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'agentMissing')
        return { sessionId: '' };
      throw error;
    });
  if (sessionId === '') {
    context.skip(`pi is not installed: ${agents?.detail ?? 'run npm test'}`);
    return undefined;
  }
  context.after(() => fixture.client.request('session/remove', { sessionId }).catch(() => {}));
  return {
    fixture,
    watched,
    session: sessionId,
    now: () => {
      const found = watched.subscription.state.sessions[sessionId];
      assert.ok(found);
      return found;
    },
    until: (what, holds) =>
      watched.until(what, 60_000, (state) => {
        const found = state.sessions[sessionId];
        return found && holds(found) ? found : undefined;
      }),
  };
}

function closedWhole(session: SessionState): void {
  for (const turn of session.turns) {
    assert.equal(turn.state, 'closed', `turn ${turn.id} ${turn.label}`);
    assert.equal(turn.checkpoint?.restorable, true, `turn ${turn.id}: ${turn.checkpoint?.reason ?? ''}`);
  }
}

test(
  'a provider that answers 500, resets and breaks off in the middle delays the agent, and every turn is whole',
  options,
  async (context) => {
    const faults: Record<number, ScriptedFault> = { 2: 'error', 4: 'reset', 6: 'cut' };
    const work = await atWork(
      context,
      ['echo 1 > one', 'echo 2 > two', 'echo 3 > three'],
      (number) => faults[number],
    );
    if (!work) return;
    const finished = await untilFinished(work.watched, work.session, 90_000);
    assert.equal(finished.agent.status, 'finished', finished.agent.detail);
    closedWhole(finished);
    assert.equal(finished.turns.filter((turn) => turn.kind === 'agent').length, 4, 'a retry is no turn');
    assert.equal(await work.fixture.output(work.session, 'cat one two three'), '1\n2\n3\n');
  },
);

test(
  'an agent whose request is never answered can be rewound, stopped, resumed and asked again',
  options,
  async (context) => {
    let silent = true;
    const work = await atWork(context, ['echo 1 > one', 'echo 2 > two'], (number) =>
      number >= 2 && silent ? 'silence' : undefined,
    );
    if (!work) return;
    const { client } = work.fixture;
    const request = { sessionId: work.session };
    await work.until(
      'the second request',
      (state) => state.turns.filter((turn) => turn.kind === 'agent').length === 2,
    );
    const waiting = await work.until('turn 1 to be closed', (state) => state.turns[1]?.state === 'closed');
    assert.equal(waiting.turns[1]?.checkpoint?.restorable, true);

    await client.request('rewind', { ...request, turn: 0, resume: false });
    const rewound = work.now();
    assert.equal(rewound.head, 0);
    closedWhole(rewound);
    assert.equal(await work.fixture.output(work.session, 'ls; test ! -e one'), 'README.md\nsrc\n');

    await client.request('rewind', { ...request, turn: 1, resume: true });
    await work.until('a request', (state) => state.agent.status === 'thinking');
    await client.request('session/stop', request);
    assert.deepEqual([work.now().status, work.now().agent.status], ['stopped', 'stopped']);
    closedWhole(work.now());

    silent = false;
    await client.request('session/resume', { ...request, prompt: 'Go on.' });
    const finished = await untilFinished(work.watched, work.session, 60_000);
    assert.equal(finished.agent.status, 'finished', finished.agent.detail);
    closedWhole(finished);
    assert.equal(await work.fixture.output(work.session, 'cat one'), '1\n');
  },
);

test(
  'an agent that dies has its turn closed with what it had done, and goes on when it is asked',
  options,
  async (context) => {
    const work = await atWork(
      context,
      ['echo 1 > one', 'echo 2 > two; test -e spare || kill -9 $PPID', 'echo 3 > three'],
      () => undefined,
    );
    if (!work) return;
    const { client } = work.fixture;
    const dead = await untilFinished(work.watched, work.session, 60_000);
    assert.equal(dead.agent.status, 'failed');
    assert.match(dead.agent.detail ?? '', /pi ended with exit code 137/);
    closedWhole(dead);
    assert.equal(await work.fixture.output(work.session, 'cat one two; touch spare'), '1\n2\n');
    await client.request('session/prompt', { sessionId: work.session, prompt: 'Go on.' });
    const finished = await work.until(
      'the agent to end well',
      (state) => state.agent.status === 'finished' && state.turns.every((turn) => turn.state === 'closed'),
    );
    closedWhole(finished);
  },
);

test(
  'a provider that always fails ends the agent with a reason, its turn closed, and the work before it kept',
  options,
  async (context) => {
    const work = await atWork(context, ['echo 1 > one'], (number) => (number >= 2 ? 'error' : undefined));
    if (!work) return;
    const failed = await untilFinished(work.watched, work.session, 120_000);
    closedWhole(failed);
    assert.match(failed.turns.at(-1)?.label ?? '', /model error|did not answer/);
    assert.equal(await work.fixture.output(work.session, 'cat one'), '1\n');
  },
);
