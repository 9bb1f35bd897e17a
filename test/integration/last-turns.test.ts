/** A real agent's last turn, which no request follows: closed with what was done, however it ends. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Script } from '../../host-helper/demo/script.ts';
import { startScriptedModel } from '../../host-helper/demo/scripted-model.ts';
import { untilFinished, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import type { SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { DoomedHelper } from './bad-luck-fixture.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

interface Work {
  readonly helper: DoomedHelper;
  readonly session: string;
  /** Whoever started it goes. */
  leave(): void;
  until(what: string, holds: (session: SessionState) => boolean): Promise<SessionState>;
}

/** pi at work on `commands`, one a turn; without a prompt it sits at its terminal. */
async function atWork(
  context: TestContext,
  commands: readonly string[],
  prompt: string | undefined,
): Promise<Work | undefined> {
  const script: Script = {
    title: 'Work',
    keyword: undefined,
    steps: commands.map((command) => ({ say: 'Next.', tool: { kind: 'bash', command } })),
    closings: [{ when: undefined, say: 'Done.' }],
  };
  const model = await startScriptedModel({ scripts: [script], thinkMs: 20 });
  const helper = await DoomedHelper.create(context);
  context.after(() => model.close());
  await helper.up();
  const starter = await helper.connect();
  const request = { workspace: helper.workspace, agent: 'pi', upstream: model.url };
  try {
    const { sessionId } = await starter.request('session/start', {
      ...request,
      ...(prompt === undefined ? {} : { prompt }),
    });
    return {
      helper,
      session: sessionId,
      leave: () => starter.close(),
      until: async (what, holds) => {
        const watched = await helper.watch();
        try {
          return await untilHolds(watched, sessionId, what, holds);
        } finally {
          watched.subscription.close();
        }
      },
    };
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'agentMissing') throw error;
    context.skip(`pi is not installed: ${error.message}`);
    return undefined;
  }
}

function untilHolds(
  watched: WatchedState,
  sessionId: string,
  what: string,
  holds: (session: SessionState) => boolean,
): Promise<SessionState> {
  return watched.until(what, 90_000, (state) => {
    const found = state.sessions[sessionId];
    return found && holds(found) ? found : undefined;
  });
}

/** The agent runs the command that writes `one` and then goes on for long. */
async function inTheMiddle(work: Work): Promise<void> {
  const running = await work.until(
    'the reply',
    ({ agent, turns }) => agent.status === 'running' && turns.at(-1)?.conversation?.toolCalls.length === 1,
  );
  for (let tries = 0; tries < 500; tries += 1) {
    const names = await readdir(running.mount).catch((): string[] => []);
    if (names.includes('one')) return;
    await sleep(50);
  }
  assert.fail('the command did not begin');
}

async function closedWithOne(work: Work, turn: Turn | undefined): Promise<void> {
  assert.ok(turn);
  assert.equal(turn.state, 'closed', turn.label);
  assert.equal(turn.checkpoint?.restorable, true, turn.checkpoint?.reason);
  const path = `${work.helper.workspace}/one`;
  const { content } = await work.helper.client.request('file/read', {
    sessionId: work.session,
    turn: turn.id,
    path,
  });
  assert.equal(Buffer.from(content, 'base64').toString(), '1\n');
}

const longCommand = 'echo 1 > one; sleep 300';

test(
  'a session that is stopped in the middle of a command keeps what the command had done',
  options,
  async (context) => {
    const work = await atWork(context, [longCommand], 'Work.');
    if (!work) return;
    await inTheMiddle(work);
    await work.helper.client.request('session/stop', { sessionId: work.session });
    const stopped = await work.helper.session(work.session);
    assert.equal(stopped.status, 'stopped');
    await closedWithOne(work, stopped.turns.at(-1));
  },
);

test(
  'a helper that is stopped in the middle of a command keeps what the command had done',
  options,
  async (context) => {
    const work = await atWork(context, [longCommand], 'Work.');
    if (!work) return;
    await inTheMiddle(work);
    await work.helper.client.request('helper/stop', { sessions: true });
    await work.helper.died();
    await work.helper.up();
    const stopped = await work.helper.session(work.session);
    assert.equal(stopped.status, 'stopped');
    await closedWithOne(
      work,
      stopped.turns.findLast((turn) => turn.kind === 'agent'),
    );
  },
);

test(
  'a sandbox that dies under a command leaves the turn closed with what the command had done',
  options,
  async (context) => {
    const work = await atWork(context, [longCommand], 'Work.');
    if (!work) return;
    await inTheMiddle(work);
    process.kill(await supervisorOf(work), 'SIGKILL');
    const failed = await work.until(
      'the end',
      ({ status, turns }) => status === 'failed' && turns.every((turn) => turn.state === 'closed'),
    );
    await closedWithOne(work, failed.turns.at(-1));
  },
);

test(
  'an agent whose client has gone works on, and its turns are closed when somebody looks again',
  options,
  async (context) => {
    const work = await atWork(context, ['echo 1 > one', 'sleep 1'], 'Work.');
    if (!work) return;
    work.leave();
    const again = await work.helper.watch();
    const finished = await untilFinished(again, work.session, 90_000);
    again.subscription.close();
    assert.equal(finished.agent.status, 'finished');
    await closedWithOne(work, finished.turns.at(-1));
  },
);

test(
  'an agent that stays at its terminal has its last turn closed once it is at rest',
  options,
  async (context) => {
    const work = await atWork(context, ['echo 1 > one'], undefined);
    if (!work) return;
    const { client } = work.helper;
    let screen = '';
    client.onNotification('terminal/data', ({ data }) => {
      screen += Buffer.from(data, 'base64').toString();
    });
    const { backlog } = await client.request('terminal/attach', {
      sessionId: work.session,
      columns: 100,
      rows: 30,
    });
    screen = Buffer.from(backlog, 'base64').toString() + screen;
    for (let tries = 0; tries < 600 && !screen.includes('/200k'); tries += 1) await sleep(50);
    await client.request('terminal/input', {
      sessionId: work.session,
      data: Buffer.from('Work.\r').toString('base64'),
    });
    const rested = await work.until(
      'the last turn',
      ({ turns }) => turns.length >= 3 && turns.every((turn) => turn.state === 'closed'),
    );
    assert.equal(rested.agent.status, 'running');
    assert.deepEqual(rested.turns.at(-1)?.conversation?.toolCalls, []);
    await closedWithOne(work, rested.turns.at(-1));
  },
);

/** The first process of the session's sandbox, as the host sees it. */
async function supervisorOf(work: Work): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const group = await readFile(`/proc/${entry}/cgroup`, 'utf8').catch(() => '');
    if (!group.includes(work.session)) continue;
    const argv = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (argv[1] === 'init') return Number(entry);
  }
  return assert.fail('the sandbox has no first process');
}
