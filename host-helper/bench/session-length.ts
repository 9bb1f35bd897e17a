/** What the checkpoint of a turn takes when its session is young and when it is old: the same small turn, hundreds of times. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Turn } from '../protocol/state.ts';
import type { PolicyHelpers } from './policy-helpers.ts';
import { median } from './statistics.ts';

/** Turns around the one that is told, so that a median is. */
const window = 9;

export interface SessionLength {
  readonly at: readonly {
    readonly turn: number;
    /** From the end of the turn until its checkpoint is published. */
    readonly checkpointMs: number;
    readonly bytesStored: number;
  }[];
  /** The last one's time and bytes over the first one's: 1 is no growth. */
  readonly msRatio: number;
  readonly bytesRatio: number;
}

export async function measureSessionLength(options: {
  readonly helpers: PolicyHelpers;
  readonly directory: string;
  readonly quick: boolean;
}): Promise<SessionLength> {
  const marks = options.quick ? [10, 40] : [10, 100, 400];
  const workspace = join(options.directory, 'long');
  await mkdir(workspace, { recursive: true });
  for (let name = 0; name < 200; name += 1) await writeFile(join(workspace, `file${name}.txt`), `${name}\n`);
  const { helper } = await options.helpers.under('effects');
  const { sessionId } = await helper.client.request('session/start', { workspace, agent: 'none' });
  try {
    const turns: Turn[] = [];
    const last = (marks.at(-1) ?? 0) + window;
    for (let number = 1; number <= last; number += 1) {
      const { turn } = await helper.client.request('session/exec', {
        sessionId,
        argv: ['sh', '-c', `echo turn ${String(number).padStart(6, '0')} > file${(number * 7) % 200}.txt`],
      });
      turns.push(turn);
    }
    const at = marks.map((mark) => {
      const near = turns.slice(mark - 5, mark - 5 + window);
      const of = (value: (turn: Turn) => number): number => median(near.map(value));
      return {
        turn: mark,
        checkpointMs: of(({ checkpoint }) => checkpoint?.closeMs ?? Number.NaN),
        bytesStored: of(({ checkpoint }) => checkpoint?.bytesStored ?? 0),
      };
    });
    const [young, old] = [at[0], at.at(-1)];
    return {
      at,
      msRatio: (old?.checkpointMs ?? Number.NaN) / (young?.checkpointMs ?? Number.NaN),
      bytesRatio: (old?.bytesStored ?? Number.NaN) / (young?.bytesStored ?? Number.NaN),
    };
  } finally {
    await helper.client.request('session/remove', { sessionId });
  }
}
