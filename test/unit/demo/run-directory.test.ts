import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  makeRunDirectory,
  mountsBelow,
  removeRunDirectory,
} from '../../../host-helper/demo/run-directory.ts';

const isRoot = process.getuid?.() === 0;

test('mounts at and below a directory are found, also under names with spaces', () => {
  const mountinfo = [
    '21 1 8:1 / / rw - ext4 /dev/sda rw',
    '22 21 0:5 / /a/b rw - overlay turntable rw',
    '23 21 0:5 / /a/b/c\\040d rw - overlay turntable rw',
    '24 21 0:5 / /a/bc rw - overlay turntable rw',
    '',
  ].join('\n');
  assert.deepEqual(mountsBelow('/a/b', mountinfo), ['/a/b', '/a/b/c d']);
});

test('a run directory is removed with all that is in it', { skip: !isRoot && 'not root' }, async () => {
  const directory = await makeRunDirectory();
  await mkdir(join(directory, 'state'));
  await writeFile(join(directory, 'state', 'helper.log'), '');
  await removeRunDirectory(directory);
  assert.equal(existsSync(directory), false);
});

test(
  'a run directory in which something is mounted is kept whole',
  { skip: !isRoot && 'not root' },
  async () => {
    const directory = await makeRunDirectory();
    const [host, mounted] = [join(directory, 'host'), join(directory, 'mounted')];
    await mkdir(host);
    await mkdir(mounted);
    await writeFile(join(host, 'precious'), '');
    execFileSync('mount', ['--bind', host, mounted]);
    try {
      await assert.rejects(
        removeRunDirectory(directory),
        /is kept: 1 mounts are left in it \(.*\/mounted …\)/,
      );
      assert.equal(existsSync(join(host, 'precious')), true);
    } finally {
      execFileSync('umount', [mounted]);
    }
    await removeRunDirectory(directory);
    assert.equal(existsSync(directory), false);
  },
);
