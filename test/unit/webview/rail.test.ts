import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildRail,
  currentLine,
  stripTurns,
  type RailInput,
  type RailRow,
} from '../../../webview/view-model/rail.ts';
import { ask, session, turn } from './fixtures.ts';

function rail(input: Partial<RailInput> & Pick<RailInput, 'session'>): string[] {
  return buildRail({ sessions: [input.session], asks: [], toggled: new Set(), selected: null, ...input }).map(
    words,
  );
}

function words(row: RailRow): string {
  switch (row.kind) {
    case 'turn':
      return `${row.aside ? 'aside ' : ''}${row.turn.id}${row.asks.length > 0 ? ' asks' : ''}`;
    case 'fold':
      return `${row.turns[0]?.id}-${row.turns.at(-1)?.id}${row.expanded ? ' open' : ''}`;
    case 'aside':
      return `set aside ${row.turns.map((each) => each.id).join(' ')}${row.expanded ? ' open' : ''}`;
    case 'branch':
      return `branch ${row.session.id} from ${row.from}`;
  }
}

test('the newest turn is on top', () => {
  assert.deepEqual(rail({ session: session([turn(0, 'none'), turn(1, 'files'), turn(2, 'full')]) }), [
    '2',
    '1',
    '0',
  ]);
});

test('neighbouring turns that changed nothing fold into one row, the start never', () => {
  const turns = [turn(0, 'none'), turn(1, 'none'), turn(2, 'none'), turn(3, 'files'), turn(4, 'none')];
  assert.deepEqual(rail({ session: session(turns) }), ['4', '3', '1-2', '0']);
});

test('a previewed turn is never hidden in a fold', () => {
  const turns = [turn(0, 'none'), turn(1, 'none'), turn(2, 'none')];
  assert.deepEqual(rail({ session: session(turns), selected: 1 }), ['1-2 open', '2', '1', '0']);
});

test('a turn in which something waits does not fold', () => {
  const turns = [turn(0, 'none'), turn(1, 'none'), turn(2, 'none'), turn(3, 'none')];
  assert.deepEqual(rail({ session: session(turns), asks: [ask(2)] }), ['3', '2 asks', '1', '0']);
});

test('an open turn stands on top of the head', () => {
  const shop = session([turn(0, 'none'), turn(1, 'files'), turn(2, 'none', { state: 'open' })], { head: 1 });
  assert.deepEqual(
    currentLine(shop).map((each) => each.id),
    [0, 1, 2],
  );
  assert.deepEqual(rail({ session: shop }), ['2', '1', '0']);
});

test('just after a rewind what was set aside is shown, to be redone', () => {
  const shop = session([turn(0, 'none'), turn(1, 'files'), turn(2, 'files'), turn(3, 'full')], { head: 1 });
  assert.deepEqual(rail({ session: shop }), ['set aside 2 3 open', 'aside 3', 'aside 2', '1', '0']);
  assert.deepEqual(
    stripTurns(shop).map(({ turn: each, aside }) => [each.id, aside]),
    [
      [0, false],
      [1, false],
      [2, true],
      [3, true],
    ],
  );
});

test('once the session has gone on, what was set aside is folded away above the turn it followed', () => {
  const shop = session([
    turn(0, 'none'),
    turn(1, 'files'),
    turn(2, 'files'),
    turn(3, 'files', { parent: 1 }),
  ]);
  assert.deepEqual(rail({ session: shop }), ['3', 'set aside 2', '1', '0']);
  assert.deepEqual(rail({ session: shop, toggled: new Set(['aside-2']) }), [
    '3',
    'set aside 2 open',
    'aside 2',
    '1',
    '0',
  ]);
  assert.deepEqual(
    stripTurns(shop).map(({ turn: each }) => each.id),
    [0, 1, 3],
  );
});

test('a branch is an offshoot above the turn it started from', () => {
  const shop = session([turn(0, 'none'), turn(1, 'files'), turn(2, 'files')]);
  const branch = session([turn(0, 'none')], { id: 'b', origin: { sessionId: 's', turn: 1 } });
  assert.deepEqual(rail({ session: shop, sessions: [shop, branch] }), ['2', 'branch b from 1', '1', '0']);
});
