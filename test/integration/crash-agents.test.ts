/** A real agent (pi) whose helper is killed under it: it keeps its process, finds its model again, and ends its task. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Script } from '../../host-helper/demo/script.ts';
import { startScriptedModel } from '../../host-helper/demo/scripted-model.ts';
import type { SessionState } from '../../host-helper/protocol/state.ts';
import { untilAsked } from './bad-luck-fixture.ts';
import { CrashLab } from './crash-lab.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

const commands = [
  'echo 1 >one',
  // Nothing is started any more once `begun` is there: while there is no helper no program could be.
  'sleep 4 & touch made; touch begun; wait; echo 2 >two',
  'echo 3 >three',
  'cat one two three >all',
];

async function atWork(
  context: TestContext,
  thinkMs: number,
): Promise<{ lab: CrashLab; session: string } | undefined> {
  const lab = await CrashLab.create(context);
  const script: Script = {
    title: 'Work',
    keyword: undefined,
    steps: commands.map((command) => ({ say: 'Next.', tool: { kind: 'bash', command } })),
    closings: [{ when: undefined, say: 'Done.' }],
  };
  const model = await startScriptedModel({ scripts: [script], thinkMs });
  context.after(() => model.close());
  try {
    const { sessionId } = await lab.helper.client.request('session/start', {
      workspace: lab.helper.workspace,
      agent: 'pi',
      prompt: 'Do the work.',
      upstream: model.url,
    });
    return { lab, session: sessionId };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'agentMissing')) throw error;
    context.skip('pi is not installed: run npm test');
    return undefined;
  }
}

async function until(
  lab: CrashLab,
  session: string,
  what: string,
  holds: (state: SessionState) => boolean,
): Promise<SessionState> {
  const watched = await lab.helper.watch();
  const found = await watched.until(what, 120_000, ({ sessions }) => {
    const state = sessions[session];
    return state && holds(state) ? state : undefined;
  });
  watched.subscription.close();
  return found;
}

/** What runs in the session's cgroup, as pids of the host. */
async function processesOf(session: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const cgroup = await readFile(`/proc/${entry}/cgroup`, 'utf8').catch(() => '');
    if (cgroup.includes(`/${session}`)) found.push(Number(entry));
  }
  return found;
}

/** The agent's process on the host: the node that runs in the session's cgroup. */
async function agentPid(session: string): Promise<number> {
  for (const pid of await processesOf(session)) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (/(^|\/)(pi|node)\0/.test(command)) return pid;
  }
  return assert.fail('the agent does not run');
}

async function endsWell(lab: CrashLab, session: string): Promise<SessionState> {
  const ended = await until(
    lab,
    session,
    'the agent to finish',
    (state) =>
      ['finished', 'failed'].includes(state.agent.status) &&
      state.turns.every((turn) => turn.state === 'closed'),
  );
  assert.equal(ended.agent.status, 'finished', ended.agent.detail);
  for (const turn of ended.turns)
    assert.equal(turn.checkpoint?.restorable, true, `turn ${turn.id}: ${turn.checkpoint?.reason ?? ''}`);
  assert.deepEqual(
    ended.turns.map((turn) => turn.id),
    ended.turns.map((_turn, index) => index),
    'turns are numbered on',
  );
  assert.equal(await lab.helper.output(session, 'cat all'), '1\n2\n3\n');
  assert.equal((await lab.helper.client.request('audit', {})).intact, true);
  return ended;
}

test(
  'an agent whose helper is killed while its model thinks, and again while a tool runs, goes on and ends its task',
  options,
  async (context) => {
    const work = await atWork(context, 1_500);
    if (!work) return;
    const { lab, session } = work;
    const socket = join(lab.helper.stateDirectory, 'sessions', session, 'model.sock');
    await until(lab, session, 'the first request', (state) => state.agent.status === 'thinking');
    const pid = await agentPid(session);
    await lab.helper.kill();
    await lab.up();
    assert.ok((await stat(socket)).isSocket(), 'its endpoint is where it was');
    await lab.check();
    const { mount } = await lab.helper.session(session);
    while (!existsSync(join(mount, 'begun'))) await sleep(20);
    await lab.helper.kill();
    await lab.up();
    await lab.check();
    assert.equal(await agentPid(session), pid, 'it is the same process');
    await endsWell(lab, session);
  },
);

test(
  'an agent whose first turn was about to be published when the power went is told again what to do',
  options,
  async (context) => {
    const work = await atWork(context, 50);
    if (!work) return;
    const { lab, session } = work;
    await lab.setTrap('checkpoint:unpublished');
    assert.equal(await lab.helper.died(), 'SIGKILL');
    await lab.clearTrap();
    for (const pid of await processesOf(session)) process.kill(pid, 'SIGKILL');
    await lab.up();
    await lab.helper.client.request('session/resume', { sessionId: session });
    await endsWell(lab, session);
  },
);

test(
  'a helper killed as it lets a reply through loses neither the checkpoint nor the agent',
  options,
  async (context) => {
    const work = await atWork(context, 50);
    if (!work) return;
    const { lab, session } = work;
    await until(lab, session, 'a turn', (state) => state.turns.some((turn) => turn.kind === 'agent'));
    await lab.setTrap('checkpoint:released');
    assert.equal(await lab.helper.died(), 'SIGKILL');
    await lab.clearTrap();
    await lab.up();
    await lab.check();
    await endsWell(lab, session);
  },
);

test(
  'a restarted helper starts with no grant, numbers turns on, and its audit log goes on unbroken',
  options,
  async (context) => {
    const lab = await CrashLab.create(context);
    const session = await lab.start();
    const push = 'git push nowhere';
    const ask = async (decision: 'allow' | 'deny'): Promise<void> => {
      const asked = lab.helper.exec(session, push);
      const approval = await untilAsked(await lab.helper.watch(), session);
      await lab.helper.client.request('approval/answer', { id: approval.id, decision, scope: 'session' });
      assert.notEqual((await asked).exitCode, 0, 'there is nowhere to push to');
    };
    await ask('allow');
    // Covered by what was allowed for the session: not asked again.
    await lab.helper.exec(session, push);
    const before = await lab.helper.session(session);
    const { entries } = await lab.helper.client.request('audit', {});
    await lab.helper.kill();
    await lab.up();
    await lab.check();
    await ask('deny');
    const after = await lab.helper.session(session);
    assert.equal(after.turns.length, before.turns.length + 1);
    assert.equal(after.turns.at(-1)?.id, before.turns.length);
    assert.equal(after.turns.at(-1)?.parent, before.head);
    const audit = await lab.helper.client.request('audit', { limit: 1000 });
    assert.equal(audit.intact, true);
    assert.deepEqual(audit.entries.slice(0, entries.length), entries);
  },
);
