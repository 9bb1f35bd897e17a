import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { ConflictChoice, Store } from '../../host-helper/store/store.ts';
import { Bench, missing, sh, type Overlay } from './store-fixture.ts';

interface Session {
  readonly bench: Bench;
  readonly store: Store;
  readonly overlay: Overlay;
  /** The developer's folder. */
  readonly folder: string;
  /** Captures the session as it is now. */
  capture(): Promise<void>;
  outcomes(): Promise<Record<string, string>>;
  apply(options?: { readonly paths?: readonly string[]; readonly conflicts?: ConflictChoice }): Promise<{
    readonly applied: readonly string[];
    readonly skipped: Record<string, string>;
    readonly undoId: string;
  }>;
}

const developer = 4321;
const poem = Array.from({ length: 20 }, (_, line) => `line ${line}`).join('\n') + '\n';

function applyTest(
  name: string,
  lower: string,
  body: (session: Session, t: TestContext) => Promise<void>,
): void {
  void test(name, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    await using bench = new Bench();
    writeFileSync(join(bench.lower, 'poem'), poem);
    sh(`${lower}\nchown -R ${developer}:${developer} .`, bench.lower);
    const overlay = bench.overlay().mount();
    const store = await bench.store();
    let version = (await bench.capture(overlay, undefined)).version;
    const session: Session = {
      bench,
      store,
      overlay,
      folder: bench.lower,
      capture: async () => {
        version = (await bench.capture(overlay, version)).version;
      },
      outcomes: async () => {
        const items = await store.apply.previewApply({ version, roots: [overlay.root] });
        return Object.fromEntries(
          items.map(({ path, change, outcome }) => [path.slice('/project/'.length), `${change} ${outcome}`]),
        );
      },
      apply: async (options = {}) => {
        const { applied, skipped, undoId } = await store.apply.applyChanges({
          sessionId: 's',
          version,
          roots: [overlay.root],
          ...options,
        });
        return {
          applied,
          skipped: Object.fromEntries(skipped.map(({ path, reason: why }) => [path, why])),
          undoId,
        };
      },
    };
    await body(session, t);
  });
}

/** Names, kinds, modes, owners and contents of a folder. */
function pictureOf(folder: string): string {
  return sh(
    `find . -mindepth 1 -printf '%P %y %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum < "$0"' {} \\; -o -printf '\\n' \\) | sort`,
    folder,
  );
}

applyTest(
  'what only the session changed is applied as the developer would have done it, and undone to the byte',
  'mkdir -p dir/deep; echo a > dir/a; echo b > dir/deep/b; echo c > c; echo tool > tool; chmod 775 tool; ln -s c link; mkdir gone; echo g > gone/g; chmod 600 c',
  async ({ overlay, folder, capture, outcomes, apply, store }) => {
    const before = pictureOf(folder);
    overlay.inside(
      `echo a2 > dir/a; rm -rf gone; mkdir -p fresh/er; echo n > fresh/er/n; chmod 6755 fresh/er/n; echo x > c; mv dir/deep deeper; ln -sfn dir link
       echo tool2 > tool.new; mv tool.new tool; mkfifo pipe; rm poem; mkdir poem; echo v > poem/verse`,
    );
    await capture();
    assert.equal(pictureOf(folder), before, 'nothing of the folder changes before an apply');
    assert.deepEqual(await outcomes(), {
      c: 'changed clean',
      deeper: 'added clean',
      'deeper/b': 'added clean',
      'dir/a': 'changed clean',
      'dir/deep': 'removed clean',
      'dir/deep/b': 'removed clean',
      fresh: 'added clean',
      'fresh/er': 'added clean',
      'fresh/er/n': 'added clean',
      gone: 'removed clean',
      'gone/g': 'removed clean',
      link: 'changed clean',
      pipe: 'added unsupported',
      poem: 'added clean',
      'poem/verse': 'added clean',
      tool: 'changed clean',
    });
    const { skipped, undoId } = await apply();
    assert.deepEqual(skipped, { '/project/pipe': 'not a file, directory or symbolic link' });
    assert.equal(sh('find . ! -user 4321', folder), '', 'everything belongs to the developer');
    assert.equal(readFileSync(join(folder, 'deeper/b'), 'utf8'), 'b\n');
    assert.equal(readFileSync(join(folder, 'poem/verse'), 'utf8'), 'v\n');
    assert.equal(lstatSync(join(folder, 'fresh/er/n')).mode & 0o7777, 0o755, 'no set-id bits');
    assert.equal(lstatSync(join(folder, 'c')).mode & 0o777, 0o600);
    assert.equal(readlinkSync(join(folder, 'link')), 'dir');
    assert.ok(!existsSync(join(folder, 'gone')) && !existsSync(join(folder, 'dir/deep')));
    assert.equal(overlay.inside('cat deeper/b'), 'b\n', 'the session still has what it renamed');
    await capture();
    assert.deepEqual(await outcomes(), { pipe: 'added unsupported' }, 'nothing is left to apply');
    await store.collect();
    await store.apply.undoApply('s', undoId);
    assert.equal(pictureOf(folder), before);
    await assert.rejects(store.apply.undoApply('s', undoId), { code: 'conflict' });
  },
);

applyTest(
  'changes to different lines are merged, whoever made them',
  '',
  async ({ overlay, folder, capture, outcomes, apply }) => {
    overlay.inside(`sed -i 's/line 3$/session 3/' poem`);
    await capture();
    writeFileSync(join(folder, 'poem'), poem.replace('line 15\n', 'mine 15\n'));
    assert.deepEqual(await outcomes(), { poem: 'changed merged' });
    await apply();
    assert.equal(
      readFileSync(join(folder, 'poem'), 'utf8'),
      poem.replace('line 3\n', 'session 3\n').replace('line 15\n', 'mine 15\n'),
    );
  },
);

const conflicting =
  'echo base > both; echo base > deleted-by-me; echo base > deleted-there; mkdir tree; echo base > tree/old; head -c 3000 /dev/zero > binary';
async function conflict({ overlay, folder, capture, outcomes }: Session): Promise<void> {
  overlay.inside(
    'echo theirs > both; echo theirs > deleted-by-me; rm deleted-there; rm -rf tree; echo theirs > new; head -c 3000 /dev/urandom > binary',
  );
  await capture();
  sh(
    'echo mine > both; rm deleted-by-me; echo mine > deleted-there; echo mine > tree/mine; echo mine > new; head -c 2000 /dev/urandom > binary',
    folder,
  );
  assert.deepEqual(await outcomes(), {
    binary: 'changed conflict',
    both: 'changed conflict',
    'deleted-by-me': 'added conflict',
    'deleted-there': 'removed conflict',
    new: 'changed conflict',
    tree: 'removed clean',
    'tree/mine': 'removed conflict',
    'tree/old': 'removed clean',
  });
}

applyTest(
  "of two changes to the same thing the developer's stays unless they say otherwise",
  conflicting,
  async (session) => {
    await conflict(session);
    const { folder, apply } = session;
    const { skipped } = await apply();
    assert.deepEqual(
      Object.keys(skipped).sort(),
      ['binary', 'both', 'deleted-by-me', 'deleted-there', 'new', 'tree/mine'].map(
        (path) => `/project/${path}`,
      ),
    );
    assert.equal(readFileSync(join(folder, 'both'), 'utf8'), 'mine\n');
    assert.deepEqual(
      readdirSync(join(folder, 'tree')),
      ['mine'],
      'a directory with something of the developer in it stays',
    );
  },
);

applyTest(
  "take-theirs carries the session's over, and undo brings the developer's back",
  conflicting,
  async (session) => {
    await conflict(session);
    const { folder, apply, store } = session;
    const before = pictureOf(folder);
    const { skipped, undoId } = await apply({ conflicts: 'take-theirs' });
    assert.deepEqual(skipped, {});
    assert.equal(readFileSync(join(folder, 'deleted-by-me'), 'utf8'), 'theirs\n');
    assert.ok(!existsSync(join(folder, 'deleted-there')) && !existsSync(join(folder, 'tree')));
    await store.apply.undoApply('s', undoId);
    assert.equal(pictureOf(folder), before);
  },
);

applyTest("merge writes markers, keep-both puts the session's beside", conflicting, async (session) => {
  await conflict(session);
  const { folder, apply } = session;
  const both = await apply({ conflicts: 'keep-both', paths: ['/project/binary', '/project/new'] });
  assert.deepEqual(both.applied, ['/project/binary.session', '/project/new.session']);
  assert.equal(readFileSync(join(folder, 'new.session'), 'utf8'), 'theirs\n');
  assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'mine\n');
  const merged = await apply({ conflicts: 'merge' });
  assert.match(
    readFileSync(join(folder, 'both'), 'utf8'),
    /^<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> session\n$/,
  );
  assert.match(merged.skipped['/project/binary'] ?? '', /cannot be merged line by line/);
});

applyTest(
  'only the chosen paths are applied, with the directories they need',
  '',
  async ({ overlay, folder, capture, apply }) => {
    overlay.inside('mkdir -p one/two; echo f > one/two/f; echo g > one/g; echo h > h');
    await capture();
    const { applied } = await apply({ paths: ['/project/one/two/f'] });
    assert.deepEqual(applied, ['/project/one', '/project/one/two', '/project/one/two/f']);
    assert.ok(!existsSync(join(folder, 'one/g')) && !existsSync(join(folder, 'h')));
    assert.deepEqual((await apply({ paths: ['/project/one'] })).applied, ['/project/one/g']);
  },
);

applyTest(
  'nothing is written through a symbolic link out of the folder',
  'mkdir dir; echo a > dir/a',
  async ({ overlay, bench, folder, capture, apply }) => {
    overlay.inside('echo changed > dir/a; echo new > dir/new');
    await capture();
    const outside = join(bench.directory, 'outside');
    sh(`mkdir ${outside}; echo safe > ${outside}/a; rm -rf dir; ln -s ${outside} dir`, folder);
    for (const conflicts of ['keep-mine', 'take-theirs', 'keep-both', 'merge'] as const)
      await apply({ conflicts });
    assert.deepEqual(readdirSync(outside), ['a']);
    assert.equal(readFileSync(join(outside, 'a'), 'utf8'), 'safe\n');
  },
);

applyTest(
  'undo refuses to overwrite what the developer changed since',
  'echo a > a; echo b > b',
  async ({ overlay, folder, capture, apply, store }) => {
    overlay.inside('echo a2 > a; echo b2 > b; echo new > new');
    await capture();
    const { undoId } = await apply();
    writeFileSync(join(folder, 'a'), 'edited since\n');
    await assert.rejects(store.apply.undoApply('s', undoId), {
      code: 'conflict',
      data: { paths: [join(folder, 'a')] },
    });
    assert.equal(readFileSync(join(folder, 'b'), 'utf8'), 'b2\n', 'nothing is undone by half');
    writeFileSync(join(folder, 'a'), 'a2\n');
    await store.apply.undoApply('s', undoId);
    assert.deepEqual(
      [readFileSync(join(folder, 'a'), 'utf8'), existsSync(join(folder, 'new'))],
      ['a\n', false],
    );
  },
);

applyTest(
  'the base outlives a restart, a rewind and a branch',
  'echo base > f',
  async ({ overlay, bench, folder, capture }) => {
    overlay.inside(`sed -i 's/line 3$/session 3/' poem; echo theirs > f`);
    await capture();
    const store = await bench.reopen();
    overlay.inside('echo more >> f');
    const first = await bench.capture(overlay, undefined, 'no-memory');
    // Without the version before, what is there now is all that can be known.
    assert.ok(first.version);
    const branch = bench.overlay();
    const { version } = await bench.capture(overlay, first.version, 'again');
    await store.files.restore({ sandboxId: 'branch', roots: [branch.root], version });
    branch.mount().inside('echo branched >> f');
    writeFileSync(join(folder, 'poem'), poem.replace('line 15\n', 'mine 15\n'));
    const captured = await bench.capture(branch, version, 'branch');
    const items = await store.apply.previewApply({ version: captured.version, roots: [branch.root] });
    assert.deepEqual(
      items.map(({ path, outcome }) => [path, outcome]),
      [
        ['/project/f', 'clean'],
        ['/project/poem', 'merged'],
      ],
    );
  },
);

applyTest(
  'a file the developer made read-only for others keeps its owner and mode',
  'echo a > a',
  async ({ overlay, folder, capture, apply }) => {
    overlay.inside('echo a2 > a.new; mv a.new a');
    await capture();
    chmodSync(join(folder, 'a'), 0o640);
    chownSync(join(folder, 'a'), developer, 99);
    symlinkSync('a', join(folder, 'unrelated'));
    await apply();
    const { mode, uid, gid } = lstatSync(join(folder, 'a'));
    assert.deepEqual(
      [mode & 0o777, uid, gid, readFileSync(join(folder, 'a'), 'utf8')],
      [0o640, developer, 99, 'a2\n'],
    );
  },
);
