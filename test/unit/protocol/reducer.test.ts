import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionSchema, type Action } from '../../../host-helper/protocol/actions.ts';
import { emptyState, lineOf, reduce } from '../../../host-helper/protocol/reducer.ts';
import { limits, type RootState } from '../../../host-helper/protocol/state.ts';
import { anApproval, aSession, aTurn } from '../server/fake-helper.ts';

const empty = emptyState('1.0.0', 1);
const after = (...actions: Action[]): RootState => actions.reduce(reduce, empty);
const added: Action = { type: 'session/added', session: aSession() };

/** One of each type; the mapped type makes a forgotten one a compile error. */
const oneOfEach: { [Type in Action['type']]: Extract<Action, { type: Type }> } = {
  'helper/features': {
    type: 'helper/features',
    features: [{ name: 'criu', status: 'missing', detail: 'no criu', next: 'apt install criu' }],
  },
  'session/added': { type: 'session/added', session: aSession() },
  'session/changed': { type: 'session/changed', sessionId: 's-abcdefgh', patch: { status: 'stopped' } },
  'session/removed': { type: 'session/removed', sessionId: 's-abcdefgh' },
  'agent/changed': {
    type: 'agent/changed',
    sessionId: 's-abcdefgh',
    agent: { name: 'pi', status: 'finished', exitCode: 0 },
  },
  'head/moved': { type: 'head/moved', sessionId: 's-abcdefgh', head: 1 },
  'turn/set': { type: 'turn/set', sessionId: 's-abcdefgh', turn: aTurn() },
  'approval/set': { type: 'approval/set', approval: anApproval() },
  'progress/set': { type: 'progress/set', progress: { id: 'p', sessionId: 's-abcdefgh', label: 'dumping' } },
  'progress/done': { type: 'progress/done', id: 'p' },
};

describe('reducer', () => {
  test('every action survives its own schema and leaves the state before it untouched', () => {
    const before = after(added, oneOfEach['progress/set']);
    const frozen = structuredClone(before);
    for (const action of Object.values(oneOfEach)) {
      assert.deepEqual(actionSchema.parse(JSON.parse(JSON.stringify(action))), action);
      reduce(before, action);
      assert.deepEqual(before, frozen, action.type);
    }
  });

  test('applying an action twice changes nothing more', () => {
    for (const action of Object.values(oneOfEach)) {
      const once = after(added, oneOfEach['progress/set'], action);
      assert.deepEqual(reduce(once, action), once, action.type);
    }
  });

  test('features replace the ones before', () => {
    assert.deepEqual(
      after(oneOfEach['helper/features']).helper.features,
      oneOfEach['helper/features'].features,
    );
  });

  test('a patch changes only what it names', () => {
    const state = after(added, {
      type: 'session/changed',
      sessionId: 's-abcdefgh',
      patch: { status: 'failed', detail: undefined },
    });
    assert.deepEqual(state.sessions['s-abcdefgh'], aSession({ status: 'failed' }));
  });

  test('the agent, the head and the turns of a session change on their own', () => {
    const state = after(added, oneOfEach['agent/changed'], oneOfEach['turn/set'], oneOfEach['head/moved']);
    const session = state.sessions['s-abcdefgh'];
    assert.equal(session?.agent.status, 'finished');
    assert.equal(session?.head, 1);
    assert.deepEqual(
      session?.turns.map((turn) => turn.id),
      [0, 1],
    );
  });

  test('a turn with a known id is replaced in its place, a new one sorted in', () => {
    const set = (id: number, label: string): Action => ({
      type: 'turn/set',
      sessionId: 's-abcdefgh',
      turn: aTurn({ id, label }),
    });
    const turns = after(added, set(3, 'c'), set(1, 'a'), set(3, 'changed')).sessions['s-abcdefgh']?.turns;
    assert.deepEqual(
      turns?.map(({ id, label }) => [id, label]),
      [
        [0, 'start'],
        [1, 'a'],
        [3, 'changed'],
      ],
    );
  });

  test('an action that comes after its session is gone changes nothing', () => {
    const gone = after(added, oneOfEach['session/removed']);
    for (const type of [
      'session/changed',
      'agent/changed',
      'head/moved',
      'turn/set',
      'session/removed',
    ] as const) {
      assert.deepEqual(reduce(gone, oneOfEach[type]), gone, type);
    }
    assert.deepEqual(reduce(gone, { type: 'progress/done', id: 'never was' }), gone);
  });

  test('a removed session takes its approvals and progress along, and no others', () => {
    const state = after(
      added,
      { type: 'session/added', session: aSession({ id: 's-other' }) },
      oneOfEach['approval/set'],
      { type: 'approval/set', approval: anApproval({ id: 'a-other', sessionId: 's-other' }) },
      oneOfEach['progress/set'],
      { type: 'progress/set', progress: { id: 'q', label: 'global' } },
      oneOfEach['session/removed'],
    );
    assert.deepEqual(Object.keys(state.sessions), ['s-other']);
    assert.deepEqual(Object.keys(state.approvals), ['a-other']);
    assert.deepEqual(Object.keys(state.progress), ['q']);
  });

  test('settled approvals are bounded, the newest kept; pending ones are never dropped', () => {
    let state = after({ type: 'approval/set', approval: anApproval({ id: 'waiting', askedAt: 0 }) });
    for (let at = 1; at <= limits.settledApprovals + 5; at += 1) {
      state = reduce(state, {
        type: 'approval/set',
        approval: anApproval({ id: `a-${at}`, askedAt: at, state: 'denied' }),
      });
    }
    assert.equal(Object.keys(state.approvals).length, limits.settledApprovals + 1);
    assert.ok(state.approvals['waiting']);
    assert.equal(state.approvals['a-5'], undefined);
    assert.ok(state.approvals['a-6']);
  });

  test('progress comes and goes', () => {
    assert.deepEqual(after(oneOfEach['progress/set'], oneOfEach['progress/done']).progress, {});
  });

  test('the line leads from the start to the head and leaves out what was set aside', () => {
    const turns = [
      aTurn({ id: 0, parent: null }),
      aTurn({ id: 1, parent: 0 }),
      aTurn({ id: 2, parent: 1 }),
      aTurn({ id: 3, parent: 1 }),
    ];
    assert.deepEqual(
      lineOf({ turns }, 3).map((turn) => turn.id),
      [0, 1, 3],
    );
    assert.deepEqual(lineOf({ turns: [aTurn({ id: 1, parent: 1 })] }, 1).length <= 2, true, 'a loop ends');
  });
});
