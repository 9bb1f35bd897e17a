/**
 * The tree of turns of one session: in memory for clients, in the store for the next helper. Turn ids rise; a turn's parent
 * tells the line it is on. Knows nothing of sandboxes.
 */

import type { Action } from '../protocol/actions.ts';
import { TurntableError } from '../protocol/errors.ts';
import { turnSchema, type Turn } from '../protocol/state.ts';
import type { CheckpointRecord, MetadataStore } from '../store/store.ts';

export interface InheritedTurn {
  readonly turn: Turn;
  readonly checkpoint?: CheckpointRecord;
}

export class TurnLog {
  readonly #sessionId: string;
  readonly #metadata: MetadataStore;
  readonly #dispatch: (action: Action) => void;
  readonly #turns = new Map<number, Turn>();
  /** Shown, but not yet written: the disk was full. */
  readonly #unsaved = new Set<number>();
  #openId: number | undefined;
  #nextId = 0;

  constructor(sessionId: string, metadata: MetadataStore, dispatch: (action: Action) => void) {
    this.#sessionId = sessionId;
    this.#metadata = metadata;
    this.#dispatch = dispatch;
    for (const row of metadata.turns(sessionId)) {
      const turn = turnSchema.parse(JSON.parse(row.document));
      this.#turns.set(turn.id, turn);
      this.#nextId = Math.max(this.#nextId, turn.id + 1);
      if (turn.state !== 'closed') this.#openId = turn.id;
    }
  }

  get all(): Turn[] {
    return [...this.#turns.values()].sort((a, b) => a.id - b.id);
  }

  /** The turn that goes on now, if any. */
  get open(): Turn | undefined {
    return this.#openId === undefined ? undefined : this.#turns.get(this.#openId);
  }

  /** Throws `turnNotFound`. */
  get(id: number): Turn {
    const turn = this.#turns.get(id);
    if (!turn) {
      throw new TurntableError(
        'turnNotFound',
        `There is no turn ${id} in this session: list them with \`turntable turns\`.`,
      );
    }
    return turn;
  }

  /** Undefined when there is no such turn. */
  find(id: number): Turn | undefined {
    return this.#turns.get(id);
  }

  /** A turn with the next id that nobody sees yet; `publish` makes it real, forgetting it costs nothing. */
  draft(turn: { kind: Turn['kind']; label: string; parent: number | null }): Turn {
    return { ...turn, id: this.#nextId, state: 'closing', startedAt: Date.now() };
  }

  begin(turn: { kind: Turn['kind']; label: string; parent: number | null }): Turn {
    const begun: Turn = { ...turn, id: this.#nextId++, state: 'open', startedAt: Date.now() };
    this.#openId = begun.id;
    this.#set(begun);
    return begun;
  }

  update(id: number, patch: Partial<Omit<Turn, 'id'>>): Turn {
    const turn = { ...this.get(id), ...patch };
    this.#set(turn);
    return turn;
  }

  /** Closes the turn together with its checkpoint, and with the session's document whose head it becomes: all are durable or none. */
  publish(turn: Turn, checkpoint: CheckpointRecord, sessionDocument?: string): void {
    this.#metadata.publish(checkpoint, JSON.stringify(turn), sessionDocument);
    this.#unsaved.delete(turn.id);
    this.#remember(turn);
  }

  /** Takes over the turns that a branch or an import begins with, each with its own checkpoint row, before anybody sees the session. */
  adoptLine(line: readonly InheritedTurn[]): void {
    this.#metadata.adopt(
      this.#sessionId,
      line.map(({ turn, checkpoint }) => ({ turn: turn.id, document: JSON.stringify(turn), checkpoint })),
    );
    for (const { turn } of line) {
      this.#nextId = Math.max(this.#nextId, turn.id + 1);
      this.#turns.set(turn.id, turn);
    }
  }

  /** Closes a turn that got no checkpoint (nothing could be captured). */
  closeWithout(turn: Turn): void {
    this.#set({ ...turn, state: 'closed', endedAt: turn.endedAt ?? Date.now() });
  }

  /** Removes the checkpoints of these turns, and says so in them, at once. */
  expire(turns: readonly Turn[]): void {
    const sessionId = this.#sessionId;
    this.#metadata.expire(
      turns.map((turn) => ({ sessionId, turn: turn.id, document: JSON.stringify(turn) })),
    );
    for (const turn of turns) {
      this.#unsaved.delete(turn.id);
      this.#remember(turn);
    }
  }

  #set(turn: Turn): void {
    this.#remember(turn);
    this.#unsaved.add(turn.id);
    try {
      for (const id of this.#unsaved) {
        this.#metadata.putTurn(this.#sessionId, id, JSON.stringify(this.get(id)));
        this.#unsaved.delete(id);
      }
    } catch (error) {
      // With a full disk the turn must still be seen to have ended; it is written with the next one that can be.
      if (!(error instanceof TurntableError) || error.code !== 'diskFull') throw error;
    }
  }

  #remember(turn: Turn): void {
    this.#nextId = Math.max(this.#nextId, turn.id + 1);
    this.#turns.set(turn.id, turn);
    if (turn.state === 'closed' && this.#openId === turn.id) this.#openId = undefined;
    this.#dispatch({ type: 'turn/set', sessionId: this.#sessionId, turn });
  }
}
