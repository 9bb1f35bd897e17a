/**
 * The agent's process in its sandbox: started on a pty, resumed from its transcript, stopped, found again after a restore.
 * Knows profiles and the sandbox's children; nothing of turns.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { continuePrompt, formatFor, type AgentProfile, type AgentSurroundings } from '../agents/profile.ts';
import { TurntableError } from '../protocol/errors.ts';
import type { Sandbox, SandboxChild } from '../sandbox/sandbox.ts';
import type { Upstream } from '../turns/model-endpoint.ts';
import { providerVariables } from '../turns/upstreams.ts';
import { doorPorts, type SessionParts } from './parts.ts';
import { TerminalFeed } from './terminal.ts';

const terminalSize = { columns: 120, rows: 40 };
const stopGraceMs = 1_500;

export interface AgentRunnerOptions {
  readonly parts: Pick<SessionParts, 'agents'>;
  readonly profile: AgentProfile;
  readonly home: string;
  readonly workspace: string;
  /** Variables of this session only (never stored). */
  readonly env: Readonly<Record<string, string>>;
  /** Where its model requests go: decides the format it is told to speak. */
  readonly upstream: () => Promise<Upstream>;
  /** The agent ended by itself (not through `stop`). */
  readonly onExit: (exitCode: number) => void;
}

export class AgentRunner {
  readonly terminal = new TerminalFeed();
  readonly #options: AgentRunnerOptions;
  #child: SandboxChild | undefined;
  #stopping = false;

  constructor(options: AgentRunnerOptions) {
    this.#options = options;
  }

  get running(): SandboxChild | undefined {
    return this.#child;
  }

  /** Writes the agent's settings into the (mounted) home of a new sandbox. */
  async prepare(sandbox: Sandbox): Promise<void> {
    const { profile, home } = this.#options;
    const root = sandbox.roots.find((each) => each.path === home);
    if (!root)
      throw new TurntableError('sandboxFailed', `The sandbox has no home at ${home}: see the helper's log.`);
    for (const file of profile.prepareHome(await this.#surroundings())) {
      const path = join(root.merged, file.path);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, file.content);
    }
  }

  async start(sandbox: Sandbox, prompt: string | undefined): Promise<void> {
    const { profile } = this.#options;
    await this.#spawn(sandbox, profile.start({ ...this.#entry(), ...(await this.#surroundings()), prompt }));
  }

  async resume(sandbox: Sandbox, prompt: string | undefined): Promise<void> {
    const { profile } = this.#options;
    await this.#spawn(
      sandbox,
      profile.resume({ ...this.#entry(), ...(await this.#surroundings()), prompt: prompt ?? continuePrompt }),
    );
  }

  /** Finds the agent again among the children of a restored or adopted sandbox. */
  adopt(sandbox: Sandbox, tag: number | undefined): boolean {
    return this.#take(tag === undefined ? undefined : sandbox.children.find((each) => each.tag === tag));
  }

  /** After a restart of the helper: only agents are started on a terminal, so one whose tag could not be written down any more is found too. */
  adoptRunning(sandbox: Sandbox, tag: number | undefined): boolean {
    return this.adopt(sandbox, tag) || this.#take(sandbox.children.find((each) => each.terminal));
  }

  #take(child: SandboxChild | undefined): boolean {
    if (!child) return false;
    this.#watch(child);
    return true;
  }

  /** Ends the agent and waits for it: politely, then not. `hard` gives it no chance to write anything more. */
  async stop(hard = false): Promise<void> {
    const child = this.#child;
    if (!child) return;
    this.#stopping = true;
    child.kill(hard ? 'SIGKILL' : 'SIGTERM');
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve();
    }, stopGraceMs);
    await Promise.race([child.exited, promise.then(() => child.exited)]);
    clearTimeout(timer);
    this.#child = undefined;
  }

  /** The sandbox is gone (or about to be): nothing that happens to the old child matters any more. */
  letGo(): void {
    this.#stopping = true;
    this.#child = undefined;
  }

  async #surroundings(): Promise<AgentSurroundings> {
    const { profile, home, env, upstream } = this.#options;
    const model = env['TURNTABLE_MODEL'] ?? process.env['TURNTABLE_MODEL'];
    return {
      home,
      modelUrl: `http://127.0.0.1:${doorPorts.model}`,
      format: formatFor(profile, await upstream()),
      ...(model === undefined ? {} : { model }),
    };
  }

  #entry(): { nodePath: string; entryPath: string } {
    const { parts, profile } = this.#options;
    const entryPath = profile.locate(parts.agents.searchRoots);
    if (entryPath === undefined) {
      throw new TurntableError(
        'agentMissing',
        `${profile.displayName} is not installed: ${profile.installHint}`,
      );
    }
    return { nodePath: parts.agents.nodePath, entryPath };
  }

  async #spawn(sandbox: Sandbox, argv: readonly string[]): Promise<void> {
    const { profile, home, workspace, env } = this.#options;
    const child = await sandbox.spawn({
      argv,
      cwd: workspace,
      env: {
        ...sandboxEnvironment(home, this.#options.parts.agents.nodePath),
        TERM: 'xterm-256color',
        ...withoutProviders(env),
        ...profile.environment(await this.#surroundings()),
      },
      terminal: terminalSize,
      stdin: undefined,
    });
    this.#watch(child);
  }

  #watch(child: SandboxChild): void {
    this.#child = child;
    this.#stopping = false;
    child.onOutput((_stream, data) => this.terminal.push(data));
    void child.exited.then((exitCode) => {
      if (this.#child !== child || this.#stopping) return;
      this.#child = undefined;
      this.#options.onExit(exitCode);
    });
  }
}

/** Keys stay on the host. */
function withoutProviders(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !providerVariables.has(name)));
}

/** Variables of every program in a sandbox: its home, a plain path, and the only way out. */
export function sandboxEnvironment(home: string, nodePath: string): Record<string, string> {
  const proxy = `http://127.0.0.1:${doorPorts.egress}`;
  const local = '127.0.0.1,localhost,::1';
  return {
    HOME: home,
    USER: 'root',
    LANG: 'C.UTF-8',
    // Our own runtime last: a host without Node.js still runs JavaScript projects in its sandboxes.
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${dirname(nodePath)}`,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: local,
    no_proxy: local,
    // Without it Node's own fetch ignores the variables above.
    NODE_USE_ENV_PROXY: '1',
    TURNTABLE: '1',
  };
}
