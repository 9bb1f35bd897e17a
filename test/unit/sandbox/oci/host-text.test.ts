/** What the backend reads from and writes for the host: mount table, overlay options, CRIU's log, names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastLines, runCommand, tryCommand } from '../../../../host-helper/sandbox/oci/command.ts';
import {
  cgroupParent,
  isWithin,
  netnsPrefix,
  ownerOf,
  sandboxLayout,
} from '../../../../host-helper/sandbox/oci/layout.ts';
import { parseMountInfo } from '../../../../host-helper/sandbox/oci/mount-table.ts';
import { escapeLower, isHeld } from '../../../../host-helper/sandbox/oci/overlay.ts';
import { criuErrors } from '../../../../host-helper/sandbox/oci/process-image.ts';
import { runcReason } from '../../../../host-helper/sandbox/oci/runc.ts';

test('mount points with spaces and optional fields are read right', () => {
  const text = [
    '29 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '40 29 0:35 / /a\\040b\\134c rw,nosuid shared:7 master:1 - overlay turntable rw,lowerdir=/x,index=on,nfs_export=on',
    'nonsense',
    '',
  ].join('\n');
  assert.deepEqual(parseMountInfo(text), [
    { target: '/', type: 'ext4', source: '/dev/vda', options: ['rw'] },
    {
      target: '/a b\\c',
      type: 'overlay',
      source: 'turntable',
      options: ['rw', 'lowerdir=/x', 'index=on', 'nfs_export=on'],
    },
  ]);
});

test('a folder name may hold what overlay options are separated by', () => {
  assert.equal(escapeLower('/a:b,c\\d'), '/a\\:b\\,c\\\\d');
});

test('a held upper is told from a mount that cannot work', () => {
  assert.equal(isHeld('mount: /x: turntable already mounted or mount point busy.'), true);
  assert.equal(isHeld('mount: /x: mount(2) system call failed: Stale file handle.'), true);
  assert.equal(isHeld('mount: /x: wrong fs type, bad option, bad superblock'), false);
});

test("CRIU's reason is told without its noise", () => {
  const log = [
    "(00.04) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
    '(00.05) tty: Dumping tty 22 with id 0x5',
    '(00.05) Error (criu/sk-unix.c:1): unix: Unix socket 7 not found',
    '(00.06) Error (criu/cr-dump.c:1975): Dumping FAILED.',
  ].join('\n');
  assert.deepEqual(criuErrors(log), ['unix: Unix socket 7 not found']);
  const many = Array.from({ length: 9 }, (_, index) => `(0) Error (a.c:1): e${index}`).join('\n');
  assert.deepEqual(criuErrors(many), ['e0', 'e1', 'e7', 'e8']);
});

test("runc's reason is told without its decoration", () => {
  const words =
    'time="2026-01-01T00:00:00Z" level=error msg="criu failed: type DUMP errno 56\\nlog file: /x \\"y\\""\n';
  assert.equal(runcReason(words), 'criu failed: type DUMP errno 56; log file: /x "y"');
  assert.equal(runcReason('plain words\n'), 'plain words');
});

test('names outside the directory carry the state directory they belong to', () => {
  const one = sandboxLayout('/state/one', 'a', '/state/one/a');
  const two = sandboxLayout('/state/two', 'a', '/state/two/a');
  assert.notEqual(one.netnsName, two.netnsName);
  assert.notEqual(one.cgroupsPath, two.cgroupsPath);
  assert.ok(one.netnsName.startsWith(netnsPrefix(ownerOf('/state/one'))));
  assert.ok(one.cgroupsPath.startsWith(`${cgroupParent(ownerOf('/state/one'))}/`));
});

test('a path is within itself and its parents, not within its neighbours', () => {
  assert.equal(isWithin('/a/b', '/a/b'), true);
  assert.equal(isWithin('/a/b/c', '/a/b'), true);
  assert.equal(isWithin('/a/bc', '/a/b'), false);
  assert.equal(isWithin('/a', '/a/b'), false);
  assert.equal(isWithin('/a/..b', '/a'), true);
});

test('a failing command is told in its own words, a missing one names the next step, a slow one is ended', async () => {
  await assert.rejects(runCommand('sh', ['-c', 'echo first; echo broken >&2; exit 3']), /code 3: broken/);
  await assert.rejects(runCommand('no-such-program-here', []), /npm run setup/);
  await assert.rejects(tryCommand('sleep', ['60'], { timeoutMs: 50 }), /within 50 ms/);
  assert.equal((await tryCommand('sh', ['-c', 'exit 4'])).code, 4);
  assert.equal(lastLines('a\n\n b \nc\n', 2), 'b; c');
});
