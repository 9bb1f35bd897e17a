import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import { canonicalJson, openAuditLog } from '../../../host-helper/authority/audit.ts';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'turntable-audit-'));
  path = join(directory, 'audit.log');
});
afterEach(() => rm(directory, { recursive: true }));

async function lines(): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').filter(Boolean);
}

async function three(): Promise<void> {
  await using log = await openAuditLog(directory);
  for (const n of [1, 2, 3]) await log.append('test', `s${n}`, { n });
}

describe('the audit log', () => {
  it('chains records by hash, for its owner alone to read', async () => {
    await three();
    const records = (await lines()).map(
      (line) => JSON.parse(line) as { sequence: number; previous: string; hash: string },
    );
    assert.deepEqual(
      records.map((record) => record.sequence),
      [0, 1, 2],
    );
    assert.equal(records[0]?.previous, '0'.repeat(64));
    assert.equal(records[1]?.previous, records[0]?.hash);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  it('goes on with the chain when it is opened again', async () => {
    await three();
    await using log = await openAuditLog(directory);
    assert.equal((await log.append('more', undefined, {})).sequence, 3);
    assert.deepEqual(await log.verify(), { intact: true, records: 4 });
  });

  it('keeps the order of appends that were made at once', async () => {
    await using log = await openAuditLog(directory);
    await Promise.all(Array.from({ length: 200 }, (_, n) => log.append('test', undefined, { n })));
    assert.deepEqual(
      (await log.read({ limit: 500 })).map((record) => record.data['n']),
      Array.from({ length: 200 }, (_, n) => n),
    );
    assert.equal((await log.verify()).intact, true);
  });

  it('gives the newest records of one session', async () => {
    await using log = await openAuditLog(directory);
    for (let n = 0; n < 20; n++) await log.append('test', n % 2 === 0 ? 'even' : 'odd', { n });
    assert.deepEqual(
      (await log.read({ sessionId: 'even', limit: 3 })).map((record) => record.data['n']),
      [14, 16, 18],
    );
  });

  const damages: [what: string, at: number, change: (all: string[]) => string[]][] = [
    ['a changed record', 1, (all) => all.map((line) => line.replace('"n":2', '"n":9'))],
    ['a removed record', 1, (all) => all.filter((_, index) => index !== 1)],
    ['swapped records', 0, (all) => [all[1] ?? '', all[0] ?? '', all[2] ?? '']],
    ['a repeated record', 1, (all) => [all[0] ?? '', ...all]],
    ['a line that is no record', 1, (all) => [all[0] ?? '', 'nonsense', ...all.slice(1)]],
    [
      'blanks that a parser would not see',
      2,
      (all) => all.map((line, index) => (index === 2 ? line.replace(':', ': ') : line)),
    ],
  ];
  for (const [what, at, change] of damages) {
    it(`says where ${what} breaks the chain`, async () => {
      await three();
      await writeFile(path, change(await lines()).join('\n') + '\n');
      await using log = await openAuditLog(directory);
      const found = await log.verify();
      assert.equal(found.intact, false);
      assert.equal(found.brokenAt, at);
    });
  }

  it('says where the chain breaks when a forger gave the changed record a fitting hash of its own', async () => {
    await three();
    const all = await lines();
    const { hash: _hash, ...body } = JSON.parse(all[1] ?? '') as Record<string, unknown>;
    const forged = { ...body, data: { n: 9 } };
    const hash = createHash('sha256').update(canonicalJson(forged)).digest('hex');
    all[1] = canonicalJson({ ...forged, hash });
    await writeFile(path, all.join('\n') + '\n');
    await using log = await openAuditLog(directory);
    assert.deepEqual(await log.verify(), {
      intact: false,
      records: 2,
      brokenAt: 2,
      detail: 'It does not follow from the record before.',
    });
  });

  it('sees, while it runs, that the end was cut off', async () => {
    await using log = await openAuditLog(directory);
    await log.append('a', undefined, {});
    await log.append('b', undefined, {});
    await writeFile(path, `${(await lines())[0]}\n`);
    assert.equal((await log.verify()).brokenAt, 1);
  });

  it('keeps a torn last line aside, says so in the log, and goes on', async () => {
    await three();
    await appendFile(path, '{"at":1,"data":{');
    await using log = await openAuditLog(directory);
    assert.deepEqual(await log.verify(), { intact: true, records: 4 });
    const [last] = await log.read({ limit: 1 });
    assert.equal(last?.kind, 'audit.recovered');
    assert.equal(last?.data['tornBytes'], 16);
    assert.deepEqual(await readdir(directory), ['audit.log', 'audit.log.torn-3']);
    assert.equal(await readFile(join(directory, 'audit.log.torn-3'), 'utf8'), '{"at":1,"data":{');
  });

  it('takes zeros after the last record, as some file systems leave them, for torn', async () => {
    await three();
    await appendFile(path, Buffer.alloc(100));
    await using log = await openAuditLog(directory);
    assert.equal((await log.verify()).intact, true);
  });

  it('rejects once it is closed', async () => {
    const log = await openAuditLog(directory);
    await log.close();
    await assert.rejects(log.append('late', undefined, {}), /closed/);
  });

  it('refuses a record over the bound without harm to the chain', async () => {
    await using log = await openAuditLog(directory);
    await assert.rejects(log.append('big', undefined, { text: 'x'.repeat(300_000) }), /too large/);
    await log.append('small', undefined, {});
    assert.deepEqual(await log.verify(), { intact: true, records: 1 });
  });

  it('rejects while the disk is full, leaves a chain that holds, and goes on when there is room', (t) => {
    // A tiny file system in a mount namespace of its own.
    const script = `
      import { execFileSync } from 'node:child_process';
      import { openAuditLog } from ${JSON.stringify(join(import.meta.dirname, '../../../host-helper/authority/audit.ts'))};
      const log = await openAuditLog(${JSON.stringify(directory)});
      const outcomes = [];
      for (let n = 0; n < 20; n++) {
        outcomes.push(await log.append('test', undefined, { text: 'x'.repeat(4000) }).then(() => 'written', (error) => error.code));
      }
      const verified = await log.verify();
      execFileSync('mount', ['-o', 'remount,size=1m', ${JSON.stringify(directory)}]);
      const next = (await log.append('again', undefined, {})).sequence;
      console.log(JSON.stringify({ outcomes, verified, next, after: await log.verify() }));
      await log.close();`;
    const run = spawnSync(
      'unshare',
      [
        ...[
          '--mount',
          'sh',
          '-c',
          'mount -t tmpfs -o size=32k none "$1" && exec "$2" --input-type=module -e "$3"',
        ],
        ...['sh', directory, process.execPath, script],
      ],
      { encoding: 'utf8' },
    );
    if (run.error || /unshare failed|not permitted|permission denied/i.test(run.stderr)) {
      t.skip('needs the right to mount a file system (run as root)');
      return;
    }
    const { outcomes, verified, next, after } = z
      .object({
        outcomes: z.array(z.string()),
        verified: z.object({ intact: z.boolean(), records: z.number() }),
        next: z.number(),
        after: z.object({ intact: z.boolean(), records: z.number() }),
      })
      .parse(JSON.parse(run.stdout));
    const written = outcomes.indexOf('diskFull');
    assert.ok(written > 0, run.stderr);
    assert.deepEqual(
      outcomes,
      outcomes.map((_, index) => (index < written ? 'written' : 'diskFull')),
    );
    assert.deepEqual(verified, { intact: true, records: written });
    assert.equal(next, written);
    assert.deepEqual(after, { intact: true, records: written + 1 });
  });

  it('does not follow a symlink put in its place', async () => {
    await symlink('/dev/null', path);
    await assert.rejects(openAuditLog(directory), /ELOOP/);
  });

  it('writes one text for one value', () => {
    assert.equal(canonicalJson({ b: [1, { d: 2, c: undefined }], a: 'x' }), '{"a":"x","b":[1,{"d":2}]}');
  });
});
