import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { openDatabase } from '../../../host-helper/store/database.ts';
import { SqliteMetadata } from '../../../host-helper/store/metadata.ts';
import type { CheckpointRecord } from '../../../host-helper/store/store.ts';

function withDatabase(body: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'turntable-metadata-'));
  try {
    body(join(directory, 'state.sqlite'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const checkpoint: CheckpointRecord = {
  id: 'c1',
  sessionId: 's',
  turn: 3,
  fileVersion: 'v',
  processImage: undefined,
  position: '{"at":1}',
  createdAt: 12,
};

void test('a checkpoint and its turn are published together or not at all', () => {
  withDatabase((path) => {
    const database = openDatabase(path);
    const metadata = new SqliteMetadata(database, () => {});
    assert.throws(
      () => {
        metadata.publish(checkpoint, '{"turn":3}');
      },
      { code: 'checkpointFailed' },
    );
    assert.deepEqual(metadata.turns('s'), []);
    database.exec("INSERT INTO version VALUES ('v', '[]')");
    assert.throws(
      () => {
        metadata.publish({ ...checkpoint, processImage: 'gone' }, '{}');
      },
      { code: 'checkpointFailed' },
    );
    metadata.publish(checkpoint, '{"turn":3}');
    assert.deepEqual(metadata.checkpointOf('s', 3), checkpoint);
    assert.deepEqual(metadata.checkpoint('c1'), checkpoint);
    assert.deepEqual(metadata.turnsWithCheckpoint('s'), [3]);
    assert.deepEqual(metadata.turnsWithCheckpoint('t'), []);
    assert.throws(() => {
      metadata.publish(checkpoint, '{"turn":"second"}');
    });
    assert.deepEqual(metadata.turns('s'), [{ turn: 3, document: '{"turn":3}' }]);
    database.close();
  });
});

void test('sessions keep their order, documents are replaced, and a removed session leaves no row', () => {
  withDatabase((path) => {
    const database = openDatabase(path);
    const metadata = new SqliteMetadata(database, () => {});
    database.exec("INSERT INTO version VALUES ('v', '[]')");
    metadata.putSession('z', '1');
    metadata.putSession('a', '2');
    metadata.putSession('z', '3');
    assert.deepEqual(metadata.sessions(), [
      { id: 'z', document: '3' },
      { id: 'a', document: '2' },
    ]);
    metadata.publish({ ...checkpoint, sessionId: 'z' }, '{}');
    metadata.putTurn('z', 1, '"first"');
    const kept = metadata.beginIntent('rewind', 'a', '{}');
    metadata.beginIntent('rewind', 'z', '{}');
    metadata.removeSession('z');
    assert.deepEqual(metadata.sessions(), [{ id: 'a', document: '2' }]);
    assert.deepEqual(metadata.turns('z'), []);
    assert.equal(metadata.checkpoint('c1'), undefined);
    assert.deepEqual(metadata.intents(), [{ id: kept, kind: 'rewind', sessionId: 'a', document: '{}' }]);
    metadata.endIntent(kept);
    assert.deepEqual(metadata.intents(), []);
    database.close();
  });
});

void test('a database of the version before is brought up to date', () => {
  withDatabase((path) => {
    const older = openDatabase(path);
    older.exec(
      "ALTER TABLE image DROP COLUMN packed; DROP INDEX chunk_lost; PRAGMA user_version = 1; INSERT INTO session VALUES ('s', '1', 1)",
    );
    older.close();
    const database = openDatabase(path);
    assert.equal(database.prepare('SELECT packed FROM image').all().length, 0);
    assert.equal(new SqliteMetadata(database, () => {}).sessions().length, 1);
    database.close();
  });
});

void test('a database of a newer version, or of something else, is refused with the reason', () => {
  withDatabase((path) => {
    openDatabase(path).close();
    const newer = new DatabaseSync(path);
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    assert.throws(() => openDatabase(path), { code: 'storeDamaged', message: /newer version \(schema 99/ });
  });
  withDatabase((path) => {
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE theirs (a); CREATE TABLE more (b);');
    other.close();
    assert.throws(() => openDatabase(path), {
      code: 'storeDamaged',
      message: /not a database of this program/,
    });
  });
});
