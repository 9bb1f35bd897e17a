/**
 * Keeps the store within its bounds: expires checkpoints as retention says, has collected what nothing needs, makes room when
 * a checkpoint would not fit, and shows what is damaged. Decides when; what may go is decided by retention.ts, what is needed by
 * the store.
 *
 * Expiring takes no session's lock, for a checkpoint under way may be waiting for the room: it is one synchronous step and
 * leaves alone what any work under way could need.
 */

import type { Engine } from '../engine/engine.ts';
import { MergeKey } from '../engine/queued-job.ts';
import type { Logger } from '../log.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { ResultOf } from '../protocol/methods.ts';
import { isDiskTheLimit } from '../store/quota.ts';
import type { Store } from '../store/store.ts';
import {
  dueExpiries,
  spareExpiries,
  type Expiry,
  type RetainedSession,
  type Retention,
} from './retention.ts';
import type { Session } from './session.ts';

const tidyIntervalMs = 10 * 60_000;
/** Of what could go when room is short, so much goes at a time. */
const roomShare = 0.25;

/** Whose work it is in the engine's eyes. */
const wholeHost = 'housekeeping';

export interface HousekeepingOptions {
  readonly store: Store;
  readonly engine: Engine;
  readonly retention: Retention;
  readonly sessions: () => readonly Session[];
  readonly logger: Logger;
}

export class Housekeeping implements Disposable {
  readonly #options: HousekeepingOptions;
  #timer: NodeJS.Timeout | undefined;
  readonly #collecting = new MergeKey<number>();
  #makingRoom: Promise<boolean> | undefined;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  /** Tidies now and from time to time. */
  start(): void {
    const tidy = (): void => {
      void this.tidy().catch((error: unknown) =>
        this.#options.logger.warn('the store could not be tidied', { error }),
      );
    };
    this.#timer = setInterval(tidy, tidyIntervalMs);
    this.#timer.unref();
    tidy();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async tidy(): Promise<number> {
    this.#expire(this.#due());
    return this.collect();
  }

  /** Bytes freed. After the checkpoints that wait; one collection for all who ask before it begins. */
  collect(): Promise<number> {
    const { engine, store } = this.#options;
    return engine.submit({
      sandboxId: wholeHost,
      kind: 'background',
      urgent: false,
      merge: this.#collecting,
      run: () => store.collect(),
    }).done;
  }

  /** For a checkpoint that did not fit. True when there is more room than before; who still does not fit may ask again. */
  makeRoom(): Promise<boolean> {
    return (this.#makingRoom ??= this.#makeRoom().finally(() => (this.#makingRoom = undefined)));
  }

  async gc(dryRun: boolean, onProgress: (fraction: number) => void): Promise<ResultOf<'store/gc'>> {
    const { store } = this.#options;
    let due = this.#due();
    const without = new Set(
      due.flatMap(({ sessionId, turn }) => store.metadata.checkpointOf(sessionId, turn)?.id ?? []),
    );
    const survey = await store.survey(without, dryRun ? { onProgress } : {});
    let freedBytes = survey.bytes;
    if (!dryRun) {
      // The survey may take minutes: a rewind may have moved the head to what was due then.
      due = this.#due();
      this.#expire(due);
      freedBytes = await store.collect({ onProgress });
    }
    return {
      dryRun,
      expired: due.map(({ sessionId, turn, why }) => ({ sessionId, turn, reason: `expired ${why}` })),
      images: survey.images,
      versions: survey.versions,
      freedBytes,
      usage: this.usage(),
    };
  }

  async fsck(repair: boolean, onProgress: (fraction: number) => void): Promise<ResultOf<'store/fsck'>> {
    const { store } = this.#options;
    const found = await store.verify(onProgress);
    if (repair) {
      store.forgetContents(found.badContents);
      this.showDamage();
    }
    const { badContents: _hashes, problems, damagedCheckpoints, ...totals } = found;
    return {
      ...totals,
      problems: [...problems],
      damagedCheckpoints: [...damagedCheckpoints],
      repaired: repair,
    };
  }

  usage(): ResultOf<'store/gc'>['usage'] {
    const { maxStoreBytes, ...usage } = this.#options.store.usage();
    return { ...usage, ...(maxStoreBytes === undefined ? {} : { maxStoreBytes }) };
  }

  /** Turns whose checkpoint has lost something say so; ones that were found whole again may be restored again. */
  showDamage(): void {
    const damage = new Map(this.#options.store.damagedCheckpoints.map((each) => [each.id, each]));
    for (const session of this.#options.sessions()) session.showDamage(damage);
  }

  async #makeRoom(): Promise<boolean> {
    const { store, retention, logger } = this.#options;
    const before = this.usage();
    logger.warn('there is no room for a checkpoint; making some', before);
    try {
      await store.dropCaches();
      this.#expire(this.#due());
      if ((await store.collect()) > 0) return true;
      // A disk that something else has filled is no reason to give up anything; the store's own quota is.
      if (isDiskTheLimit(before)) return before.cacheBytes > 0;
      const spare = spareExpiries(this.#retained(), retention, 'to keep within the quota of the store');
      this.#expire(spare.slice(0, Math.ceil(spare.length * roomShare)));
      await store.collect();
      return spare.length > 0;
    } catch (error) {
      if (!(error instanceof TurntableError)) throw error;
      logger.warn('no room could be made', { reason: error.message });
      return false;
    }
  }

  #due(): Expiry[] {
    const now = Date.now();
    return this.#retained().flatMap((session) => dueExpiries(session, this.#options.retention, now));
  }

  #retained(): RetainedSession[] {
    const { metadata } = this.#options.store;
    const intents = metadata.intents();
    return this.#options
      .sessions()
      .filter((session) => session.status !== 'rewinding' && session.status !== 'branching')
      .map((session) => ({
        id: session.id,
        head: session.record.head,
        turns: session.turns.all,
        kept: new Set(metadata.turnsWithCheckpoint(session.id)),
        // Documents of unfinished work are opaque here: every number in one of this session may be a turn.
        needed: new Set(
          intents
            .filter(({ sessionId, document }) => sessionId === session.id || document.includes(session.id))
            .flatMap(({ document }) => [...document.matchAll(/\d+/g)].map(([number]) => Number(number))),
        ),
      }));
  }

  #expire(expiries: readonly Expiry[]): void {
    const sessions = new Map(this.#options.sessions().map((session) => [session.id, session]));
    for (const [id, own] of Map.groupBy(expiries, (each) => each.sessionId)) {
      sessions.get(id)?.expire(own);
      this.#options.logger.info('checkpoints expired', { session: id, turns: own.map(({ turn }) => turn) });
    }
  }
}
