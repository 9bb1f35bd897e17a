import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ensureMountPoint, ensureRootfs } from '../../../../host-helper/sandbox/oci/rootfs.ts';

function places(context: TestContext): { rootfs: string; host: string; supervisor: string } {
  const directory = mkdtempSync(join(tmpdir(), 'rootfs-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const at = {
    rootfs: join(directory, 'rootfs'),
    host: join(directory, 'host'),
    supervisor: join(directory, 'program'),
  };
  mkdirSync(at.host);
  writeFileSync(at.supervisor, 'program');
  return at;
}

test('a link that a sandbox put in the place of a directory is not followed on the host', async (context) => {
  const { rootfs, host, supervisor } = places(context);
  await ensureRootfs(rootfs, supervisor);
  for (const name of ['run', 'home', 'tmp']) {
    renameSync(join(rootfs, name), join(rootfs, `${name}.old`));
    symlinkSync(host, join(rootfs, name));
  }
  await ensureRootfs(rootfs, supervisor);
  await ensureMountPoint(rootfs, '/home/somebody/project');
  assert.deepEqual(readdirSync(host), [], 'nothing was made outside');
  assert.ok(lstatSync(join(rootfs, 'home/somebody/project')).isDirectory());
  assert.ok(lstatSync(join(rootfs, 'run')).isDirectory());
  assert.ok(
    readdirSync(rootfs).some((name) => name.startsWith('tmp.moved-')),
    'what was there is kept under another name',
  );
});

test('the supervisor is not written through a link that waits in its place', async (context) => {
  const { rootfs, host, supervisor } = places(context);
  await ensureRootfs(rootfs, supervisor);
  const directory = join(rootfs, 'run/turntable');
  const victim = join(host, 'victim');
  writeFileSync(victim, 'untouched and longer');
  for (const name of readdirSync(directory)) {
    rmSync(join(directory, name));
    symlinkSync(victim, join(directory, name));
    symlinkSync(victim, join(directory, `${name}.new`));
  }
  await ensureRootfs(rootfs, supervisor);
  assert.equal(lstatSync(victim).size, 'untouched and longer'.length);
  assert.deepEqual(
    readdirSync(directory).map((name) => lstatSync(join(directory, name)).isFile()),
    [true],
  );
});
