/**
 * Many branches from one turn: a few at a time, from one opened process image. What was made stays and is told unless all or
 * nothing was asked for. How one branch is made stands in branch.ts.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { ParamsOf, ResultOf } from '../protocol/methods.ts';
import type { ProcessImageStore } from '../store/store.ts';
import { newId } from './ids.ts';
import type { OpenImages } from './restore-session.ts';
import { checkpointOf } from './rewind.ts';
import type { Session } from './session.ts';

/** Restores are work of the kernel and of CRIU; more at once would only wait for each other, and for turns of other sessions. */
const atOnce = 4;

export interface BranchMaker {
  make(request: ParamsOf<'branch'>, images: OpenImages): Promise<ResultOf<'branch'>>;
  remove(sessionId: string): Promise<void>;
}

/** Aborting makes no further ones. Throws only when none could be made, or with `allOrNothing` when one could not. */
export async function branchMany(
  origin: Session,
  request: ParamsOf<'branch/many'>,
  signal: AbortSignal,
  maker: BranchMaker,
): Promise<ResultOf<'branch/many'>> {
  const startedMs = performance.now();
  const { count, allOrNothing, title, ...each } = request;
  // Refuses early, before anything is made.
  checkpointOf(origin, request.turn);
  const { parts } = origin;
  const name = title ?? `${origin.record.title} (branch)`;
  const branches: ResultOf<'branch'>[] = [];
  const failures: { readonly number: number; readonly error: unknown }[] = [];
  const progressId = newId('p');
  const show = (): void =>
    parts.dispatch({
      type: 'progress/set',
      progress: {
        id: progressId,
        sessionId: origin.id,
        label: `Branching from turn ${request.turn}: ${branches.length} of ${count}`,
        fraction: branches.length / count,
      },
    });
  await using images = new SharedImages(parts.store.images);
  let next = 1;
  const worker = async (): Promise<void> => {
    while (next <= count && !signal.aborted && !(allOrNothing === true && failures.length > 0)) {
      const number = next++;
      try {
        // Checkpoints of sessions at work come first.
        await parts.engine.whenShort(signal);
        branches.push(await maker.make({ ...each, title: `${name.slice(0, 190)} ${number}` }, images));
        show();
      } catch (error) {
        failures.push({ number, error });
      }
    }
  };
  show();
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
  } finally {
    parts.dispatch({ type: 'progress/done', id: progressId });
  }
  const stopped = signal.aborted && branches.length + failures.length < count;
  if (allOrNothing === true && (failures.length > 0 || stopped)) {
    await Promise.all(branches.map((made) => maker.remove(made.sessionId)));
    signal.throwIfAborted();
    throw failures[0]?.error;
  }
  const [first] = failures;
  if (branches.length === 0 && first) throw first.error;
  return {
    branches,
    failed: [
      ...failures.map(
        ({ number, error }) =>
          `branch ${number}: ${error instanceof TurntableError ? error.message : 'the helper failed; its log says why'}`,
      ),
      ...(stopped ? [`${count - branches.length - failures.length} were not begun: it was cancelled`] : []),
    ],
    tookMs: performance.now() - startedMs,
  };
}

/** Opens an image once for all that restore it at the same time. Dispose closes it. */
class SharedImages implements OpenImages, AsyncDisposable {
  readonly #images: OpenImages;
  readonly #opened = new Map<string, ReturnType<ProcessImageStore['open']>>();

  constructor(images: OpenImages) {
    this.#images = images;
  }

  async open(image: string): ReturnType<ProcessImageStore['open']> {
    let opened = this.#opened.get(image);
    if (!opened) this.#opened.set(image, (opened = this.#images.open(image)));
    const { directory } = await opened;
    return { directory, release: () => Promise.resolve() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.values()) await (await opened.catch(() => undefined))?.release();
  }
}
