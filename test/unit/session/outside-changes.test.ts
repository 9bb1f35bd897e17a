import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import type { Sandbox, SpawnRequest } from '../../../host-helper/sandbox/sandbox.ts';
import { keepOutsideChanges, type OutsideRequest } from '../../../host-helper/session/outside-changes.ts';
import type { FileChange, FileStore } from '../../../host-helper/store/store.ts';

type Versions = Record<string, Record<string, string>>;

/** A store of whole versions in memory; only what the subject calls. */
function storeOf(versions: Versions): FileStore {
  const changesBetween = (from: string, to: string): FileChange[] => {
    const [a = {}, b = {}] = [versions[from], versions[to]];
    return [...new Set([...Object.keys(a), ...Object.keys(b)])]
      .filter((path) => a[path] !== b[path])
      .map((path) => ({
        path,
        root: 'workspace',
        kind: 'file',
        sizeBytes: 1,
        change: !(path in a) ? 'added' : !(path in b) ? 'removed' : 'changed',
      }));
  };
  return {
    changes: (from, to) => Promise.resolve(changesBetween(from, to)),
    read: (version, _roots, path) => {
      const text = versions[version]?.[path];
      return text === undefined
        ? Promise.reject(new TurntableError('fileNotFound', path))
        : Promise.resolve(Buffer.from(text));
    },
    stat: () => Promise.resolve({ kind: 'file', sizeBytes: 1, mode: 0o100644, mtimeMs: 0 }),
    capture: () => Promise.reject(new Error('unused')),
    restore: () => Promise.reject(new Error('unused')),
    forget: () => {},
  };
}

/** Notes what would have been run inside. */
function sandboxOf(ran: SpawnRequest[]): Sandbox {
  const spawn = (request: SpawnRequest): Promise<{ exited: Promise<number> }> => {
    ran.push(request);
    return Promise.resolve({ exited: Promise.resolve(0) });
  };
  return { spawn } as unknown as Sandbox;
}

function request(versions: Versions, choice?: OutsideRequest['choice']): OutsideRequest {
  const files = storeOf(versions);
  const { head = {}, now = {} } = versions;
  const changes = Object.keys({ ...head, ...now })
    .filter((path) => head[path] !== now[path])
    .map((path): FileChange => ({
      path,
      root: 'workspace',
      kind: 'file',
      sizeBytes: 1,
      change: path in now ? 'changed' : 'removed',
    }));
  return { files, roots: [], outside: { changes }, head: 'head', now: 'now', target: 'target', choice };
}

const conflict: Versions = {
  target: { '/w/a': 'one\ntwo\nthree\nfour\nfive\n' },
  head: { '/w/a': 'one\ntwo\nthree\nfour\nFIVE\n' },
  now: { '/w/a': 'ONE\ntwo\nthree\nfour\nFIVE\n' },
};

test('an edit that the rewind would not touch is put back as it was', async () => {
  const ran: SpawnRequest[] = [];
  const plan = await keepOutsideChanges(
    request({
      target: { '/w/a': '1', '/w/b': 'x' },
      head: { '/w/a': '1', '/w/b': 'y' },
      now: { '/w/a': 'mine', '/w/b': 'y' },
    }),
  );
  await plan.apply(sandboxOf(ran));
  assert.deepEqual(
    ran.map((each) => [each.argv.includes('/w/a'), Buffer.from(each.stdin ?? []).toString()]),
    [[true, 'mine']],
  );
});

test('without a choice a conflict refuses the rewind and names the path', async () => {
  await assert.rejects(keepOutsideChanges(request(conflict)), { code: 'conflict', message: /\/w\/a/ });
});

test('take-theirs writes nothing', async () => {
  const ran: SpawnRequest[] = [];
  await (await keepOutsideChanges(request(conflict, 'take-theirs'))).apply(sandboxOf(ran));
  assert.equal(ran.length, 0);
});

test('merge keeps both edits where they do not touch', async () => {
  const ran: SpawnRequest[] = [];
  const notes = await (await keepOutsideChanges(request(conflict, 'merge'))).apply(sandboxOf(ran));
  assert.equal(Buffer.from(ran[0]?.stdin ?? []).toString(), 'ONE\ntwo\nthree\nfour\nfive\n');
  assert.deepEqual(notes, ['/w/a was merged']);
});

test('keep-both writes the edit beside the restored file', async () => {
  const ran: SpawnRequest[] = [];
  await (await keepOutsideChanges(request(conflict, 'keep-both'))).apply(sandboxOf(ran));
  assert.ok(ran[0]?.argv.includes('/w/a.mine'));
});

test('a deletion that a person made is made again', async () => {
  const ran: SpawnRequest[] = [];
  await (
    await keepOutsideChanges(request({ target: { '/w/a': '1' }, head: { '/w/a': '1' }, now: {} }))
  ).apply(sandboxOf(ran));
  assert.equal(ran[0]?.argv[0], 'rm');
});
