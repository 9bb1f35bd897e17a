import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { mustHaveRoom } from '../../../host-helper/session/import-workspace.ts';

const mebibyte = 1 << 20;
const disk = { freeBytes: 100 * mebibyte, reserveFreeBytes: 40 * mebibyte };

test('a session that fits beside the reserve has room, one byte more has none', async () => {
  const directory = tmpdir();
  for (const fill of ['own', { given: directory }] as const) {
    const needs = { fill, headBytes: 50 * mebibyte, folderBytes: 10 * mebibyte };
    await mustHaveRoom(needs, directory, disk);
    await assert.rejects(mustHaveRoom({ ...needs, headBytes: needs.headBytes + 1 }, directory, disk), {
      code: 'diskFull',
      message: /takes up to 61 MiB on the disk with the state directory, which has room for 60 MiB/,
    });
  }
});

test('a folder that is not filled takes nothing, and one on another disk nothing here', async () => {
  const needs = { headBytes: 60 * mebibyte, folderBytes: 2 ** 60 };
  await mustHaveRoom({ ...needs, fill: undefined }, tmpdir(), disk);
  await assert.rejects(mustHaveRoom({ ...needs, fill: { given: '/proc' } }, tmpdir(), disk), {
    code: 'diskFull',
    message: /on the disk with \/proc/,
  });
});
