/** Everything at once: clients that vanish, rewinds beside rewinds, sessions that are removed while they are at work. */

import assert from 'node:assert/strict';
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectHelper } from '../../host-helper/cli/connect.ts';
import { exec, untilAsked, untilTurn } from './bad-luck-fixture.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

function connect(fixture: HelperFixture): ReturnType<typeof connectHelper> {
  return connectHelper(join(fixture.stateDirectory, 'helper.sock'));
}

test('a client that vanishes ends its command, and the turn is closed', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  const watched = await fixture.watch();
  const client = await connect(fixture);
  const running = exec(client, session, 'echo began > a; sleep 60; echo ended > b').catch(() => {});
  await untilTurn(watched, session, 'the command', (turn) => turn.kind === 'command');
  await sleep(500);
  client.close();
  await running;
  const turn = await untilTurn(
    watched,
    session,
    'its end',
    (each) => each.kind === 'command' && each.state === 'closed',
  );
  assert.equal(turn.checkpoint?.restorable, true);
  assert.equal(await fixture.output(session, 'cat a; test ! -e b'), 'began\n');
});

test('a client that vanishes while it waits for an answer has been told no', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  const watched = await fixture.watch();
  const client = await connect(fixture);
  const running = client
    .request('session/exec', { sessionId: session, argv: ['git', 'push', 'nowhere'] })
    .catch(() => {});
  const { id } = await untilAsked(watched, session);
  client.close();
  await running;
  const settled = await watched.until('the question to end', 20_000, (state) =>
    state.approvals[id]?.state === 'pending' ? undefined : (state.approvals[id]?.state ?? 'gone'),
  );
  assert.notEqual(settled, 'allowed');
  await untilTurn(watched, session, 'its end', (each) => each.kind === 'command' && each.state === 'closed');
  await assert.rejects(fixture.client.request('approval/answer', { id, decision: 'allow' }));
  assert.equal(await fixture.output(session, 'echo goes on'), 'goes on\n');
});

test('a command that takes too long is ended, with what it had written kept', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  const result = await fixture.client.request('session/exec', {
    sessionId: session,
    argv: ['sh', '-c', 'echo began > a; sleep 60 & wait'],
    timeoutMs: 1_000,
  });
  assert.notEqual(result.exitCode, 0);
  assert.equal(result.turn.state, 'closed');
  assert.equal(await fixture.output(session, 'cat a'), 'began\n');
});

test('a preview does not wait for a command, and a rewind ends it', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  await fixture.exec(session, 'echo 1 > a');
  const running = fixture.exec(session, 'echo 2 > a; touch ready; sleep 60');
  const mount = (await fixture.watch()).subscription.state.sessions[session]?.mount ?? '';
  await appears(join(mount, 'ready'));
  const preview = await fixture.client.request('rewind/preview', { sessionId: session, turn: 1 });
  assert.ok(preview.changes.some((each) => each.path === join(fixture.workspace, 'a')));
  const { safetyTurn } = await fixture.client.request('rewind', { sessionId: session, turn: 1 });
  const ended = await running;
  assert.equal(ended.turn.id, safetyTurn, 'the turn of the command is where one can go back to');
  assert.equal(ended.turn.state, 'closed');
  assert.equal(await fixture.output(session, 'cat a'), '1\n');
});

test('a rewind while a person is asked withdraws the question', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  await fixture.exec(session, 'echo 1 > a');
  const watched = await fixture.watch();
  const running = fixture.exec(session, 'echo 2 > a; git push nowhere; echo 3 > a');
  const { id } = await untilAsked(watched, session);
  await fixture.client.request('rewind', { sessionId: session, turn: 1 });
  assert.equal((await running).turn.state, 'closed');
  const state = await watched.until('the question to end', 10_000, (now) =>
    now.approvals[id]?.state === 'pending' ? undefined : (now.approvals[id]?.state ?? 'gone'),
  );
  assert.notEqual(state, 'allowed');
  assert.equal(await fixture.output(session, 'cat a'), '1\n');
});

test('two rewinds at once happen one after the other', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  for (const number of [1, 2, 3]) await fixture.exec(session, `echo ${number} > a`);
  const [one, two] = await Promise.all([
    fixture.client.request('rewind', { sessionId: session, turn: 1 }),
    fixture.client.request('rewind', { sessionId: session, turn: 2 }),
  ]);
  assert.deepEqual([one.head, two.head], [1, 2]);
  assert.equal(await fixture.output(session, 'cat a'), '2\n');
  await fixture.client.request('rewind', { sessionId: session, turn: one.safetyTurn });
  assert.equal(await fixture.output(session, 'cat a'), '3\n');
});

test(
  'a stop during a rewind leaves a stopped session at the turn it was brought to',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    for (const number of [1, 2]) await fixture.exec(session, `echo ${number} > a`);
    const rewound = fixture.client.request('rewind', { sessionId: session, turn: 1 });
    await fixture.client.request('session/stop', { sessionId: session });
    await rewound;
    const state = (await fixture.watch()).subscription.state.sessions[session];
    assert.deepEqual([state?.status, state?.head], ['stopped', 1]);
    await fixture.client.request('session/resume', { sessionId: session });
    assert.equal(await fixture.output(session, 'cat a'), '1\n');
  },
);

test(
  'a session can be removed while anything is under way, and nothing of it stays',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const remove = (sessionId: string): Promise<unknown> =>
      fixture.client.request('session/remove', { sessionId });
    const settle = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);

    const rewinding = await fixture.start();
    await fixture.exec(rewinding, 'echo 1 > a');
    await Promise.all([
      settle(fixture.client.request('rewind', { sessionId: rewinding, turn: 0 })),
      settle(fixture.client.request('rewind/preview', { sessionId: rewinding, turn: 0 })),
      remove(rewinding),
      settle(fixture.client.request('session/stop', { sessionId: rewinding })),
      settle(fixture.exec(rewinding, 'echo 2 > a')),
    ]);

    const running = await fixture.start();
    const command = settle(fixture.exec(running, 'sleep 60'));
    await sleep(300);
    await remove(running);
    await command;

    const origin = await fixture.start();
    await fixture.exec(origin, 'echo 1 > a');
    const watched = await fixture.watch();
    const branched = settle(fixture.client.request('branch', { sessionId: origin, turn: 1 }));
    const branch = await watched.until('the branch', 20_000, (state) =>
      Object.values(state.sessions).find((each) => each.origin?.sessionId === origin),
    );
    await Promise.all([settle(remove(branch.id)), remove(origin)]);
    await branched;

    const starting = settle(fixture.start());
    const begun = await watched.until('a session that starts', 20_000, (state) =>
      Object.values(state.sessions).find((each) => each.status === 'starting'),
    );
    await settle(remove(begun.id));
    await starting;

    const gone = [rewinding, running, branch.id, origin, begun.id];
    const { sessions } = (await fixture.watch()).subscription.state;
    assert.deepEqual(
      gone.filter((id) => sessions[id]),
      [],
    );
    const left = await readdir(join(fixture.stateDirectory, 'sessions'));
    assert.deepEqual(
      gone.filter((id) => left.includes(id)),
      [],
    );
  },
);

test(
  'a program that is exchanged between the question and the answer is asked about anew',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    const watched = await fixture.watch();
    const running = fixture.exec(
      session,
      '(sleep 1; cp /usr/bin/touch /usr/bin/git.new; mv /usr/bin/git.new /usr/bin/git; echo > swapped) & git push hacked; echo "$?" > code; wait',
    );
    const { id } = await untilAsked(watched, session);
    const mount = watched.subscription.state.sessions[session]?.mount ?? '';
    await appears(join(mount, 'swapped'));
    await fixture.client.request('approval/answer', { id, decision: 'allow', scope: 'once' });
    // The answer was for what was shown; what lies there now is asked about anew.
    const again = await watched.until('a second question', 20_000, (state) =>
      Object.values(state.approvals).find(
        (each) => each.sessionId === session && each.state === 'pending' && each.id !== id,
      ),
    );
    await fixture.client.request('approval/answer', { id: again.id, decision: 'deny' });
    await running;
    assert.equal(
      await fixture.output(
        session,
        'test ! -e hacked && test ! -e push && test "$(cat code)" != 0 && echo safe',
      ),
      'safe\n',
    );
  },
);

test(
  'links that an agent plants lead the helper nowhere: not on rewind, not on apply',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const canary = join(fixture.directory, 'canary');
    await mkdir(canary);
    await writeFile(join(canary, 'one.txt'), 'precious\n');
    const untouched = async (): Promise<void> => {
      assert.deepEqual(await readdir(canary), ['one.txt']);
      assert.equal(await readFile(join(canary, 'one.txt'), 'utf8'), 'precious\n');
    };
    const session = await fixture.start();
    const planted = await fixture.exec(
      session,
      `rm -rf src; ln -s ${canary} src; ln -s ${canary}/one.txt link; ln -s ${canary} ~/link`,
    );
    await fixture.exec(
      session,
      'rm src link; mkdir src; echo agent > src/one.txt; echo agent > link; rm ~/link; mkdir ~/link; echo x > ~/link/one.txt',
    );
    const mount = (await fixture.watch()).subscription.state.sessions[session]?.mount ?? '';
    // A person's changes, which a rewind puts back where the links are again.
    await writeFile(join(mount, 'src/one.txt'), 'mine\n');
    await writeFile(join(mount, 'link'), 'mine\n');
    await fixture.client.request('rewind', {
      sessionId: session,
      turn: planted.turn.id,
      conflicts: 'keep-mine',
    });
    await untouched();
    // From links to directories and back, with files below.
    await fixture.client.request('rewind', { sessionId: session, turn: 0, conflicts: 'take-theirs' });
    await untouched();
    await fixture.client.request('rewind', {
      sessionId: session,
      turn: planted.turn.id,
      conflicts: 'take-theirs',
    });
    await untouched();
    await fixture.client.request('apply', { sessionId: session, conflicts: 'take-theirs' });
    await untouched();
    await fixture.exec(
      session,
      'rm -f src link; mkdir src; echo evil > src/one.txt; echo evil > src/new; echo evil > link',
    );
    // The developer's folder has the links now: an apply must not write through them.
    await fixture.client.request('apply', { sessionId: session, conflicts: 'take-theirs' });
    await untouched();
  },
);

test('a store through a shared mapping is never taken for nothing', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  if ((await fixture.exec(session, 'python3 -c "import mmap"')).exitCode !== 0) {
    context.skip('needs python3 on the host');
    return;
  }
  const program =
    'import mmap,time\nf=open("map","r+b");m=mmap.mmap(f.fileno(),4096)\nn=0\nwhile True:\n  n+=1;m[0:8]=b"%08d"%n;time.sleep(0.05)\n';
  await fixture.exec(
    session,
    `head -c 4096 /dev/zero > map; setsid nohup python3 -c '${program}' >/dev/null 2>&1 & sleep 0.5`,
  );
  const first = await fixture.exec(session, 'sleep 0.3');
  const second = await fixture.exec(session, 'sleep 0.3');
  const numbers: number[] = [];
  for (const { turn } of [first, second]) {
    assert.notEqual(turn.effectClass, 'none');
    const { content } = await fixture.client.request('file/read', {
      sessionId: session,
      turn: turn.id,
      path: join(fixture.workspace, 'map'),
    });
    numbers.push(Number(Buffer.from(content, 'base64').subarray(0, 8).toString()));
  }
  assert.ok((numbers[1] ?? 0) > (numbers[0] ?? 0), numbers.join());
});

test(
  'a sandbox that ends under a command keeps what it had written, and is resumed with it',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    const watched = await fixture.watch();
    const running = fixture.exec(session, 'echo kept > a; touch ready; sleep 60');
    await appears(join(watched.subscription.state.sessions[session]?.mount ?? '', 'ready'));
    process.kill(await supervisorOf(session), 'SIGKILL');
    await running;
    const failed = await watched.until('the session to fail', 20_000, (state) => {
      const found = state.sessions[session];
      return found?.status === 'failed' ? found : undefined;
    });
    assert.match(failed.detail ?? '', /session resume/);
    assert.deepEqual(
      failed.turns.map((turn) => [turn.state, turn.checkpoint?.restorable]),
      [
        ['closed', true],
        ['closed', true],
      ],
    );
    await fixture.client.request('session/resume', { sessionId: session });
    assert.equal(await fixture.output(session, 'cat a'), 'kept\n');
  },
);

/** Host pid of the first process of a session's sandbox. */
async function supervisorOf(session: string): Promise<number> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    if (!cgroup.includes(session)) continue;
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (argv[1] === 'init') return Number(pid);
  }
  return assert.fail('the sandbox has no first process');
}

async function appears(path: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return;
    await sleep(50);
  }
  assert.fail(`${path} does not appear`);
}
