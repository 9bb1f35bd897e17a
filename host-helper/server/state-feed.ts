/**
 * The state that all clients see and its numbered stream of actions. Exists before anybody listens, so that the
 * parts can report while the helper starts. Must not know sockets or frames.
 */

import { z } from 'zod';
import type { Logger } from '../log.ts';
import { actionSchema, type Action } from '../protocol/actions.ts';
import { reduce } from '../protocol/reducer.ts';
import type { RootState } from '../protocol/state.ts';

export interface NumberedAction {
  readonly sequence: number;
  readonly action: Action;
}

export interface StateFeed {
  readonly state: RootState;
  /** The number of the last action; 0 before the first. */
  readonly sequence: number;
  /**
   * Applies the action and hands it, numbered, to every listener. An action that breaks the schema is dropped and
   * logged: one bad number must not make every client unable to read the state. Never throws.
   */
  dispatch(action: Action): void;
  /** Listeners run synchronously, in order. Returns a function that stops the calls. */
  listen(listener: (numbered: NumberedAction) => void): () => void;
}

/** A feed that starts from `initialState`. */
export function createStateFeed(initialState: RootState, logger: Logger): StateFeed {
  let state = initialState;
  let sequence = 0;
  const listeners = new Set<(numbered: NumberedAction) => void>();
  return {
    get state() {
      return state;
    },
    get sequence() {
      return sequence;
    },
    dispatch(action) {
      const parsed = actionSchema.safeParse(action);
      if (!parsed.success) {
        logger.error('dropped an action that breaks the protocol', {
          type: action.type,
          problem: z.prettifyError(parsed.error),
        });
        return;
      }
      state = reduce(state, parsed.data);
      sequence += 1;
      for (const listener of [...listeners]) listener({ sequence, action: parsed.data });
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
