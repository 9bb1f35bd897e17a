import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyState } from '../../../host-helper/protocol/reducer.ts';
import { applyMessage, initialState, select, step, type AppState } from '../../../webview/app-state.ts';
import type { HostMessage } from '../../../webview/messages.ts';
import { forecastLines } from '../../../webview/view-model/forecast.ts';
import { ask, session, turn } from './fixtures.ts';

const connection = { status: 'connected', title: '', message: '' } as const;
const shop = session([turn(0, 'none'), turn(1, 'files'), turn(2, 'files')]);
const preview = {
  restorable: true,
  reason: '',
  changes: [],
  truncated: false,
  processesBack: [],
  processesLost: [],
  outsideChanges: [],
  leftTheMachine: [],
  turnsSetAside: [],
};

function started(): AppState {
  const state = { ...emptyState('1', 0), sessions: { s: shop }, approvals: { 'ask-2': ask(2) } };
  return applyMessage(initialState(undefined), {
    type: 'snapshot',
    connection,
    state,
    strings: {},
    canStart: true,
  });
}

test('the first snapshot shows a session, at now', () => {
  assert.equal(started().sessionId, 's');
  assert.equal(started().turn, null);
});

test('stepping back from now previews the newest turn first, and stepping past it is now again', () => {
  let state = started();
  state = select(state, step(state, -1));
  assert.equal(state.turn, 2);
  state = select(state, step(state, 1));
  assert.equal(state.turn, null);
  state = select(state, step(state, -10));
  assert.equal(state.turn, 0);
});

test('a forecast for another turn than the previewed one is dropped', () => {
  const state = select(started(), 1);
  const forecast = (turnId: number): HostMessage => ({
    type: 'forecast',
    sessionId: 's',
    turn: turnId,
    preview,
  });
  assert.equal(applyMessage(state, forecast(2)).forecast, undefined);
  assert.equal(applyMessage(state, forecast(1)).forecast?.turn, 1);
});

test('a session that goes takes its preview with it', () => {
  const state = applyMessage(select(started(), 1), {
    type: 'action',
    action: { type: 'session/removed', sessionId: 's' },
  });
  assert.equal(state.sessionId, null);
  assert.equal(state.turn, null);
});

test('a place saved before a reload is kept when it still exists', () => {
  const saved = initialState({ sessionId: 's', turn: 1 });
  const state = applyMessage(saved, {
    type: 'snapshot',
    connection,
    state: { ...emptyState('1', 0), sessions: { s: shop } },
    strings: {},
    canStart: true,
  });
  assert.equal(state.turn, 1);
});

test('showing a request goes to its session, at now, with the focus on it', () => {
  const state = applyMessage(select(started(), 1), { type: 'show-approval', approvalId: 'ask-2' });
  assert.equal(state.turn, null);
  assert.equal(state.focusApproval, 'ask-2');
});

test('the forecast names what goes back, what disappears, and what stays done', () => {
  const lines = forecastLines(
    {
      ...preview,
      changes: [
        { path: '/home/me/shop/a.ts', change: 'changed', kind: 'file', sizeBytes: 1 },
        { path: '/home/me/shop/b.ts', change: 'removed', kind: 'file', sizeBytes: 1 },
        { path: '/root/.pi/log', change: 'changed', kind: 'file', sizeBytes: 1, agentState: true },
      ],
      outsideChanges: ['/home/me/shop/README.md'],
      leftTheMachine: [
        { host: 'a.example', port: 443, method: 'POST', count: 1, allowed: true },
        { host: 'a.example', port: 443, method: 'POST', count: 1, allowed: true },
        { host: 'b.example', port: 443, count: 1, allowed: false },
      ],
    },
    '/home/me/shop',
  );
  assert.deepEqual(
    lines.map((line) => line.what),
    [
      '1 file goes back, 1 file disappears',
      'You changed README.md yourself since',
      '1 thing left the machine and stays done',
    ],
  );
  assert.equal(lines[0]?.detail, 'a.ts, b.ts');
  assert.equal(lines[2]?.detail, 'POST a.example (2×)');
});
