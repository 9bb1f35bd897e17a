/** The whole helper for real: runc, overlays, BPF, CRIU, SQLite; driven through the protocol as a client would. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { cliPath, turntable } from '../../host-helper/demo/helper-process.ts';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import { TurntableError } from '../../host-helper/protocol/errors.ts';
import { closeShared, HelperFixture } from './helper-fixture.ts';

after(closeShared);

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

/** A web server that counts its requests in memory: what only a process image can bring back. */
const counter =
  'let n = 0; require("node:http").createServer((q, r) => r.end(String(++n))).listen(5173, "127.0.0.1")';
const startServer = `setsid nohup ${process.execPath} -e '${counter}' >/dev/null 2>&1 & for i in $(seq 100); do ${ask()} >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1`;

function ask(): string {
  return `${process.execPath} -e 'fetch("http://127.0.0.1:5173").then(async (r) => console.log(await r.text()), () => process.exit(1))'`;
}

async function canDump(fixture: HelperFixture, context: TestContext): Promise<boolean> {
  const { features } = await fixture.client.request('doctor', {});
  const processes = features.find((feature) => feature.name === 'processes');
  if (processes?.status === 'ok') return true;
  context.skip(`this host cannot dump processes: ${processes?.detail ?? 'unknown'}`);
  return false;
}

test(
  'a turn that only looks is classified none and reuses the checkpoint before it',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    await fixture.exec(session, 'true');
    const { turn } = await fixture.exec(session, 'ls -la; cat README.md; grep -r one src; test -e nothing');
    assert.equal(turn.effectClass, 'none', JSON.stringify(turn.effects?.files));
    assert.equal(turn.checkpoint?.reused, true);
    assert.equal(turn.checkpoint.bytesStored, 0);
    assert.equal(turn.exitCode, 1);
    assert.ok(turn.effects?.processes.executed.some((each) => each.argv[0] === 'grep'));
  },
);

test('a turn that makes and removes a file is nothing', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  await fixture.exec(session, 'true');
  const { turn } = await fixture.exec(session, 'touch src/new && rm src/new && mkdir d && rmdir d');
  assert.equal(turn.effects?.files.added, 0);
  assert.equal(turn.effects.files.entries.filter((each) => each.kind === 'file').length, 0);
});

test("changes stay in the session, and the developer's folder is not touched", options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const before = await treeDigest(fixture.workspace);
  const session = await fixture.start();
  const { turn } = await fixture.exec(
    session,
    'echo more >> src/one.txt; rm src/two.txt; echo new > src/three.txt; echo tool > /usr/local/bin/tool',
  );
  assert.equal(turn.effectClass, 'files');
  const changes = new Map(turn.effects?.files.entries.map((each) => [each.path, each.change]));
  assert.equal(changes.get(join(fixture.workspace, 'src/one.txt')), 'changed');
  assert.equal(changes.get(join(fixture.workspace, 'src/two.txt')), 'removed');
  assert.equal(changes.get(join(fixture.workspace, 'src/three.txt')), 'added');
  assert.equal(changes.get('/usr/local/bin/tool'), 'added');
  assert.equal(await treeDigest(fixture.workspace), before);
  const file = await fixture.client.request('file/read', {
    sessionId: session,
    turn: turn.id,
    path: join(fixture.workspace, 'src/one.txt'),
  });
  assert.equal(Buffer.from(file.content, 'base64').toString(), 'one\nmore\n');
  const old = await fixture.client.request('file/read', {
    sessionId: session,
    turn: 0,
    path: join(fixture.workspace, 'src/two.txt'),
  });
  assert.equal(Buffer.from(old.content, 'base64').toString(), 'two\n');
});

test('a rewind brings files back, sets later turns aside, and can be undone', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  const first = await fixture.exec(
    session,
    'echo 1 > a; mkdir -p deep/er; echo x > deep/er/x; ln -s a link; ln a hard',
  );
  await fixture.exec(session, 'rm -rf deep link; echo 2 > a; mv src moved; echo tool > /usr/local/bin/tool');
  const preview = await fixture.client.request('rewind/preview', { sessionId: session, turn: first.turn.id });
  assert.ok(preview.changes.some((each) => each.path.endsWith('deep/er/x') && each.change === 'added'));
  assert.deepEqual(preview.turnsSetAside, [first.turn.id + 1]);

  const result = await fixture.client.request('rewind', { sessionId: session, turn: first.turn.id });
  assert.equal(
    await fixture.output(
      session,
      'cat a deep/er/x; readlink link; stat -c %h a; ls src; test ! -e /usr/local/bin/tool && test ! -e moved',
    ),
    '1\nx\na\n2\none.txt\ntwo.txt\n',
  );

  await fixture.client.request('rewind', {
    sessionId: session,
    turn: result.safetyTurn,
    conflicts: 'take-theirs',
  });
  assert.equal(
    await fixture.output(
      session,
      'cat a; ls moved; cat /usr/local/bin/tool; test ! -e src && test ! -e deep',
    ),
    '2\none.txt\ntwo.txt\ntool\n',
  );
});

test('a process that outlives its turn comes back with its memory', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  if (!(await canDump(fixture, context))) return;
  const session = await fixture.start();
  const { turn, exitCode } = await fixture.exec(session, startServer);
  assert.equal(exitCode, 0);
  assert.ok(turn.effectClass === 'processes' || turn.effectClass === 'full', turn.effectClass);
  assert.deepEqual(
    turn.effects?.processes.survivors.flatMap((each) => each.ports),
    [5173],
  );
  const counted = Number(await fixture.output(session, ask()));
  const after = await fixture.exec(session, ask());
  await fixture.exec(session, 'pkill -f 5173; sleep 0.2; true');
  assert.notEqual((await fixture.exec(session, ask())).exitCode, 0);

  const result = await fixture.client.request('rewind', { sessionId: session, turn: after.turn.id });
  assert.deepEqual([result.restoredProcesses, result.notes], [true, []]);
  assert.equal(
    Number(await fixture.output(session, ask())),
    counted + 2,
    'the counter goes on from the turn that was restored',
  );
});

test('a branch has the state of its turn, and both sessions go their own ways', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  if (!(await canDump(fixture, context))) return;
  const session = await fixture.start();
  const { turn } = await fixture.exec(session, `echo shared > a; ${startServer}`);
  await fixture.exec(session, 'echo first > b');
  const branch = await fixture.client.request('branch', { sessionId: session, turn: turn.id });
  assert.equal(branch.restoredProcesses, true);
  assert.equal(await fixture.output(branch.sessionId, 'cat a; test ! -e b'), 'shared\n');
  const [one, two] = [
    Number(await fixture.output(session, ask())),
    Number(await fixture.output(branch.sessionId, ask())),
  ];
  assert.equal(one, two, 'each server counts for itself from the same memory');
  await fixture.exec(branch.sessionId, 'echo branch > b');
  assert.equal(await fixture.output(session, 'cat b'), 'first\n');
  await fixture.client.request('session/remove', { sessionId: branch.sessionId });
  assert.equal(await fixture.output(session, 'cat a'), 'shared\n');
});

test('restored processes may still start programs, and are still asked about', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  if (!(await canDump(fixture, context))) return;
  const session = await fixture.start();
  const { turn } = await fixture.exec(
    session,
    'mkfifo q; setsid nohup sh -c "while read line < q; do sh -c \\"\\$line\\" > answer 2>&1; echo done >> answer; done" > /dev/null 2>&1 & sleep 0.2',
  );
  await fixture.client.request('rewind', { sessionId: session, turn: turn.id });
  assert.match(
    await fixture.output(
      session,
      'echo "echo hello" > q; for i in $(seq 50); do grep -q done answer 2>/dev/null && break; sleep 0.1; done; cat answer',
    ),
    /hello/,
  );
});

test(
  'a person decides about a push: deny stops it, allow once lets exactly that one run',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    await fixture.output(
      session,
      'git init -q --bare /tmp/remote.git && git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git remote add origin /tmp/remote.git',
    );
    const watched = await fixture.watch();
    const denied = fixture.exec(session, 'git push origin HEAD:refs/heads/main');
    const first = await watched.until('an approval', 20_000, (state) =>
      Object.values(state.approvals).find((each) => each.sessionId === session && each.state === 'pending'),
    );
    assert.equal(first.subject.kind, 'exec');
    assert.ok(first.subject.kind === 'exec' && first.subject.argv.includes('push'));
    await fixture.client.request('approval/answer', { id: first.id, decision: 'deny', reason: 'not now' });
    assert.notEqual((await denied).exitCode, 0);
    await assert.rejects(fixture.client.request('approval/answer', { id: first.id, decision: 'allow' }), {
      code: 'approvalSettled',
    });

    const allowed = fixture.exec(session, 'git push origin HEAD:refs/heads/main');
    const second = await watched.until('another approval', 20_000, (state) =>
      Object.values(state.approvals).find((each) => each.sessionId === session && each.state === 'pending'),
    );
    await fixture.client.request('approval/answer', { id: second.id, decision: 'allow', scope: 'once' });
    assert.equal((await allowed).exitCode, 0);
    const audit = await fixture.client.request('audit', { sessionId: session });
    assert.equal(audit.intact, true);
    assert.ok(
      audit.entries.some((entry) => entry.kind === 'exec.denied') &&
        audit.entries.some((entry) => entry.kind === 'exec.allowed'),
    );
  },
);

test('the only way out is asked about, and a no is a no', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  const watched = await fixture.watch();
  const fetched = fixture.exec(
    session,
    `${process.execPath} -e 'const r = require("node:http").get({ host: "127.0.0.1", port: 4142, path: "http://example.com/" }, (m) => { console.log(m.statusCode); }); r.on("error", () => process.exit(7))'`,
  );
  const approval = await watched.until('an approval', 20_000, (state) =>
    Object.values(state.approvals).find((each) => each.sessionId === session && each.state === 'pending'),
  );
  assert.deepEqual(approval.subject, { kind: 'network', host: 'example.com', port: 80, method: 'GET' });
  await fixture.client.request('approval/answer', { id: approval.id, decision: 'deny' });
  const result = await fetched;
  assert.equal(Buffer.from(result.stdout, 'base64').toString().trim(), '403');
  assert.deepEqual(
    result.turn.effects?.network.map((each) => [each.host, each.allowed]),
    [['example.com', false]],
  );
  assert.notEqual(
    (
      await fixture.exec(
        session,
        `${process.execPath} -e 'fetch("http://192.0.2.1/").catch(() => process.exit(1))'`,
      )
    ).exitCode,
    0,
  );
});

test(
  "a person's edit in the session's folder survives a rewind, and a conflict is asked about first",
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    const session = await fixture.start();
    const { turn } = await fixture.exec(session, 'echo agent > a');
    await fixture.exec(session, 'echo later > src/one.txt');
    const mount = (await fixture.watch()).subscription.state.sessions[session]?.mount ?? '';
    await writeFile(join(mount, 'README.md'), '# mine\n');
    const preview = await fixture.client.request('rewind/preview', { sessionId: session, turn: turn.id });
    assert.deepEqual(preview.outsideChanges, [join(fixture.workspace, 'README.md')]);
    await fixture.client.request('rewind', { sessionId: session, turn: turn.id });
    assert.equal(await fixture.output(session, 'cat README.md src/one.txt'), '# mine\none\n');

    const next = await fixture.exec(session, 'echo again > src/two.txt');
    await writeFile(join(mount, 'src/two.txt'), 'mine too\n');
    await assert.rejects(fixture.client.request('rewind', { sessionId: session, turn: turn.id }), {
      code: 'conflict',
    });
    assert.equal(
      await fixture.output(session, 'cat src/two.txt'),
      'mine too\n',
      'a refused rewind changes nothing',
    );
    await fixture.client.request('rewind', {
      sessionId: session,
      turn: next.turn.id,
      conflicts: 'keep-both',
    });
  },
);

test('apply carries changes into the folder after a preview, and is undone', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  await fixture.exec(
    session,
    'echo more >> src/one.txt; rm src/two.txt; mkdir -p new; echo file > new/file; echo tool > /usr/local/bin/tool',
  );
  const preview = await fixture.client.request('apply/preview', { sessionId: session });
  assert.deepEqual(preview.conflicts, []);
  const before = await readFile(join(fixture.workspace, 'src/one.txt'), 'utf8');
  const applied = await fixture.client.request('apply', { sessionId: session });
  assert.equal(await readFile(join(fixture.workspace, 'src/one.txt'), 'utf8'), 'one\nmore\n');
  assert.equal(await readFile(join(fixture.workspace, 'new/file'), 'utf8'), 'file\n');
  await assert.rejects(readFile(join(fixture.workspace, 'src/two.txt')));
  await fixture.client.request('apply/undo', { sessionId: session, undoId: applied.undoId });
  assert.equal(await readFile(join(fixture.workspace, 'src/one.txt'), 'utf8'), before);
  assert.equal(await readFile(join(fixture.workspace, 'src/two.txt'), 'utf8'), 'two\n');
});

test(
  'a helper killed during a turn loses no checkpoint, and the sandbox goes on under the next one',
  options,
  async (context) => {
    const fixture = await HelperFixture.own(context);
    const session = await fixture.start();
    const { turn } = await fixture.exec(session, 'echo kept > a');
    const running = fixture
      .exec(session, 'echo started > b; sleep 2; echo finished > c')
      .catch((error: unknown) => error);
    await (
      await fixture.watch()
    ).until('the turn to open', 5_000, (state) =>
      state.sessions[session]?.turns.find((each) => each.state === 'open'),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await fixture.kill();
    assert.ok((await running) instanceof TurntableError);
    await fixture.up();
    const state = (await fixture.watch()).subscription.state.sessions[session];
    assert.equal(state?.status, 'running', state?.detail);
    assert.ok(state.turns.find((each) => each.id === turn.id)?.checkpoint?.restorable);
    assert.equal(await fixture.output(session, 'sleep 2.5; cat a b c'), 'kept\nstarted\nfinished\n');
    await fixture.client.request('rewind', { sessionId: session, turn: turn.id, conflicts: 'take-theirs' });
    assert.equal(await fixture.output(session, 'cat a; test ! -e b'), 'kept\n');
  },
);

test(
  'a second helper on the same state directory is refused with the first one unharmed',
  options,
  async (context) => {
    const fixture = await HelperFixture.own(context);
    const session = await fixture.start();
    const { spawnSync } = await import('node:child_process');
    const main = join(import.meta.dirname, '../../host-helper/main.ts');
    const second = spawnSync(
      process.execPath,
      [main, '--state-dir', fixture.stateDirectory, '--socket', join(fixture.directory, 'other.sock')],
      { encoding: 'utf8' },
    );
    assert.notEqual(second.status, 0);
    assert.match(second.stderr, /helper.*running|already/i);
    assert.equal(await fixture.output(session, 'echo alive'), 'alive\n');
  },
);

test(
  'a workspace that is missing, a file or a system folder is refused and nothing stays',
  options,
  async (context) => {
    const fixture = await HelperFixture.shared(context);
    for (const workspace of [
      join(fixture.directory, 'nowhere'),
      join(fixture.workspace, 'README.md'),
      '/etc',
    ]) {
      await assert.rejects(fixture.start(workspace), { code: 'workspaceInvalid' });
    }
    await assert.rejects(
      fixture.client.request('session/start', { workspace: fixture.workspace, agent: 'nobody' }),
      { code: 'agentUnknown' },
    );
    const sessions = Object.values((await fixture.watch()).subscription.state.sessions);
    assert.ok(sessions.every((each) => !each.workspace.startsWith(fixture.directory)));
  },
);

test('two sessions on the same folder do not see each other', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const [one, two] = [await fixture.start(), await fixture.start()];
  await fixture.exec(one, 'echo 1 > a');
  await fixture.exec(two, 'test ! -e a && echo 2 > a');
  assert.equal(await fixture.output(one, 'cat a'), '1\n');
  assert.equal(await fixture.output(two, 'cat a'), '2\n');
});

test('a stopped session is resumed at its head', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  const session = await fixture.start();
  await fixture.exec(session, 'echo kept > a');
  await fixture.client.request('session/stop', { sessionId: session });
  await assert.rejects(fixture.client.request('session/exec', { sessionId: session, argv: ['true'] }), {
    code: 'sessionNotRunning',
  });
  await fixture.client.request('session/resume', { sessionId: session });
  assert.equal(await fixture.output(session, 'cat a'), 'kept\n');
});

test('the CLI drives a session from start to rewind in JSON', options, async (context) => {
  const fixture = await HelperFixture.shared(context);
  assert.ok(cliPath());
  const state = ['--state-dir', fixture.stateDirectory, '--json'];
  const started = await turntable([
    'session',
    'start',
    '--workspace',
    fixture.workspace,
    '--no-agent',
    ...state,
  ]);
  assert.equal(started.code, 0, started.stderr);
  const { sessionId: session } = z.object({ sessionId: z.string() }).parse(JSON.parse(started.stdout));
  const executed = await turntable(['exec', session, ...state, '--', 'sh', '-c', 'echo x > x; exit 3']);
  assert.equal(executed.code, 3, executed.stderr);
  const turns = await turntable(['turns', session, ...state]);
  assert.equal(turns.code, 0, turns.stderr);
  const rewound = await turntable(['rewind', session, 'start', '--yes', ...state]);
  assert.equal(rewound.code, 0, rewound.stderr);
  await fixture.client.request('session/remove', { sessionId: session });
});
