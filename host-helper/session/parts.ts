/**
 * Everything a session needs from the rest of the helper, handed in once. The composition is made in main.ts; tests hand in
 * their own.
 */

import type { AgentProfile } from '../agents/profile.ts';
import type { Authority } from '../authority/authority.ts';
import type { Engine } from '../engine/engine.ts';
import type { Sentry } from '../inspector/sentry.ts';
import type { Logger } from '../log.ts';
import type { Action } from '../protocol/actions.ts';
import type { RootState } from '../protocol/state.ts';
import type { SandboxBackend } from '../sandbox/sandbox.ts';
import type { Store } from '../store/store.ts';
import type { Upstream } from '../turns/model-endpoint.ts';
import type { CheckpointPolicy } from './checkpoint-policy.ts';

export interface SessionParts {
  readonly stateDirectory: string;
  readonly backend: SandboxBackend;
  readonly store: Store;
  readonly engine: Engine;
  readonly authority: Authority;
  readonly sentry: () => Sentry | undefined;
  readonly noDump: () => string | undefined;
  /** `effects`, but for measurements. */
  readonly checkpoints: CheckpointPolicy;
  readonly profiles: ReadonlyMap<string, AgentProfile>;
  /** Where agents and their runtime lie on the host; mounted read-only into sandboxes at the same paths. */
  readonly agents: {
    readonly nodePath: string;
    readonly searchRoots: readonly string[];
    readonly mounts: readonly string[];
  };
  /** The upstream by its name: "scripted", "keys" or a URL; `env` may hold keys for this session only. */
  readonly upstream: (name: string, env: Readonly<Record<string, string>>) => Promise<Upstream>;
  /** For a checkpoint that did not fit into the store. True when there is more room than before. */
  readonly makeRoom: () => Promise<boolean>;
  /** Removes what nothing needs any more, when there is nothing more urgent to do. */
  readonly collect: () => Promise<number>;
  readonly dispatch: (action: Action) => void;
  readonly state: () => RootState;
  readonly logger: Logger;
}

/** Ports of the sandbox's doors, the same in every sandbox: each has its own network namespace. */
export const doorPorts = { model: 4141, egress: 4142 } as const;
