import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setPriority } from 'node:os';
import { after, before, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { planCheckpoint } from '../../host-helper/inspector/classify.ts';
import type { ExecAsk, Observation, Sentry } from '../../host-helper/inspector/sentry.ts';
import { Bench, whyNot, type Sandbox } from './sentry-fixture.ts';

const reason = whyNot();
const skip = reason === undefined ? false : `the sentry's test ${reason}`;

let bench: Bench;
let sentry: Sentry;
let nextSandbox = 1;

before(async () => {
  if (skip) return;
  bench = new Bench();
  sentry = await bench.sentry();
});
after(() => (skip ? undefined : bench[Symbol.asyncDispose]()));

async function watched(t: TestContext, ...paths: string[]): Promise<{ number: number; sandbox: Sandbox }> {
  const number = nextSandbox++;
  const sandbox = bench.sandbox();
  await sentry.watch({
    sandbox: number,
    cgroupId: sandbox.cgroupId,
    cgroupPath: sandbox.cgroupPath,
    roots: paths.map((path, root) => ({ root, path })),
  });
  t.after(() => sentry.unwatch(number));
  return { number, sandbox };
}

const dirty = (observation: Observation): number[] =>
  observation.roots.filter((root) => root.dirty).map(({ root }) => root);

/** Answers every ask of one sandbox; the asks, as they came. */
function answering(
  t: TestContext,
  number: number,
  decide: (ask: ExecAsk) => 'allow' | 'remember' | 'deny',
): ExecAsk[] {
  const asks: ExecAsk[] = [];
  const off = sentry.onExecAsk((ask) => {
    if (ask.sandbox !== number) return;
    asks.push(ask);
    const decision = decide(ask);
    sentry.answer({
      ask: ask.ask,
      verdict: decision === 'deny' ? 'deny' : 'allow',
      remember: decision === 'remember',
    });
  });
  t.after(off);
  return asks;
}

test('the start-up self-tests find every feature here', { skip }, () => {
  const { features } = sentry;
  assert.equal(features.hints, 'complete', features.hintsDetail);
  assert.ok(features.lifecycle);
  assert.ok(features.execVerify, features.execVerifyDetail);
});

test('a fence tells what ran, with which arguments, and how it ended', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const before = Date.now();
  assert.equal(await sandbox.run('/bin/sh', '-c', '/bin/echo "a b" "" c > /dev/null; exit 3'), 3);
  const seen = await sentry.fence(number);
  const echo = seen.executed.find(({ argv }) => argv[0] === '/bin/echo');
  assert.deepEqual(echo?.argv, ['/bin/echo', 'a b', '', 'c']);
  assert.match(echo?.program ?? '', /^(\/usr)?\/bin\/echo$/);
  assert.ok(echo && echo.atMs >= before - 1000 && echo.atMs <= Date.now() + 1000);
  assert.equal(seen.executedCount, 2);
  assert.equal(seen.forkCount, 1);
  assert.deepEqual(
    seen.exits.map(({ exitCode }) => exitCode),
    [0, 3],
  );
  assert.equal(seen.dropped, 0);
  assert.deepEqual(seen.live, []);
  const again = await sentry.fence(number);
  assert.deepEqual([again.executed, again.exits, again.executedCount], [[], [], 0]);
});

test('processes of a cgroup below the watched one count, those beside it do not', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const other = bench.sandbox();
  await other.run('/bin/true');
  await sandbox.start(['/bin/true'], 'below/deeper').ended;
  const seen = await sentry.fence(number);
  assert.deepEqual(
    seen.executed.map(({ argv }) => argv),
    [['/bin/true']],
  );
});

test('a fence lists what is alive, and its run count stays flat while it sleeps', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const sleeper = sandbox.start(['/bin/sh', '-c', 'echo up; exec sleep 1000']);
  await sleeper.line();
  let [process] = (await sentry.fence(number)).live;
  let [later] = (await sentry.fence(number)).live;
  // Ends as soon as it really sleeps, which on a busy machine takes a while.
  while (later?.argv[0] !== 'sleep' || later.runCount !== process?.runCount) {
    process = later;
    [later] = (await sentry.fence(number)).live;
  }
  assert.equal(process?.pid, sleeper.pid);
  assert.deepEqual(process?.argv, ['sleep', '1000']);
  assert.deepEqual(later, process);
  assert.equal(process?.sharedWritableMapping, false);
});

test('a ring that is too small loses events, and every one of them is counted', { skip }, async (t) => {
  const small = await bench.sentry({ eventRingBytes: 4096 });
  const sandbox = bench.sandbox();
  await small.watch({ sandbox: 1, cgroupId: sandbox.cgroupId, cgroupPath: sandbox.cgroupPath, roots: [] });
  t.after(() => small.unwatch(1));
  await sandbox.run(
    '/bin/sh',
    '-c',
    'for a in 0 1 2 3 4 5 6 7 8 9; do for b in 0 1 2 3 4 5 6 7 8 9; do /bin/true; done; done',
  );
  const seen = await small.fence(1);
  assert.ok(seen.dropped > 0);
  assert.equal(seen.executedCount, 101);
  assert.equal(seen.executed.length + seen.exits.length + seen.dropped, 202);
  const plan = planCheckpoint({
    observation: seen,
    rootNames: ['workspace'],
    hintsComplete: true,
    survivors: 1,
    processChanges: [],
    imageServes: true,
    mapperRan: false,
    alsoUncertain: [],
  });
  assert.deepEqual([plan.processes, plan.dirtyRoots.size], ['dump', 1]);
  assert.match(plan.uncertain.join(), new RegExp(`${seen.dropped} kernel events were lost`));
  assert.equal((await small.fence(1)).dropped, 0);
});

test('processes with long names are all listed, however often at once', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const crowd = sandbox.start([bench.actor, 'crowd', '200', 'x'.repeat(4000)]);
  assert.equal(await crowd.line(), 'up');
  const fences = await Promise.all(Array.from({ length: 60 }, () => sentry.fence(number, 'now')));
  for (const { live } of fences) assert.equal(live.length, 201);
});

test(
  'a fence that does not wait tells of a fresh change again the next time, and then no more',
  { skip },
  async (t) => {
    const one = bench.overlay();
    const { number, sandbox } = await watched(t, one.upper);
    await sentry.fence(number);
    await sandbox.run('/bin/sh', '-c', `echo x > ${one.merged}/fresh`);
    assert.deepEqual(dirty(await sentry.fence(number, 'now')), [0]);
    // Whether the next one still tells of it depends on how quickly it comes.
    await sentry.fence(number);
    assert.deepEqual(dirty(await sentry.fence(number)), []);
  },
);

test(
  'states of a process that sleeps are alike until somebody else changes something of it',
  { skip },
  async (t) => {
    const { number, sandbox } = await watched(t);
    const sleeper = sandbox.start(['/bin/sh', '-c', 'trap "" USR1; echo up; exec sleep 1000']);
    await sleeper.line();
    const look = async () => (await sentry.states(number, [sleeper.pid]))[0];
    // Until then it is on its way there, perhaps runnable without being scheduled.
    while (!readFileSync(`/proc/${sleeper.pid}/wchan`, 'utf8').includes('nanosleep')) await sleep(5);
    const before = await look();
    assert.ok(before);
    assert.deepEqual(await look(), before);
    setPriority(sleeper.pid, 5);
    const after = await look();
    assert.notEqual(after?.own, before.own);
    assert.equal(after?.files, before.files);
    assert.deepEqual(await sentry.states(number, [4_000_000]), []);
  },
);

test('states of a leased file are read without breaking the lease', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const actor = sandbox.start([bench.actor, 'lease', join(bench.plain(), 'leased')]);
  assert.equal(await actor.line(), 'leased');
  const [state] = await sentry.states(number, [actor.pid]);
  assert.equal(state?.uncertain, false);
  assert.equal(await actor.say(''), 'kept');
});

test('a queue of messages is uncertain', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const actor = sandbox.start([bench.actor, 'queue', `/sentry-test-${process.pid}`]);
  assert.equal(await actor.line(), 'queued');
  assert.equal((await sentry.states(number, [actor.pid]))[0]?.uncertain, true);
});

test('memory that is shared with somebody who is not asked about is uncertain', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const actor = sandbox.start([bench.actor, 'share']);
  const child = Number(await actor.line());
  const uncertain = async (...pids: number[]) =>
    (await sentry.states(number, pids)).map((state) => state.uncertain);
  assert.deepEqual(await uncertain(child), [true]);
  assert.deepEqual(await uncertain(child, actor.pid), [false, false]);
});

test('a timer that another arms is a change of whoever holds it', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const actor = sandbox.start([bench.actor, 'arm']);
  const child = Number(await actor.line());
  const own = async () => (await sentry.states(number, [child]))[0]?.own;
  const before = await own();
  assert.equal(await own(), before);
  assert.equal(await actor.say(''), 'armed');
  const after = await own();
  assert.notEqual(after, before);
  assert.equal(await own(), after, 'the time that it has left is none');
});

test('more shared memory than a request may cost is uncertain', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const [few, many] = ['8', '20'].map((count) => sandbox.start([bench.actor, 'mappings', count]));
  for (const actor of [few, many]) assert.equal(await actor?.line(), 'mapped');
  const uncertain = async (...pids: number[]) =>
    (await sentry.states(number, pids)).map((state) => state.uncertain);
  assert.ok(few && many);
  assert.deepEqual(await uncertain(few.pid, many.pid, few.pid), [false, true, true]);
  assert.deepEqual(await uncertain(few.pid), [false], 'what is left begins anew with each request');
});

test(
  'of many writes through /proc one fence reads a part and says that there was one',
  { skip },
  async (t) => {
    const { number, sandbox } = await watched(t);
    const script = [
      'import ctypes, os',
      'byte = ctypes.create_string_buffer(8)',
      'print("up", flush=True)',
      'input()',
      'for _ in range(40):',
      '  if os.fork() == 0:',
      '    os.pwrite(os.open("/proc/self/mem", os.O_RDWR), b"x", ctypes.addressof(byte))',
      '    os._exit(0)',
      '  os.wait()',
      'print("done", flush=True)',
      'input()',
    ].join('\n');
    const writer = sandbox.start(['unshare', '-mpf', '--mount-proc', 'python3', '-c', script]);
    assert.equal(await writer.line(), 'up');
    await sentry.fence(number);
    assert.equal((await sentry.fence(number)).reached, 0);
    // Of those who are gone, each event is a read of its own.
    assert.equal(await writer.say('go'), 'done');
    const counts: number[] = [];
    do counts.push((await sentry.fence(number)).reached);
    while (counts.at(-1) !== 0);
    assert.ok(counts.length > 2, counts.join());
  },
);

test('looking around leaves every root clean', { skip }, async (t) => {
  const one = bench.overlay();
  const plain = bench.plain();
  writeFileSync(join(plain, 'file'), 'text');
  const { number, sandbox } = await watched(t, one.upper, plain);
  await sentry.fence(number);
  const script =
    'cat file lower-file > /dev/null; ls -laR . > /dev/null; find . -newer file; ' +
    'grep -r nothing . ; stat file > /dev/null; set -C; (echo x > file) 2> /dev/null; true';
  await sandbox.run('/bin/sh', '-c', `cd ${one.merged}; ${script}; cd ${plain}; ${script}`);
  const seen = await sentry.fence(number);
  assert.deepEqual(dirty(seen), []);
  assert.equal(seen.unassigned, 0);
});

const families = [
  'create write copy-up rename rename-directory exchange unlink whiteout opaque chmod chown utimes xattr link',
  'symlink fifo mkdir truncate fallocate copy-range mapped-store unnamed',
].flatMap((line) => line.split(' '));

for (const family of families) {
  test(`in an overlay, ${family} dirties its own root and no other`, { skip }, async (t) => {
    const [one, two] = [bench.overlay(), bench.overlay()];
    const { number, sandbox } = await watched(t, one.upper, two.upper);
    await sentry.fence(number);
    assert.equal(await sandbox.run(bench.actor, 'change', two.merged, family), 0);
    const seen = await sentry.fence(number);
    assert.deepEqual(dirty(seen), [1]);
    assert.ok((seen.roots[1]?.inodes.length ?? 0) > 0);
    assert.equal(seen.unassigned, 0);
    assert.deepEqual(dirty(await sentry.fence(number)), []);
  });
}

test(
  'every fence sees the write just before it, even in one clock tick with the last',
  { skip },
  async (t) => {
    const plain = bench.plain();
    const file = join(plain, 'file');
    writeFileSync(file, '');
    // What changes in the tick in which it was made, before it was watched, shows once somebody has looked at it, as a capture does.
    statSync(file);
    const { number } = await watched(t, plain);
    await sentry.fence(number);
    for (let round = 0; round < 20; round++) {
      appendFileSync(file, 'x');
      assert.deepEqual(dirty(await sentry.fence(number)), [0], `round ${round}`);
    }
  },
);

test('more inodes than a fence lists are told as an overflow', { skip }, async (t) => {
  const plain = bench.plain();
  const { number, sandbox } = await watched(t, plain);
  await sandbox.run('/bin/sh', '-c', `cd ${plain}; for i in $(seq 700); do echo x > $i; done`);
  const [made] = (await sentry.fence(number)).roots;
  assert.ok(made?.dirty && !made.overflow, 'what is made in a directory shows by the directory');
  await sandbox.run('/bin/sh', '-c', `cd ${plain}; for i in $(seq 700); do echo x >> $i; done`);
  const [root] = (await sentry.fence(number)).roots;
  assert.ok(root?.dirty && root.overflow);
});

test('a watch is refused when its number, its cgroup or its root is taken', { skip }, async (t) => {
  const plain = bench.plain();
  const { number, sandbox } = await watched(t, plain);
  const other = bench.sandbox();
  const request = { cgroupPath: sandbox.cgroupPath, roots: [] };
  await assert.rejects(sentry.watch({ ...request, sandbox: number, cgroupId: other.cgroupId }), /EEXIST/);
  await assert.rejects(sentry.watch({ ...request, sandbox: 9999, cgroupId: sandbox.cgroupId }), /EEXIST/);
  const roots = [{ root: 0, path: plain }];
  await assert.rejects(
    sentry.watch({ sandbox: 9999, cgroupPath: other.cgroupPath, cgroupId: other.cgroupId, roots }),
    /tracked root: EEXIST/,
  );
  await assert.rejects(sentry.fence(9999), /no such watch/);
});

test('an exec waits for its answer: allowed it runs, denied it fails with EPERM', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const asks = answering(t, number, ({ argv }) => (argv[1] === 'no' ? 'deny' : 'allow'));
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  assert.equal(await actor.say('/bin/true yes'), 'exit 0');
  assert.equal(await actor.say('/bin/true no'), 'exit 122');
  assert.equal(await actor.say('/bin/does-not-exist'), 'exit 123');
  assert.equal(asks.length, 2);
  assert.deepEqual(asks[0]?.argv, ['/bin/true', 'yes']);
  assert.match(asks[0]?.program ?? '', /^(\/usr)?\/bin\/true$/);
  assert.equal(asks[0]?.cwd, process.cwd());
  const seen = await sentry.fence(number);
  assert.ok(seen.executed.some(({ argv }) => argv[1] === 'yes'));
});

test('every way to name a program is resolved as the kernel does', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const asks = answering(t, number, () => 'allow');
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  assert.equal(await actor.say('memory /bin/true'), 'exit 0');
  assert.equal(await actor.say('relative /bin/true'), 'exit 0');
  assert.equal(await actor.say('no-argv /bin/true'), 'exit 0');
  assert.equal(await actor.say('chroot /bin/true'), 'exit 0');
  assert.match(asks[0]?.program ?? '', /memfd:copy/);
  assert.match(asks[1]?.program ?? '', /^(\/usr)?\/bin\/true$/);
  assert.deepEqual(asks[2]?.argv, []);
  assert.deepEqual([asks[3]?.program, asks[3]?.cwd], ['/bin/true', '/bin']);
});

test('arguments too long to be shown pass only by an answer for any arguments', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const decisions: ('allow' | 'remember')[] = ['allow', 'remember'];
  const asks = answering(t, number, () => decisions.shift() ?? 'deny');
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  assert.equal(await actor.say('big /bin/true'), 'exit 125');
  assert.equal(await actor.say('big /bin/true'), 'exit 0');
  assert.equal(await actor.say('big /bin/true'), 'exit 0');
  assert.deepEqual(
    asks.map(({ argvTruncated }) => argvTruncated),
    [true, true],
  );
});

test('fences that follow each other closely keep their answers apart', { skip }, async (t) => {
  const plain = bench.plain();
  const { number, sandbox } = await watched(t, plain);
  await sandbox.run('/bin/sh', '-c', `: > ${plain}/file`);
  const [first, second] = await Promise.all([sentry.fence(number), sentry.fence(number)]);
  assert.deepEqual([first, second].map(dirty), [[0], []]);
  assert.deepEqual([first.executed.length, second.executed.length], [1, 0]);
});

test(
  'a script is asked about with its interpreter line, relative and nested ones too',
  { skip },
  async (t) => {
    const { merged, upper } = bench.overlay();
    const { number, sandbox } = await watched(t, upper);
    const socket = join(bench.directory, `guard-${number}`);
    await sentry.guard(number, socket);
    const asks = answering(t, number, () => 'allow');
    const [script, outer] = [join(merged, 'script'), join(merged, 'outer')];
    writeFileSync(script, '#! /bin/sh  -e \t\nexit 7\n');
    writeFileSync(outer, `#!${script} some words\n`);
    for (const path of [script, outer]) chmodSync(path, 0o755);
    const actor = sandbox.start(['/bin/sh', '-c', `cd ${merged}; exec ${bench.actor} guarded ${socket}`]);
    assert.equal(await actor.say(`${script} argument`), 'exit 7');
    assert.equal(await actor.say('./script'), 'exit 7');
    assert.equal(await actor.say(`${outer} argument`), 'exit 7');
    assert.deepEqual(
      asks.map(({ program }) => program),
      [script, script, outer],
    );
    assert.equal(asks[0]?.interpreter?.argument, '-e');
    assert.match(asks[0]?.interpreter?.program ?? '', /^(\/usr)?\/bin\/(da)?sh$/);
    assert.deepEqual(asks[1]?.argv, ['./script']);
  },
);

test('a remembered file passes without an ask until it changes or is forgotten', { skip }, async (t) => {
  const { merged, upper } = bench.overlay();
  const plain = bench.plain();
  const { number, sandbox } = await watched(t, upper, plain);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const asks = answering(t, number, () => 'remember');
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  for (const directory of [merged, plain]) {
    const program = join(directory, 'program');
    copyFileSync('/bin/true', program);
    chmodSync(program, 0o755);
    asks.length = 0;
    assert.equal(await actor.say(`${program} 1`), 'exit 0');
    assert.equal(await actor.say(`${program} 2`), 'exit 0');
    assert.equal(asks.length, 1);
    appendFileSync(program, 'x');
    assert.equal(await actor.say(`${program} 3`), 'exit 0');
    assert.equal(asks.length, 2);
    sentry.forget(number);
    assert.equal(await actor.say(`${program} 4`), 'exit 0');
    assert.equal(asks.length, 3);
  }
});

test('a file rewritten while its exec waits does not run', { skip }, async (t) => {
  const { merged, upper } = bench.overlay();
  const plain = bench.plain();
  const { number, sandbox } = await watched(t, upper, plain);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  let program = '';
  answering(t, number, () => {
    appendFileSync(program, 'evil');
    return 'allow';
  });
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  for (const directory of [merged, plain]) {
    program = join(directory, 'program');
    copyFileSync('/bin/true', program);
    chmodSync(program, 0o755);
    assert.equal(await actor.say(program), 'exit 122');
  }
});

test('an ask is withdrawn when its caller dies', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const asked = new Promise<ExecAsk>((settle) => t.after(sentry.onExecAsk(settle)));
  const gone = new Promise<bigint>((settle) => t.after(sentry.onExecAskGone(settle)));
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  actor.write('/bin/true\n');
  const ask = await asked;
  process.kill(ask.tid, 'SIGKILL');
  assert.equal(await gone, ask.ask);
  sentry.answer({ ask: ask.ask, verdict: 'allow', remember: false });
  assert.equal(await actor.line(), 'signal 9');
});

test('a caller that signals interrupt is asked about once, and its answer holds', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const events: string[] = [];
  t.after(sentry.onExecAskGone(() => events.push('gone')));
  t.after(
    sentry.onExecAsk(({ ask, argv }) => {
      events.push('ask');
      const verdict = argv[1] === 'no' ? 'deny' : 'allow';
      setTimeout(() => sentry.answer({ ask, verdict, remember: false }), 700);
    }),
  );
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  assert.equal(await actor.say('tick /bin/true yes'), 'exit 0');
  assert.equal(await actor.say('tick /bin/true no'), 'exit 122');
  assert.deepEqual(events, ['ask', 'ask']);
});

test('an ask outlives a freeze of its sandbox', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  await sentry.guard(number, socket);
  const events: string[] = [];
  t.after(sentry.onExecAskGone(() => events.push('gone')));
  const asked = new Promise<ExecAsk>((settle) => {
    t.after(sentry.onExecAsk((ask) => (events.push('ask'), settle(ask))));
  });
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  actor.write('/bin/true\n');
  const { ask } = await asked;
  await sandbox.freeze(true);
  await sleep(1000);
  await sandbox.freeze(false);
  sentry.answer({ ask, verdict: 'allow', remember: false });
  assert.equal(await actor.line(), 'exit 0');
  assert.deepEqual(events, ['ask']);
});

test('arguments flipped by another thread never reach a program unapproved', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const socket = join(bench.directory, `guard-${number}`);
  const marker = join(bench.directory, `marker-${number}`);
  await sentry.guard(number, socket);
  answering(t, number, ({ argv }) => (argv[3] === 'good' ? 'allow' : 'deny'));
  const kills: string[] = [];
  t.after(sentry.onExecKilled(({ sandbox: which, reason: why }) => which === number && kills.push(why)));
  const actor = sandbox.start([bench.actor, 'guarded-race', socket, marker, '400']);
  const line = await actor.line();
  const counts = /killed (\d+) ran (\d+) refused (\d+)/.exec(line)?.slice(1).map(Number);
  t.diagnostic(line);
  assert.equal(existsSync(marker), false, existsSync(marker) ? readFileSync(marker, 'utf8') : '');
  assert.ok((counts?.[1] ?? 0) > 0, 'the approved argv ran at times');
  await sentry.fence(number);
  assert.equal(kills.length, counts?.[0]);
  for (const why of kills) assert.match(why, /other arguments/);
});

test(
  'processes that lost their listener are guarded again, and their system calls do not notice',
  { skip },
  async (t) => {
    const { number, sandbox } = await watched(t);
    const asks = answering(t, number, ({ argv }) => (argv[1] === 'no' ? 'deny' : 'allow'));
    const actor = sandbox.start([bench.actor, 'orphan']);
    assert.equal(await actor.line(), 'blocked');
    const beside = sandbox.start([bench.actor, 'orphan']);
    assert.equal(await beside.line(), 'blocked');
    assert.deepEqual(await sentry.reguard(number), []);
    assert.deepEqual(await sentry.reguard(number), [], 'a second time changes nothing');
    for (const process of [actor, beside]) {
      assert.equal(await process.say(''), 'epoll 1 0 read 1 sleep 0');
      assert.equal(await process.say('/bin/true yes'), 'exit 0');
      assert.equal(await process.say('/bin/true no'), 'exit 122');
    }
    assert.equal(asks.length, 4);
  },
);

test('processes that do not stop keep the sentry only so long', { skip }, async (t) => {
  const { number, sandbox } = await watched(t);
  const crowd = sandbox.start([bench.actor, 'unstoppable', '30']);
  assert.equal(await crowd.line(), 'up');
  const begunMs = performance.now();
  const unguarded = await sentry.reguard(number);
  assert.ok(unguarded.length >= 30);
  // Two rounds of half a second for each of them would be 30 s.
  assert.ok(performance.now() - begunMs < 10_000);
});

test('without a sentry guarded execs fail, and a new one guards them again', { skip }, async (t) => {
  const number = nextSandbox++;
  const sandbox = bench.sandbox();
  const socket = join(bench.directory, `guard-${number}`);
  const watch = { sandbox: number, cgroupId: sandbox.cgroupId, cgroupPath: sandbox.cgroupPath, roots: [] };
  const first = await bench.sentry();
  await first.watch(watch);
  await first.guard(number, socket);
  first.onExecAsk(({ ask }) => first.answer({ ask, verdict: 'allow', remember: false }));
  const actor = sandbox.start([bench.actor, 'guarded', socket]);
  assert.equal(await actor.say('/bin/true'), 'exit 0');
  await first.close();
  assert.equal(await actor.say('/bin/true'), 'exit 121');
  await sentry.watch(watch);
  t.after(() => sentry.unwatch(number));
  assert.deepEqual(await sentry.reguard(number), []);
  answering(t, number, () => 'allow');
  assert.equal(await actor.say('/bin/true'), 'exit 0');
});
