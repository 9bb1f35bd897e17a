import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import { TreeError, TreeWorker } from '../../../host-helper/store/treefs.ts';
import { scanStayOnDevice, type EntryMeta } from '../../../host-helper/store/treefs-wire.ts';
import { missing, treefsPath } from '../../integration/store-fixture.ts';

const meta: EntryMeta = {
  mode: 0o100640,
  uid: 0,
  gid: 0,
  mtimeSec: 1_000_000_000,
  mtimeNsec: 123_456_789,
  xattrs: [],
};

function workerTest(
  name: string,
  body: (worker: TreeWorker, directory: string, t: TestContext) => Promise<void>,
): void {
  void test(name, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    const directory = mkdtempSync(join(tmpdir(), 'turntable-treefs-'));
    const worker = new TreeWorker(treefsPath() ?? '', silentLogger);
    try {
      await body(worker, directory, t);
    } finally {
      await worker.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

workerTest(
  'a scan tells parents before children, names in byte order, and never follows a link',
  async (worker, directory) => {
    mkdirSync(join(directory, 'b/c'), { recursive: true });
    for (const name of ['b/z', 'b/c/d', 'b.txt', 'B']) writeFileSync(join(directory, name), name);
    symlinkSync('/etc', join(directory, 'a'));
    const seen: string[] = [];
    const { entries } = await worker.scan(directory, '', scanStayOnDevice, ({ depth, name }) =>
      seen.push(`${depth} ${name}`),
    );
    assert.deepEqual(seen, ['0 ', '1 B', '1 a', '1 b', '2 c', '3 d', '2 z', '1 b.txt']);
    assert.equal(entries, 8);
  },
);

workerTest('attributes are written and read to the last nanosecond and byte', async (worker, directory) => {
  const xattrs = [
    { name: 'user.one', value: Buffer.from('a\0b') },
    { name: 'trusted.overlay.opaque', value: Buffer.from('y') },
  ];
  await worker.apply(directory, true, async (writer) => {
    await writer.directory('d', { ...meta, mode: 0o041777, xattrs });
    await writer.fileBegin('d/f');
    await writer.fileData(0, Buffer.from('hello'));
    await writer.fileData(1_000_000, Buffer.from('end'));
    await writer.fileEnd(1_000_003, { ...meta, uid: 12, gid: 34, mode: 0o106755, xattrs });
    await writer.symlink('d/l', '\xff/nowhere', { ...meta, mode: 0o120777 });
    await writer.node('d/p', { ...meta, mode: 0o010600 });
    await writer.node('d/s', { ...meta, mode: 0o140600 });
    await writer.node('d/w', { ...meta, mode: 0o020000 });
    await writer.link('d/g', 'd/f');
  });
  const file = await worker.detailOne(directory, 'd/f', 0);
  assert.deepEqual(
    [file?.stat.mode, file?.stat.uid, file?.stat.gid, file?.stat.nlink, file?.stat.size],
    [0o106755, 12, 34, 2, 1_000_003],
  );
  assert.deepEqual([file?.stat.mtimeSec, file?.stat.mtimeNsec], [1_000_000_000, 123_456_789]);
  assert.deepEqual(file?.xattrs, [...xattrs].reverse());
  assert.equal((await worker.detailOne(directory, 'd/l', 0))?.target, '\xff/nowhere');
  const whiteout = await worker.detailOne(directory, 'd/w', 0);
  assert.deepEqual(
    [(whiteout?.stat.mode ?? 0) & 0o170000, whiteout?.stat.rdevMajor, whiteout?.stat.rdevMinor],
    [0o020000, 0, 0],
  );
  assert.ok(lstatSync(join(directory, 'd/p')).isFIFO() && lstatSync(join(directory, 'd/s')).isSocket());
  await worker.apply(directory, false, async (writer) => {
    await writer.meta('d/f', { ...meta, xattrs: [] });
  });
  assert.deepEqual((await worker.detailOne(directory, 'd/f', 0))?.xattrs, []);
});

workerTest(
  'no path leads out of the root: not through links, dots or absolute names',
  async (worker, directory) => {
    const root = join(directory, 'root');
    mkdirSync(join(directory, 'outside'));
    mkdirSync(root);
    writeFileSync(join(directory, 'outside/f'), 'safe');
    symlinkSync('../outside', join(root, 'link'));
    for (const path of ['link/f', '../outside/f', '/etc/passwd', 'link/../../outside/f']) {
      await assert.rejects(
        worker.stream(root, path, () => {}),
        TreeError,
        path,
      );
      assert.equal(await worker.detailOne(root, path, 100).catch(() => undefined), undefined);
      const write = worker.apply(root, false, async (writer) => {
        await writer.fileBegin(path);
        await writer.fileData(0, Buffer.from('evil'));
        await writer.fileEnd(4, meta);
      });
      await assert.rejects(write, TreeError, path);
      await worker
        .apply(root, false, async (writer) => {
          await writer.remove(path);
        })
        .catch(() => {});
    }
    assert.equal(readFileSync(join(directory, 'outside/f'), 'utf8'), 'safe');
    assert.deepEqual(readdirSync(root), ['link']);
  },
);

workerTest(
  'a request that fails half way leaves no temporary file and the worker usable',
  async (worker, directory) => {
    const write = worker.apply(directory, false, async (writer) => {
      await writer.fileBegin('a');
      await writer.fileData(0, Buffer.from('x'));
      throw new Error('changed our mind');
    });
    await assert.rejects(write, /changed our mind/);
    await assert.rejects(
      worker.apply(directory, false, async (writer) => {
        await writer.node('dev', { ...meta, mode: 0o060600 });
      }),
      { code: 'EPERM' },
    );
    await assert.rejects(
      worker.apply(directory, false, async (writer) => {
        await writer.fileBegin('missing/a');
        await writer.fileData(0, Buffer.from('x'));
        await writer.fileEnd(1, meta);
      }),
      { code: 'ENOENT' },
    );
    assert.deepEqual(readdirSync(directory), []);
    await assert.rejects(
      worker.scan(join(directory, 'nowhere'), '', scanStayOnDevice, () => {}),
      { code: 'ENOENT' },
    );
  },
);

workerTest('a file is replaced only while it is what was looked at', async (worker, directory) => {
  writeFileSync(join(directory, 'f'), 'first');
  const seen = await worker.detailOne(directory, 'f', 0);
  assert.ok(seen);
  const { ino, ctimeSec, ctimeNsec } = seen.stat;
  const replace = async (
    expected: { ino: bigint; ctimeSec: number; ctimeNsec: number } | 'nothing',
  ): Promise<void> => {
    await worker.apply(directory, false, async (writer) => {
      await writer.fileBegin('f', { expected, fsync: true });
      await writer.fileData(0, Buffer.from('second'));
      await writer.fileEnd(6, meta);
    });
  };
  await assert.rejects(replace('nothing'), { code: 'ESTALE' });
  await replace({ ino, ctimeSec, ctimeNsec });
  assert.equal(readFileSync(join(directory, 'f'), 'utf8'), 'second');
  await assert.rejects(replace({ ino, ctimeSec, ctimeNsec }), { code: 'ESTALE' });
  await assert.rejects(
    worker.apply(directory, false, async (writer) => {
      await writer.remove('f', { expected: { ino, ctimeSec, ctimeNsec } });
    }),
    { code: 'ESTALE' },
  );
  assert.deepEqual(readdirSync(directory), ['f']);
});

workerTest('holes are skipped when a large file is streamed', async (worker, directory) => {
  const path = join(directory, 'sparse');
  writeFileSync(path, 'start');
  truncateSync(path, 3_000_000_000);
  let bytes = 0;
  const { before, after } = await worker.stream(directory, 'sparse', (_offset, data) => {
    bytes += data.length;
  });
  assert.equal(before.size, 3_000_000_000);
  assert.equal(after.signature, before.signature);
  assert.ok(bytes <= 262_144);
});

workerTest('the worker answers malformed and oversized frames by ending, not by guessing', () => {
  const frame = (length: number, type: number, body = Buffer.alloc(0)): Buffer => {
    const header = Buffer.alloc(12);
    header.writeUInt32LE(length, 0);
    header.writeUInt16LE(type, 4);
    return Buffer.concat([header, body]);
  };
  for (const input of [
    frame(0, 999),
    frame(4, 1, Buffer.alloc(4, 255)),
    frame(0xffffffff, 1),
    frame(8, 2, Buffer.alloc(8, 255)),
    frame(0, 9),
    frame(3, 36),
  ]) {
    const { status, signal } = spawnSync(treefsPath() ?? '', { input, timeout: 5000 });
    assert.equal(signal, null);
    assert.ok(status === 0 || status === 2);
  }
  return Promise.resolve();
});

workerTest(
  'a worker that was killed is started again for the next request and takes its lock back',
  async (worker, directory) => {
    await worker.lock(join(directory, 'lock'), process.pid);

    const holder = childOf(process.pid);
    process.kill(holder, 'SIGKILL');
    let failures = 0;
    for (let attempt = 0; attempt < 50; attempt++) {
      try {
        await worker.detailOne(directory, 'lock', 0);
        break;
      } catch {
        failures++;
      }
    }
    assert.ok(failures < 50);
    const second = new TreeWorker(treefsPath() ?? '', silentLogger);
    await assert.rejects(second.lock(join(directory, 'lock'), 1), {
      code: 'EAGAIN',
      text: String(process.pid),
    });
    await second.close();
    assert.ok(existsSync(join(directory, 'lock')));
  },
);

function childOf(parent: number): number {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [, rest] = /^\d+ \(treefs\) (.*)$/.exec(readFileSync(`/proc/${name}/stat`, 'utf8').trim()) ?? [];
      if (rest !== undefined && Number(rest.split(' ')[1]) === parent) return Number(name);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error('no worker is running');
}
