import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEngine, type Engine } from '../../../host-helper/engine/engine.ts';
import type { LiveProcess, Observation, Sentry } from '../../../host-helper/inspector/sentry.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import type { Turn } from '../../../host-helper/protocol/state.ts';
import type { Sandbox } from '../../../host-helper/sandbox/sandbox.ts';
import { Checkpointer, NotBegun } from '../../../host-helper/session/checkpointer.ts';
import type { CaptureRequest, FileChange, Store } from '../../../host-helper/store/store.ts';

const roots = ['workspace', 'usr'];

/** A server that lives on, and has run so often. */
function server(runCount: number): LiveProcess {
  return {
    pid: 1000,
    parentPid: 1,
    sandboxPid: 10,
    startTicks: 1n,
    program: '/bin/server',
    argv: ['server'],
    runCount: BigInt(runCount),
    sharedWritableMapping: false,
  };
}

function observed(dirty: readonly string[], dropped = 0, live: readonly LiveProcess[] = []): Observation {
  return {
    roots: roots.map((name, root) => ({ root, dirty: dirty.includes(name), inodes: [], overflow: false })),
    unassigned: 0,
    executed: [],
    executedCount: 0,
    exits: [],
    forkCount: 0,
    reached: 0,
    live,
    dropped,
  };
}

function change(root: string): FileChange {
  return { path: `/${root}/file`, root, change: 'changed', kind: 'file', sizeBytes: 1 };
}

/** A checkpointer whose kernel and disk are the test's: `hints` answers fences, `disk` says what a scan of a root finds. */
function bench() {
  const made = {
    hints: [] as Observation[],
    disk: new Set<string>(),
    looked: [] as string[][],
    version: 0,
    dumps: 0,
    /** So many images find no room. */
    noRoom: 0,
    /** What a fence says that no hint was made for. */
    otherwise: observed([]),
  };
  const captured = new Set<string>();
  const capture = (request: CaptureRequest) => {
    made.looked.push([...request.dirtyRoots].sort());
    const changes = [...made.disk].filter((root) => request.dirtyRoots.has(root)).map(change);
    for (const { root } of changes) captured.add(root);
    if (changes.length > 0) made.version += 1;
    return Promise.resolve({
      version: `v${made.version}`,
      changes,
      bytesStored: 1,
      scannedEntries: 1,
      warnings: [],
    });
  };
  const sentry = {
    features: { hints: 'complete' },
    fence: () => Promise.resolve(made.hints.shift() ?? made.otherwise),
    states: (_watch: number, pids: readonly number[]) =>
      Promise.resolve(
        pids.map((pid) => ({
          pid,
          startTicks: 1n,
          own: 1n,
          files: 1n,
          holdsDeleted: false,
          uncertain: false,
        })),
      ),
  } as unknown as Sentry;
  const engine = createEngine({ maxConcurrent: 1, maxQueued: 1, logger: silentLogger });
  const images = {
    stage: () => Promise.resolve('staged'),
    discard: () => Promise.resolve(),
    keep: () => {
      made.dumps += 1;
      if (made.noRoom-- > 0) return Promise.reject(new TurntableError('quotaExceeded', 'There is no room.'));
      return Promise.resolve({ image: `i${made.dumps}`, bytesStored: 1 });
    },
  };
  const checkpointer = new Checkpointer({
    sessionId: 's',
    store: { files: { capture }, images } as unknown as Store,
    engine,
    sentry: () => sentry,
    noDump: () => undefined,
    policy: 'effects',
    isAgentState: () => false,
    makeRoom: () => Promise.resolve(true),
    logger: silentLogger,
  });
  const sandbox = {
    id: 's',
    roots: roots.map((name) => ({ name })),
    supervisorPid: process.pid,
    freeze: () => Promise.resolve(),
    thaw: () => Promise.resolve(),
    dump: async (_directory: string, whileFrozen: () => Promise<void>) => {
      await whileFrozen();
      return { imageBytes: 1 };
    },
  } as unknown as Sandbox;
  let id = 0;
  const close = async (): Promise<Turn> => {
    const turn: Turn = { id: id++, parent: null, kind: 'command', state: 'closing', label: '', startedAt: 0 };
    const closed = await checkpointer.close({
      turn,
      sandbox,
      watch: 1,
      agent: undefined,
      furniture: new Set(),
      network: [],
      urgent: false,
      alsoUncertain: [],
    });
    for (const root of captured) made.disk.delete(root);
    captured.clear();
    return closed.turn;
  };
  return { made, checkpointer, sandbox, close, engine };
}

test('a turn without hints reads no root', async () => {
  const { made, checkpointer, sandbox, close } = bench();
  await checkpointer.captureAll(sandbox);
  made.looked.length = 0;
  assert.equal((await close()).effectClass, 'none');
  assert.deepEqual(made.looked, []);
});

test('a turn with hints reads the hinted root only', async () => {
  const { made, checkpointer, sandbox, close } = bench();
  await checkpointer.captureAll(sandbox);
  made.looked.length = 0;
  made.hints.push(observed(['usr']));
  made.disk.add('usr');
  assert.equal((await close()).effectClass, 'files');
  assert.deepEqual(made.looked, [['usr']]);
});

test('the audit finds a change that no hint named, says so, and every later turn is scanned', async () => {
  const { made, checkpointer, sandbox, close } = bench();
  await checkpointer.captureAll(sandbox);
  for (let turn = 0; turn < 7; turn += 1) await close();
  made.looked.length = 0;
  made.disk.add('usr');
  const audited = await close();
  assert.equal(audited.effectClass, 'files');
  assert.match(audited.effects?.uncertain.join() ?? '', /hints missed a change in usr/);
  await close();
  assert.deepEqual(made.looked, [roots.toSorted(), roots.toSorted()]);
});

test('a change that was hinted while the audit ran is not held against the hints', async () => {
  const { made, checkpointer, sandbox, close } = bench();
  await checkpointer.captureAll(sandbox);
  for (let turn = 0; turn < 7; turn += 1) await close();
  made.disk.add('usr');
  made.hints.push(observed([]), observed(['usr']));
  assert.deepEqual((await close()).effects?.uncertain, []);
});

test('lost events are shown, and raise the class of a turn in which nothing else was seen', async () => {
  const { made, checkpointer, sandbox, close } = bench();
  await checkpointer.captureAll(sandbox);
  made.hints.push(observed([], 2));
  const turn = await close();
  assert.equal(turn.effectClass, 'files');
  assert.equal(turn.effects?.droppedEvents, 2);
});

/** Something else is at work: checkpoints wait until it is told to end. */
function occupied(engine: Engine): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  engine.submit({ sandboxId: 'other', kind: 'files', urgent: false, run: () => promise });
  return resolve;
}

test('a checkpoint superseded before it began leaves its changes to the next one', async () => {
  const { made, checkpointer, sandbox, close, engine } = bench();
  await checkpointer.captureAll(sandbox);
  made.looked.length = 0;
  const release = occupied(engine);
  made.hints.push(observed(['usr']));
  made.disk.add('usr');
  const first = close();
  first.catch(() => {});
  while (engine.queued === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(checkpointer.supersede(), true);
  await assert.rejects(first, NotBegun);
  release();
  const second = await close();
  assert.equal(second.effectClass, 'files');
  assert.deepEqual(
    second.effects?.files.entries.map(({ path }) => path),
    ['/usr/file'],
  );
  assert.deepEqual(made.looked, [['usr']], 'and looks nowhere else for them');
  assert.equal(checkpointer.supersede(), false);
});

test('a checkpoint that finds the queue full says so, and leaves its changes to the next one', async () => {
  const { made, checkpointer, sandbox, close, engine } = bench();
  await checkpointer.captureAll(sandbox);
  const release = occupied(engine);
  const waiting = engine.submit({
    sandboxId: 'b',
    kind: 'files',
    urgent: false,
    run: () => Promise.resolve(),
  });
  made.hints.push(observed(['usr'], 1));
  made.disk.add('usr');
  await assert.rejects(close(), { name: 'NotBegun', message: /already wait/ });
  release();
  await waiting.done;
  const next = await close();
  assert.equal(next.effectClass, 'files');
  assert.equal(next.effects?.droppedEvents, 1, 'what was lost then is still counted');
});

/** Has a server in an image and asleep, and nothing else going on. */
async function withServer(): Promise<ReturnType<typeof bench>> {
  const lab = bench();
  await lab.checkpointer.captureAll(lab.sandbox);
  lab.made.otherwise = observed([], 0, [server(1)]);
  assert.equal((await lab.close()).effectClass, 'processes');
  assert.equal((await lab.close()).effectClass, 'none');
  lab.made.looked.length = 0;
  lab.made.dumps = 0;
  return lab;
}

test('a process that slept while files were captured is not dumped again', async () => {
  const { made, close } = await withServer();
  made.disk.add('usr');
  made.hints.push(observed(['usr'], 0, [server(1)]));
  const turn = await close();
  assert.equal(turn.effectClass, 'files');
  assert.equal(turn.checkpoint?.hasProcesses, true);
  assert.equal(made.dumps, 0);
});

test('a process that woke while files were captured is dumped together with them, and the turn says so', async () => {
  const { made, close } = await withServer();
  made.disk.add('usr');
  made.hints.push(observed(['usr'], 0, [server(1)]));
  made.otherwise = observed([], 0, [server(2)]);
  const turn = await close();
  assert.equal(turn.effectClass, 'full');
  assert.match(turn.checkpoint?.reason ?? '', /a process ran while files were captured/);
  assert.equal(made.dumps, 1);
  assert.equal((await close()).effectClass, 'none');
});

test('what changed just before a dump is also in the dump that is made once there is room', async () => {
  const { made, close } = await withServer();
  made.noRoom = 1;
  // The server ran; while everything stood still for its dump, a change was there that the plan did not know of.
  made.hints.push(observed([], 0, [server(2)]), observed(['usr'], 0, [server(2)]));
  made.otherwise = observed([], 0, [server(2)]);
  made.disk.add('usr');
  const turn = await close();
  assert.equal(made.dumps, 2);
  assert.deepEqual(made.looked, [['usr'], ['usr']]);
  assert.equal(turn.effectClass, 'full');
  assert.deepEqual(turn.effects?.uncertain, []);
});
