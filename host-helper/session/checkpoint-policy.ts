/**
 * What a checkpoint holds, by policy. Only `effects` is the product; the others are what simpler systems do, so that they can be
 * measured on the same tasks. Pure: knows plans, nothing of how one is carried out.
 */

import type { Plan } from '../inspector/classify.ts';
import { TurntableError } from '../protocol/errors.ts';

export const checkpointPolicies = ['effects', 'every-turn', 'files', 'conversation', 'off'] as const;
/**
 * `effects`: what the turn's effects ask for. `every-turn`: all files and all processes, whatever the turn did. `files`: never
 * processes. `conversation`: only the agent's home, where its transcript is. `off`: no checkpoint after the first.
 */
export type CheckpointPolicy = (typeof checkpointPolicies)[number];

/** The variable of the helper that chooses; for measurements only. */
export const checkpointVariable = 'TURNTABLE_CHECKPOINTS';

/** Throws `invalidParams` for a word that is none: a misspelt measurement must not measure something else. */
export function checkpointPolicyFrom(env: Readonly<Record<string, string | undefined>>): CheckpointPolicy {
  const word = env[checkpointVariable] ?? '';
  if (word === '') return 'effects';
  const policy = checkpointPolicies.find((each) => each === word);
  if (policy) return policy;
  throw new TurntableError(
    'invalidParams',
    `${checkpointVariable}=${word} is no policy: unset it, or use one of ${checkpointPolicies.join(', ')}.`,
  );
}

/** What a session under this policy goes without, in words; nothing under `effects`. */
export function degradedBy(policy: CheckpointPolicy): string[] {
  if (policy === 'effects') return [];
  const what = {
    'every-turn': 'every turn is checkpointed whole, which is slow',
    files: 'processes are not kept',
    conversation: 'only the conversation is kept',
    off: 'turns are not checkpointed and cannot be restored',
  }[policy];
  return [
    `${what}: the helper was started with ${checkpointVariable}=${policy}, which is for measurements only.`,
  ];
}

/** The plan that the effects ask for, as the policy has it. Throws `checkpointFailed` under `off`. */
export function planUnder(policy: CheckpointPolicy, plan: Plan, rootNames: readonly string[]): Plan {
  switch (policy) {
    case 'effects':
      return plan;
    case 'every-turn':
      return { ...plan, dirtyRoots: new Set(rootNames), processes: 'dump' };
    case 'files':
      return { ...plan, processes: 'none' };
    case 'conversation':
      return { ...plan, dirtyRoots: new Set(['home']), freeze: false, sync: false, processes: 'none' };
    case 'off':
      throw new TurntableError(
        'checkpointFailed',
        `checkpoints are switched off: start the helper without ${checkpointVariable}=off`,
      );
  }
}
