import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLogger } from '../../host-helper/log.ts';
import { TurntableError } from '../../host-helper/protocol/errors.ts';
import { openStore } from '../../host-helper/store/open-store.ts';
import { Bench, listed, missing, sh, treefsPath } from './store-fixture.ts';

type Body = (t: TestContext, bench: Bench) => Promise<void>;

function storeTest(name: string, body: Body): void {
  void test(name, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    await using bench = new Bench();
    await body(t, bench);
  });
}

const everyKind = `
  echo more >> kept.txt; rm gone.txt; rm -rf tree; mkdir opaque2; rm -rf opaque; mkdir opaque; echo in > opaque/new
  mv renamed moved; echo x >> moved/inner/deep.txt; ln kept.txt second-name; mkdir -p d/e; ln second-name d/e/third
  ln -s /nowhere/at/all dangling; mkfifo pipe; chmod 6751 tool; chown 12:34 owned; touch -d '2001-02-03 04:05:06.789' old
  printf x > "$(printf 'bad\\377name')"; printf y > 'new
line'; mkdir -m 1777 sticky; dd if=/dev/urandom of=large bs=1M count=2 status=none; truncate -s 5M sparse; echo end >> sparse
  "${process.execPath}" -e "require('net').createServer().listen('sock', () => process.exit())"
`;

function fillLower(bench: Bench): void {
  sh(
    `echo one > kept.txt; echo two > gone.txt; mkdir tree opaque; echo t > tree/t; echo o > opaque/old; mkdir -p renamed/inner
     echo deep > renamed/inner/deep.txt; echo same > renamed/same.txt; echo '#!' > tool; echo own > owned; echo old > old; echo still > untouched`,
    bench.lower,
  );
}

storeTest(
  'a version brings back everything an upper can hold, in a fresh mount of another sandbox',
  async (_t, bench) => {
    fillLower(bench);
    const first = bench.overlay().mount();
    const start = await bench.capture(first, undefined);
    first.inside(everyKind);
    const before = first.picture();
    const changed = await bench.capture(first, start.version);
    assert.deepEqual(changed.warnings, []);

    const branch = bench.overlay();
    const store = await bench.store();
    await store.files.restore({ sandboxId: 'branch', roots: [branch.root], version: changed.version });
    branch.mount();
    assert.equal(branch.picture(), before);
    assert.equal(
      branch.inside('stat -c %i kept.txt second-name d/e/third | sort -u | wc -l').trim(),
      '1',
      'hard links are one inode',
    );
    assert.ok(Number(branch.inside('stat -c %b sparse')) < 600, 'a hole stays a hole');
    assert.equal(branch.inside('cat moved/same.txt'), 'same\n', 'a renamed directory still shows the lower');
    branch.inside('echo more >> second-name; mv moved moved-again; rm -rf opaque; ls -R . > /dev/null');
    const back = await bench.capture(branch, changed.version, 'branch');
    assert.deepEqual(
      listed(back.changes).filter((line) => !line.includes('/moved')),
      [
        'changed /project/d/e/third',
        'changed /project/kept.txt',
        'changed /project/second-name',
        'removed /project/opaque',
        'removed /project/opaque/new',
      ],
    );
  },
);

storeTest(
  'restoring goes back and forth between versions, in place and again after a half-done restore',
  async (_t, bench) => {
    fillLower(bench);
    const overlay = bench.overlay().mount();
    const store = await bench.store();
    const start = await bench.capture(overlay, undefined);
    const startPicture = overlay.picture();
    overlay.inside(everyKind);
    const changed = await bench.capture(overlay, start.version);
    const changedPicture = overlay.picture();
    const restore = async (version: string): Promise<void> => {
      overlay.unmount();
      await store.files.restore({ sandboxId: overlay.root.upper, roots: [overlay.root], version });
      overlay.mount();
    };
    await restore(start.version);
    assert.equal(overlay.picture(), startPicture);
    await restore(changed.version);
    assert.equal(overlay.picture(), changedPicture);
    overlay.unmount();
    // As if a restore had been killed in the middle, and a stranger had been at it.
    sh(
      'rm -rf d moved; echo stranger > kept.txt; mkdir pipe2; touch .turntable-1-1.tmp; mv large large2',
      overlay.root.upper,
    );
    await restore(changed.version);
    assert.equal(overlay.picture(), changedPicture);
    const again = await bench.capture(overlay, changed.version);
    assert.equal(again.version, changed.version, 'the same contents have the same id');
    assert.deepEqual(again.changes, []);
  },
);

storeTest('changes are what the sandbox sees, not what the upper holds', async (_t, bench) => {
  sh('mkdir dir; echo a > dir/a; echo b > dir/b; echo c > c', bench.lower);
  const overlay = bench.overlay().mount();
  const start = await bench.capture(overlay, undefined);
  overlay.inside('touch c; chmod 600 dir/a; chmod 644 dir/a; echo n > n; rm n; rm dir/b');
  const one = await bench.capture(overlay, start.version);
  // A new time alone is a change, for what is built by times; said to be no more than that.
  assert.deepEqual(listed(one.changes), ['changed /project/c', 'removed /project/dir/b']);
  assert.deepEqual(
    one.changes.filter((change) => change.timeOnly).map((change) => change.path),
    ['/project/c'],
  );
  overlay.inside('echo b > dir/b; rm -rf dir; mkdir dir; echo a > dir/a; echo z > dir/z');
  const two = await bench.capture(overlay, one.version);
  assert.deepEqual(listed(two.changes), ['added /project/dir/z', 'changed /project/dir/a']);
  assert.equal(two.changes.find((change) => change.path === '/project/dir/a')?.timeOnly, true);
  const store = await bench.store();
  assert.deepEqual(listed(await store.files.changes(two.version, start.version, [overlay.root])), [
    'added /project/dir/b',
    'changed /project/c',
    'changed /project/dir/a',
    'removed /project/dir/z',
  ]);
  assert.deepEqual(await store.files.changes(two.version, two.version, [overlay.root]), []);
});

storeTest(
  'a capture costs what changed: nothing stored for the same content, one block for one page of a large file',
  async (_t, bench) => {
    const overlay = bench.overlay().mount();
    overlay.inside('head -c 20000000 /dev/urandom > big');
    const start = await bench.capture(overlay, undefined);
    assert.ok(start.bytesStored > 20_000_000);
    overlay.inside('cp big copy');
    const copied = await bench.capture(overlay, start.version);
    assert.ok(copied.bytesStored < 4000, `stored ${copied.bytesStored} bytes for a copy`);
    overlay.inside('printf changed | dd of=big bs=1 seek=7000000 conv=notrunc status=none');
    const patched = await bench.capture(overlay, copied.version);
    assert.ok(patched.bytesStored < 300_000, `stored ${patched.bytesStored} bytes for one page`);
    const picture = overlay.picture();
    overlay.unmount();
    const store = await bench.store();
    const back = await store.files.restore({
      sandboxId: overlay.root.upper,
      roots: [overlay.root],
      version: copied.version,
    });
    assert.ok(back.writtenBytes <= 262_144, `wrote ${back.writtenBytes} bytes to change one page`);
    await store.files.restore({
      sandboxId: overlay.root.upper,
      roots: [overlay.root],
      version: patched.version,
    });
    assert.equal(overlay.mount().picture(), picture);
  },
);

storeTest('two writes in one tick of the clock are both seen', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  let previous = (await bench.capture(overlay, undefined)).version;
  for (let round = 0; round < 30; round++) {
    writeFileSync(join(overlay.root.merged, 'f'), `a${round}`.padEnd(8));
    const one = await bench.capture(overlay, previous);
    writeFileSync(join(overlay.root.merged, 'f'), `b${round}`.padEnd(8));
    const two = await bench.capture(overlay, one.version);
    assert.notEqual(one.version, two.version);
    const store = await bench.store();
    assert.equal(
      Buffer.from(await store.files.read(two.version, [overlay.root], '/project/f')).toString(),
      `b${round}`.padEnd(8),
    );
    previous = two.version;
  }
});

storeTest(
  'reading follows the sandbox: through links across roots, renamed directories, and down to the lower',
  async (_t, bench) => {
    sh('mkdir -p dir/sub; echo low > dir/sub/f', bench.lower);
    const overlay = bench.overlay().mount();
    const plain = {
      name: 'rootfs',
      path: '/',
      kind: 'plain' as const,
      lower: undefined,
      upper: join(bench.directory, 'rootfs'),
      merged: join(bench.directory, 'rootfs'),
    };
    mkdirSync(join(plain.upper, 'tmp'), { recursive: true });
    sh('ln -s project/moved link; echo t > tmp/t; mkfifo tmp/p', plain.upper);
    overlay.inside('mv dir moved; echo up > moved/up; ln -s moved/up alias');
    const store = await bench.store();
    const roots = [overlay.root, plain];
    const { version, changes } = await store.files.capture({
      sandboxId: 'x',
      roots,
      previous: undefined,
      dirtyRoots: new Set(),
    });
    assert.ok(!changes.some(({ root }) => root === 'rootfs'), 'what a plain root starts with is no change');
    const text = async (path: string): Promise<string> =>
      Buffer.from(await store.files.read(version, roots, path)).toString();
    assert.equal(await text('/project/moved/sub/f'), 'low\n');
    assert.equal(await text('/link/sub/f'), 'low\n');
    assert.equal(await text('/link/up'), 'up\n');
    assert.equal(await text('/tmp/t'), 't\n');
    assert.equal(await text('/project/alias'), 'moved/up');
    assert.equal((await store.files.stat(version, roots, '/project/moved/sub')).kind, 'directory');
    assert.equal((await store.files.stat(version, roots, '/tmp/p')).kind, 'other');
    for (const path of [
      '/project/dir/sub/f',
      '/nowhere',
      '/project/moved/up/x',
      '/tmp/p',
      '/project/../../etc/passwd',
    ]) {
      await assert.rejects(store.files.read(version, roots, path), { code: 'fileNotFound' }, path);
    }
  },
);

storeTest('a root that is not dirty is taken from the version before, unseen', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  const start = await bench.capture(overlay, undefined);
  overlay.inside('echo x > x');
  const store = await bench.store();
  const request = { sandboxId: overlay.root.upper, roots: [overlay.root], previous: start.version };
  const clean = await store.files.capture({ ...request, dirtyRoots: new Set<string>() });
  assert.equal(clean.version, start.version);
  assert.equal(clean.scannedEntries, 0);
  const dirty = await store.files.capture({ ...request, dirtyRoots: new Set(['workspace']) });
  assert.deepEqual(listed(dirty.changes), ['added /project/x']);
});

storeTest('a hostile tree cannot lead a restore out of its root', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  overlay.inside('mkdir -p a/b; echo secret > a/b/f');
  const { version } = await bench.capture(overlay, undefined);
  overlay.unmount();
  const outside = join(bench.directory, 'outside');
  mkdirSync(join(outside, 'b'), { recursive: true });
  sh(`rm -rf a; ln -s ${outside} a`, overlay.root.upper);
  const store = await bench.store();
  await store.files.restore({ sandboxId: 'fresh', roots: [overlay.root], version });
  assert.deepEqual(readdirSync(join(outside, 'b')), []);
  assert.equal(readFileSync(join(overlay.root.upper, 'a/b/f'), 'utf8'), 'secret\n');
});

storeTest('what a version cannot vouch for is said, never skipped in silence', async (t, bench) => {
  const overlay = bench.overlay().mount();
  try {
    overlay.inside('mknod null c 1 3');
  } catch {
    return t.skip('device nodes cannot be made here');
  }
  const { version, warnings, changes } = await bench.capture(overlay, undefined);
  assert.match(warnings.join(), /workspace: null: a device node/);
  assert.deepEqual(listed(changes), ['added /project/null']);
  const branch = bench.overlay();
  const store = await bench.store();
  const restored = await store.files.restore({ sandboxId: 'branch', roots: [branch.root], version });
  assert.match(restored.warnings.join(), /null: a device node; it was not made again/);
  assert.ok(!existsSync(join(branch.root.upper, 'null')));
});

storeTest(
  'a file with other names in the folder below is restored under the name that was written, and that is said',
  async (_t, bench) => {
    sh('echo one > a; ln a b; echo two > c', bench.lower);
    const overlay = bench.overlay().mount();
    const start = await bench.capture(overlay, undefined);
    overlay.inside('echo more >> a; echo more >> c');
    const { warnings } = await bench.capture(overlay, start.version);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^workspace: a: has other names in the folder below/);
  },
);

storeTest('kill -9 in the middle of captures loses no published checkpoint', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  const script = `
    import { openStore } from ${JSON.stringify(join(import.meta.dirname, '../../host-helper/store/open-store.ts'))};
    import { silentLogger } from ${JSON.stringify(join(import.meta.dirname, '../../host-helper/log.ts'))};
    import { writeFileSync } from 'node:fs';
    import { randomBytes } from 'node:crypto';
    const root = ${JSON.stringify(overlay.root)};
    const store = await openStore({ directory: ${JSON.stringify(bench.state)}, treefsPath: ${JSON.stringify(treefsPath())}, logger: silentLogger });
    let previous;
    for (let turn = 0; ; turn++) {
      writeFileSync(root.merged + '/small', String(turn));
      writeFileSync(root.merged + '/large' + turn % 3, randomBytes(600_000));
      const { version } = await store.files.capture({ sandboxId: 's', roots: [root], previous, dirtyRoots: new Set(['workspace']) });
      store.metadata.publish({ id: 'c' + turn, sessionId: 's', turn, fileVersion: version, processImage: undefined, position: '{}', createdAt: Date.now() }, '{}');
      process.stdout.write(turn + '\\n');
      previous = version;
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let published = -1;
  child.stdout.on('data', (data: Buffer) => (published = Number(data.toString().trim().split('\n').at(-1))));
  while (published < 4) await delay(20);
  await delay(Math.random() * 40);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const store = await bench.store();
  assert.ok(store.metadata.turns('s').length > published);
  overlay.unmount();
  for (const { turn } of store.metadata.turns('s')) {
    const record = store.metadata.checkpointOf('s', turn);
    assert.ok(record);
    await store.files.restore({ sandboxId: 'after', roots: [overlay.root], version: record.fileVersion });
    assert.equal(readFileSync(join(overlay.root.upper, 'small'), 'utf8'), String(turn));
  }
});

storeTest('a second helper on the same directory is told who has it', async (_t, bench) => {
  await bench.store();
  await assert.rejects(
    openStore({ directory: bench.state, treefsPath: treefsPath() ?? '', logger: silentLogger }),
    (error: unknown) => {
      assert.ok(error instanceof TurntableError);
      assert.equal(error.code, 'helperRunning');
      assert.deepEqual(error.data, { pid: process.pid });
      return true;
    },
  );
  await bench.reopen();
});

storeTest(
  'a full disk keeps nothing of the failed capture and loses nothing of the earlier ones',
  async (t, bench) => {
    const small = join(bench.directory, 'small');
    mkdirSync(small);
    try {
      sh(`mount -t tmpfs -o size=6m tmpfs ${small}`);
    } catch {
      return t.skip('tmpfs cannot be mounted here');
    }
    const overlay = bench.overlay().mount();
    const open = async () =>
      await openStore({
        directory: join(small, 'state'),
        treefsPath: treefsPath() ?? '',
        logger: silentLogger,
      });
    let store = await open();
    try {
      const request = { sandboxId: 's', roots: [overlay.root], dirtyRoots: new Set(['workspace']) };
      overlay.inside('echo first > f; head -c 1000000 /dev/urandom > g');
      const first = await store.files.capture({ ...request, previous: undefined });
      store.metadata.publish(
        {
          id: 'c',
          sessionId: 's',
          turn: 1,
          fileVersion: first.version,
          processImage: undefined,
          position: '{}',
          createdAt: 1,
        },
        '{}',
      );
      const packs = readdirSync(join(small, 'state/packs'));
      overlay.inside('head -c 12000000 /dev/urandom > big');
      await assert.rejects(store.files.capture({ ...request, previous: first.version }), {
        code: 'diskFull',
      });
      assert.deepEqual(readdirSync(join(small, 'state/packs')), packs, 'the unfinished pack is gone');
      // So many small files that the database itself runs out of room.
      overlay.inside('rm big; mkdir many');
      for (let i = 0; i < 600; i++)
        writeFileSync(join(overlay.root.merged, 'many', String(i)), randomBytes(16_000));
      await assert.rejects(store.files.capture({ ...request, previous: first.version }), {
        code: 'diskFull',
      });
      overlay.inside('rm -rf many; echo third > f');
      const third = await store.files.capture({ ...request, previous: first.version });
      assert.deepEqual(listed(third.changes), ['changed /project/f']);
      await store.close();
      store = await open();
      const record = store.metadata.checkpointOf('s', 1);
      assert.equal(
        Buffer.from(
          await store.files.read(record?.fileVersion ?? '', [overlay.root], '/project/f'),
        ).toString(),
        'first\n',
      );
      assert.equal((await store.files.read(first.version, [overlay.root], '/project/g')).length, 1_000_000);
    } finally {
      await store.close();
      sh(`umount ${small}`);
    }
  },
);

storeTest('collection frees what nothing needs and spares a capture that is under way', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  const store = await bench.store();
  overlay.inside('head -c 3000000 /dev/urandom > a; cp a b; echo keep > c');
  const first = await bench.capture(overlay, undefined, 's');
  store.metadata.publish(
    {
      id: 'c1',
      sessionId: 'one',
      turn: 1,
      fileVersion: first.version,
      processImage: undefined,
      position: '{}',
      createdAt: 1,
    },
    '{}',
  );
  overlay.inside('head -c 3000000 /dev/urandom > a');
  const second = await bench.capture(overlay, first.version, 's');
  store.metadata.publish(
    {
      id: 'c2',
      sessionId: 'two',
      turn: 1,
      fileVersion: second.version,
      processImage: undefined,
      position: '{}',
      createdAt: 1,
    },
    '{}',
  );
  assert.equal(await store.collect(), 0);
  store.metadata.removeSession('one');
  store.files.forget('s');
  overlay.inside('head -c 5000000 /dev/urandom > d');
  const [third] = await Promise.all([
    bench.capture(overlay, second.version, 't'),
    store.collect(),
    delay(1).then(() => store.collect()),
  ]);
  assert.equal((await store.files.read(third.version, [overlay.root], '/project/d')).length, 5_000_000);
  assert.equal((await store.files.read(second.version, [overlay.root], '/project/a')).length, 3_000_000);
  store.metadata.removeSession('two');
  store.files.forget('t');
  assert.ok((await store.collect()) > 5_000_000);
  assert.deepEqual(readdirSync(join(bench.state, 'packs')), []);
  await assert.rejects(store.files.read(second.version, [overlay.root], '/project/c'), {
    code: 'notRestorable',
  });
});

storeTest(
  'process images are opened beside each other, and go when no checkpoint names them',
  async (_t, bench) => {
    const store = await bench.store();
    const staged = await store.images.stage();
    writeFileSync(join(staged, 'pages-1.img'), Buffer.alloc(1_000_000, 7));
    mkdirSync(join(staged, 'sub'));
    writeFileSync(join(staged, 'sub/core.img'), 'core');
    const { image, bytesStored } = await store.images.keep(staged);
    assert.ok(bytesStored > 0);
    const opened = await store.images.open(image);
    writeFileSync(join(opened.directory, 'restore.log'), 'log');
    assert.equal(readFileSync(join(opened.directory, 'sub/core.img'), 'utf8'), 'core');
    const other = await store.images.open(image);
    assert.ok(!existsSync(join(other.directory, 'restore.log')));
    assert.equal(statSync(join(other.directory, 'pages-1.img')).size, 1_000_000);
    await opened.release();
    await other.release();
    assert.ok(!existsSync(opened.directory));
    const reopened = await bench.reopen();
    const again = await reopened.images.open(image);
    assert.equal(readFileSync(join(again.directory, 'pages-1.img')).length, 1_000_000);
    await reopened.collect();
    assert.equal(readFileSync(join(again.directory, 'sub/core.img'), 'utf8'), 'core');
    await again.release();
    await reopened.collect();
    await assert.rejects(reopened.images.open(image), { code: 'notRestorable' });
  },
);

storeTest(
  'of process images only the pages that differ take room, at once, and each opens as it was dumped',
  async (_t, bench) => {
    let store = await bench.store();
    const memory = randomBytes(4_000_000);
    memory.fill(0, 1_000_000, 1_500_000);
    const images: { readonly image: string; readonly pages: Buffer }[] = [];
    for (let dump = 0; dump < 5; dump++) {
      memory.write(`dump ${dump}`, dump * 50_000);
      const staged = await store.images.stage();
      mkdirSync(join(staged, 'sub'));
      writeFileSync(join(staged, 'sub/pages-1.img'), memory);
      writeFileSync(join(staged, 'core.img'), `core ${dump}`);
      const { image, bytesStored } = await store.images.keep(staged);
      if (dump > 0) assert.ok(bytesStored < 40_000, `dump ${dump} stored ${bytesStored} bytes`);
      const publish = {
        id: image,
        sessionId: 's',
        turn: dump,
        processImage: image,
        position: '{}',
        createdAt: dump,
      };
      const overlay = bench.overlay();
      const { version } = await bench.capture(overlay, undefined);
      store.metadata.publish({ ...publish, fileVersion: version }, '{}');
      images.push({ image, pages: Buffer.from(memory) });
    }
    const packs = join(bench.state, 'packs');
    const stored = (): number =>
      readdirSync(packs).reduce((sum, name) => sum + statSync(join(packs, name)).size, 0);
    assert.ok(stored() < 3_700_000, `five dumps of 4 MB take ${stored()} bytes`);
    store = await bench.reopen();
    await store.collect();
    for (const [dump, { image, pages }] of images.entries()) {
      const { directory, release } = await store.images.open(image);
      assert.ok(readFileSync(join(directory, 'sub/pages-1.img')).equals(pages), `dump ${dump}`);
      assert.equal(readFileSync(join(directory, 'core.img'), 'utf8'), `core ${dump}`);
      await release();
    }
    store.metadata.removeSession('s');
    await store.collect();
    assert.deepEqual([readdirSync(packs), readdirSync(join(bench.state, 'images'))], [[], []]);
  },
);

storeTest('damage is found when the store is opened or read, and said', async (_t, bench) => {
  const overlay = bench.overlay().mount();
  overlay.inside('head -c 1000000 /dev/urandom > a; echo b > b');
  const { version } = await bench.capture(overlay, undefined);
  let store = await bench.store();
  store.metadata.publish(
    {
      id: 'c',
      sessionId: 's',
      turn: 1,
      fileVersion: version,
      processImage: undefined,
      position: '{}',
      createdAt: 1,
    },
    '{}',
  );
  await store.close();
  const pack = join(bench.state, 'packs', readdirSync(join(bench.state, 'packs'))[0] ?? '');
  sh(`printf damage | dd of=${pack} bs=1 seek=300000 conv=notrunc status=none`);
  store = await bench.reopen();
  await assert.rejects(store.files.read(version, [overlay.root], '/project/a'), { code: 'storeDamaged' });
  assert.equal(Buffer.from(await store.files.read(version, [overlay.root], '/project/b')).toString(), 'b\n');
  await store.close();
  for (const loss of [`truncate -s 1000 ${pack}`, `rm ${pack}`]) {
    sh(loss);
    store = await bench.reopen();
    assert.deepEqual(
      store.damagedCheckpoints.map(({ id, files }) => [id, files]),
      [['c', 'workspace/a: a content is missing']],
    );
    await assert.rejects(store.files.read(version, [overlay.root], '/project/a'), { code: 'storeDamaged' });
    assert.equal(
      Buffer.from(await store.files.read(version, [overlay.root], '/project/b')).toString(),
      'b\n',
    );
  }
  // What is seen again is stored again, under the same hash: the checkpoint is whole again.
  const again = await bench.capture(overlay, undefined);
  assert.equal(again.version, version);
  store = await bench.reopen();
  assert.deepEqual(store.damagedCheckpoints, []);
  assert.equal((await store.files.read(version, [overlay.root], '/project/a')).length, 1_000_000);
  await store.close();
  sh(
    'rm state.sqlite*; echo this is no database, whatever it may claim to be and however long it is > state.sqlite',
    bench.state,
  );
  await assert.rejects(bench.reopen(), { code: 'storeDamaged' });
});
