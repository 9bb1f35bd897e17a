/** Small sessions and turns for the tests of the view model. */

import type { Approval, EffectClass, SessionState, Turn } from '../../../host-helper/protocol/state.ts';

/** A closed turn that follows `parent` (the id before it when absent). */
export function turn(id: number, effectClass: EffectClass, change: Partial<Turn> = {}): Turn {
  return {
    id,
    parent: id === 0 ? null : id - 1,
    kind: id === 0 ? 'start' : 'agent',
    state: 'closed',
    label: `turn ${id}`,
    startedAt: id * 1000,
    endedAt: id * 1000 + 500,
    effectClass,
    checkpoint: {
      id: `c${id}`,
      restorable: true,
      reason: '',
      reused: effectClass === 'none',
      hasProcesses: false,
      bytesStored: effectClass === 'none' ? 0 : 3000,
      inspectMs: 1,
      filesMs: 5,
      processesMs: 0,
      heldMs: 0,
    },
    ...change,
  };
}

/** A session at the newest of its turns. */
export function session(turns: Turn[], change: Partial<SessionState> = {}): SessionState {
  return {
    id: 's',
    title: 'A session',
    workspace: '/home/me/shop',
    mount: '/mnt/shop',
    status: 'running',
    agent: { name: 'pi', status: 'running' },
    createdAt: 0,
    head: turns.at(-1)?.id ?? 0,
    turns,
    degraded: [],
    bytesStored: 0,
    ...change,
  };
}

/** A pending request in a turn. */
export function ask(turnId: number): Approval {
  return {
    id: `ask-${turnId}`,
    sessionId: 's',
    turn: turnId,
    askedAt: 0,
    expiresAt: 60_000,
    rule: 'ask before a push',
    state: 'pending',
    subject: { kind: 'exec', program: '/usr/bin/git', argv: ['git', 'push'], cwd: '/', pid: 7 },
  };
}
