/** Random work in a sandbox's folder: every version must bring back what was there, and every list of changes must be the difference. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { FileChange } from '../../host-helper/store/store.ts';
import { Bench, listed, missing } from './store-fixture.ts';

/** Files that have other names: that a name came or went is a change of each of them, which the pictures do not show. */
function linkedIn(folder: string): Set<string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return new Set(
    names.filter((name) => {
      const stat = lstatSync(join(folder, name));
      return stat.isFile() && stat.nlink > 1;
    }),
  );
}

/** What the pictures can show of `changes`: not new times alone, and not other names alone. */
function shownOf(
  changes: readonly FileChange[],
  pictured: readonly string[],
  linked: ReadonlySet<string>,
): string[] {
  return listed(changes.filter((change) => change.timeOnly !== true)).filter(
    (line) => pictured.includes(line) || !linked.has(line.replace('changed /project/', '')),
  );
}

/** Path → what a program sees; `times` adds the modification time. */
function pictureOf(folder: string, times: boolean): Map<string, string> {
  const picture = new Map<string, string>();
  const visit = (path: string): void => {
    for (const name of readdirSync(join(folder, path))) {
      const below = path ? `${path}/${name}` : name;
      const full = join(folder, below);
      const stat = lstatSync(full, { bigint: true });
      const mtime = times ? ` ${stat.mtimeNs}` : '';
      const meta = `${stat.mode.toString(8)} ${stat.uid}${mtime}`;
      if (stat.isDirectory()) {
        picture.set(below, `directory ${meta}`);
        visit(below);
      } else if (stat.isSymbolicLink()) picture.set(below, `symlink ${meta} ${readlinkSync(full)}`);
      else
        picture.set(below, `file ${meta} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`);
    }
  };
  visit('');
  return picture;
}

function difference(before: Map<string, string>, after: Map<string, string>): string[] {
  const lines: string[] = [];
  const kind = (text: string): string => text.split(' ')[0] ?? '';
  for (const [path, seen] of before) {
    const now = after.get(path);
    const replaced =
      now !== undefined && kind(now) !== kind(seen) && [kind(now), kind(seen)].includes('directory');
    if (now === undefined || replaced) lines.push(`removed /project/${path}`);
    else if (now !== seen) lines.push(`changed /project/${path}`);
    if (replaced) lines.push(`added /project/${path}`);
  }
  for (const path of after.keys()) if (!before.has(path)) lines.push(`added /project/${path}`);
  return lines.sort();
}

for (const firstSeed of [11, 4242, 990_017]) {
  void test(`after random work (seed ${firstSeed}) every version comes back and every list of changes is right`, async (t) => {
    const reason = missing();
    if (reason) return t.skip(reason);
    await using bench = new Bench();
    let seed = firstSeed;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const names = ['a', 'b', 'c', 'd', 'dir', 'sub'];
    const pathOf = (): string =>
      Array.from({ length: 1 + random(3) }, () => names[random(names.length)] ?? 'a').join('/');
    for (let count = 0; count < 25; count++) {
      const path = join(bench.lower, pathOf());
      try {
        mkdirSync(join(path, '..'), { recursive: true });
        writeFileSync(path, `lower ${count}`);
      } catch {
        // In the way of each other: others get through.
      }
    }
    const overlay = bench.overlay().mount();
    const folder = overlay.root.merged;
    const work: readonly ((path: string, other: string) => void)[] = [
      (path) => {
        writeFileSync(path, `content ${random(50)}`);
      },
      (path) => {
        writeFileSync(path, Buffer.alloc(200_000 + random(300_000), `large ${random(5)} `));
      },
      (path) => {
        appendFileSync(path, 'more');
      },
      (path) => {
        mkdirSync(path, { recursive: true });
      },
      (path) => {
        rmSync(path, { recursive: true });
      },
      (path, other) => {
        renameSync(path, other);
      },
      (path, other) => {
        renameSync(path, other);
      },
      (path, other) => {
        linkSync(path, other);
      },
      (path, other) => {
        symlinkSync(other, path);
      },
      (path) => {
        chmodSync(path, [0o600, 0o644, 0o755, 0o711][random(4)] ?? 0o600);
      },
      (path) => {
        truncateSync(path, random(400_000));
      },
      (path) => {
        utimesSync(path, 1, 1 + random(1000));
      },
    ];
    const store = await bench.store();
    const states: {
      readonly version: string;
      readonly exact: Map<string, string>;
      readonly seen: Map<string, string>;
    }[] = [];
    let previous = (await bench.capture(overlay, undefined)).version;
    let seen = pictureOf(folder, false);
    let linkedBefore = linkedIn(folder);
    let everLinked = linkedBefore;
    states.push({ version: previous, exact: pictureOf(folder, true), seen });
    for (let turn = 0; turn < 12; turn++) {
      for (let count = 0; count < 12; count++) {
        try {
          work[random(work.length)]?.(join(folder, pathOf()), join(folder, pathOf()));
        } catch {
          // Not everything is possible everywhere.
        }
      }
      const now = pictureOf(folder, false);
      const result = await bench.capture(overlay, previous);
      assert.deepEqual(result.warnings, []);
      const expected = difference(seen, now);
      const linkedNow = linkedIn(folder);
      const linked = new Set([...linkedBefore, ...linkedNow]);
      assert.deepEqual(shownOf(result.changes, expected, linked), expected, `turn ${turn}`);
      linkedBefore = linkedNow;
      everLinked = new Set([...everLinked, ...linkedNow]);
      seen = now;
      previous = result.version;
      states.push({ version: previous, exact: pictureOf(folder, true), seen });
    }
    const branch = bench.overlay();
    for (let step = 0; step < 10; step++) {
      const [from, to] = [states[random(states.length)], states[random(states.length)]];
      assert.ok(from && to);
      const changes = await store.files.changes(from.version, to.version, [overlay.root]);
      const expected = difference(from.seen, to.seen);
      assert.deepEqual(shownOf(changes, expected, everLinked), expected);
      for (const place of [overlay, branch]) {
        place.unmount();
        await store.files.restore({ sandboxId: place.root.upper, roots: [place.root], version: to.version });
        assert.deepEqual(pictureOf(place.mount().root.merged, true), to.exact, `step ${step}`);
      }
      for (const [path, text] of to.seen) {
        if (!text.startsWith('file ')) continue;
        const content = await store.files.read(to.version, [overlay.root], `/project/${path}`);
        assert.ok(text.endsWith(createHash('sha256').update(content).digest('hex')), path);
      }
    }
  });
}
