import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../../host-helper/log.ts';
import type { Action } from '../../../host-helper/protocol/actions.ts';
import type { Checkpoint, Turn } from '../../../host-helper/protocol/state.ts';
import type { SessionParts } from '../../../host-helper/session/parts.ts';
import { Session } from '../../../host-helper/session/session.ts';
import { diskFull, openDatabase } from '../../../host-helper/store/database.ts';
import { SqliteMetadata } from '../../../host-helper/store/metadata.ts';
import { aCheckpoint, aTurn } from '../server/fake-helper.ts';

const damaged = 'not restorable: damaged: /file: a content is missing: see `turntable fsck`';

/** A session without a sandbox, of one turn for each checkpoint given, over a real database. */
function withSession(
  checkpoints: readonly Partial<Checkpoint>[],
  body: (stage: { session: Session; metadata: SqliteMetadata; actions: Action[] }) => void,
): void {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-session-'));
  const database = openDatabase(join(directory, 'state.sqlite'));
  try {
    const metadata = new SqliteMetadata(database, () => {});
    database.exec("INSERT INTO version VALUES ('v', '[]')");
    for (const [id, over] of checkpoints.entries()) {
      const parent = id === 0 ? null : id - 1;
      const checkpoint = aCheckpoint({ id: `c${id}`, bytesStored: 100, ...over });
      metadata.publish(
        {
          id: checkpoint.id,
          sessionId: 's',
          turn: id,
          fileVersion: 'v',
          processImage: undefined,
          position: '{}',
          createdAt: id,
        },
        JSON.stringify(aTurn({ id, parent, state: 'closed', checkpoint })),
      );
    }
    const actions: Action[] = [];
    const parts = {
      store: { metadata },
      profiles: new Map(),
      dispatch: (action: Action) => actions.push(action),
      logger: silentLogger,
    } as unknown as SessionParts;
    const record = {
      id: 's',
      title: 's',
      workspace: '/project',
      home: '/root',
      agent: { name: 'none', status: 'none' as const },
      upstream: 'scripted',
      createdAt: 1,
      head: checkpoints.length - 1,
      status: 'stopped' as const,
      degraded: [],
      furniture: [],
    };
    body({ session: new Session(parts, record, {}), metadata, actions });
  } finally {
    database.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

void test('a checkpoint that is given up goes, and its turn says so; one that could not be restored keeps its reason', () => {
  const capped = { restorable: false, reason: 'not restorable: the checkpoint took too long' };
  const lost = { restorable: false, reason: damaged };
  withSession([{}, {}, capped, lost], ({ session, metadata, actions }) => {
    session.expire([1, 2, 3].map((turn) => ({ turn, why: 'after 90 days' })));
    // Nothing of what was damaged is missing any more: there is nothing to restore either.
    session.showDamage(new Map());
    assert.deepEqual(metadata.turnsWithCheckpoint('s'), [0]);
    const shown = session.turns.all.map(({ checkpoint }) => [checkpoint?.restorable, checkpoint?.reason]);
    assert.deepEqual(shown.slice(1), [
      [false, 'not restorable: expired after 90 days'],
      [false, capped.reason],
      [false, damaged],
    ]);
    const stored = metadata.turns('s').map(({ document }) => JSON.parse(document) as Turn);
    assert.deepEqual(stored, session.turns.all);
    assert.equal(session.state().bytesStored, 100);
    assert.deepEqual(actions.at(-1), {
      type: 'session/changed',
      sessionId: 's',
      patch: { bytesStored: 100 },
    });
  });
});

void test('a checkpoint whose contents have been stored again may be restored again', () => {
  withSession([{}, { restorable: false, reason: damaged }], ({ session }) => {
    session.showDamage(new Map());
    assert.equal(session.turns.get(1).checkpoint?.restorable, true);
  });
});

void test('where a checkpoint cannot be given up for a full disk, nothing has changed', () => {
  withSession([{}, {}], ({ session, metadata, actions }) => {
    const { all } = session.turns;
    metadata.expire = () => {
      throw diskFull(undefined);
    };
    assert.throws(
      () => {
        session.expire([{ turn: 1, why: 'after 90 days' }]);
      },
      { code: 'diskFull' },
    );
    assert.equal(session.state().bytesStored, 200);
    assert.deepEqual(session.turns.all, all);
    assert.deepEqual(actions, []);
  });
});
