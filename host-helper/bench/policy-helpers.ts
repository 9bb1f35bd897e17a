/** Helpers of one measurement, one for each checkpoint policy, started when first asked for and ended together. */

import { join } from 'node:path';
import { HelperProcess } from '../demo/helper-process.ts';
import { answerApprovals, watchState, type WatchedState } from '../demo/sample-session.ts';
import { checkpointVariable, type CheckpointPolicy } from '../session/checkpoint-policy.ts';

export interface WatchedHelper {
  readonly helper: HelperProcess;
  readonly watched: WatchedState;
}

/** Starts a helper under a policy; whatever is asked in its sessions is allowed. */
export async function startUnder(policy: CheckpointPolicy, stateDirectory: string): Promise<WatchedHelper> {
  const helper = await HelperProcess.up(stateDirectory, { [checkpointVariable]: policy });
  const watched = await watchState(helper.client);
  await answerApprovals(helper.client, () => 'allow');
  return { helper, watched };
}

export class PolicyHelpers implements AsyncDisposable {
  readonly #directory: string;
  readonly #started = new Map<CheckpointPolicy, Promise<WatchedHelper>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  under(policy: CheckpointPolicy): Promise<WatchedHelper> {
    let started = this.#started.get(policy);
    if (!started) {
      started = startUnder(policy, join(this.#directory, `state-${policy}`));
      this.#started.set(policy, started);
    }
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#started.values()].map(async (each) => (await each).helper.down()));
    this.#started.clear();
  }
}
