/** Helpers that are started with unusual flags, die at a chosen step, or find an unusual host: for tests of bad luck. */

import assert from 'node:assert/strict';
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { z } from 'zod';
import { connectHelper } from '../../host-helper/cli/connect.ts';
import { productRoot } from '../../host-helper/demo/helper-process.ts';
import { watchState, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import type { Client } from '../../host-helper/protocol/client.ts';
import type { ResultOf } from '../../host-helper/protocol/methods.ts';
import type { Approval, SessionState, Turn } from '../../host-helper/protocol/state.ts';

const readySchema = z.object({ ready: z.literal(true), pid: z.number(), recovered: z.array(z.string()) });

export interface HelperStart {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A helper on a state directory of its own, restarted and killed at will; everything of it is gone after the test. */
export class DoomedHelper {
  readonly directory: string;
  readonly workspace: string;
  stateDirectory: string;
  /** What the last start said it had recovered. */
  recovered: readonly string[] = [];
  /** It was killed with `strike`. */
  struck = false;
  #client: Client | undefined;
  #child: ChildProcess | undefined;
  #clients: Client[] = [];
  readonly #afterClose: (() => void)[] = [];

  private constructor(directory: string) {
    this.directory = directory;
    this.workspace = join(directory, 'project');
    this.stateDirectory = join(directory, 'state');
  }

  static async create(context: TestContext): Promise<DoomedHelper> {
    // Not the system's temporary directory: a tmpfs cannot hold what overlayfs writes into uppers on every kernel.
    const helper = new DoomedHelper(await mkdtemp('/var/tmp/turntable-test-'));
    context.after(() => helper.close());
    await makeProject(helper.workspace);
    return helper;
  }

  get client(): Client {
    assert.ok(this.#client, 'the helper runs');
    return this.#client;
  }

  async up(start: HelperStart = {}): Promise<this> {
    const child = this.#spawn(start);
    this.#child = child;
    this.struck = false;
    let words = '';
    child.stderr.on('data', (data: Buffer) => void (words += data.toString()));
    const lines = createInterface({ input: child.stdout });
    const line = await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      child.once('close', () => reject(new Error(`The helper did not start: ${words}`)));
    });
    this.recovered = readySchema.parse(JSON.parse(line)).recovered;
    this.#client = await this.connect();
    return this;
  }

  /** Starts a helper and kills it after a while, wherever it is then. */
  async upAndDie(start: HelperStart, afterMs: number): Promise<void> {
    const child = this.#spawn(start);
    child.stdout.resume();
    child.stderr.resume();
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    await once(child, 'exit');
    clearTimeout(timer);
  }

  #spawn(start: HelperStart): ChildProcessByStdio<null, Readable, Readable> {
    const main = join(productRoot, 'host-helper', 'main.ts');
    return spawn(process.execPath, [main, '--state-dir', this.stateDirectory, ...(start.args ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...start.env },
      detached: true,
    });
  }

  /** One more client. */
  async connect(): Promise<Client> {
    const client = await connectHelper(join(this.stateDirectory, 'helper.sock'));
    this.#clients.push(client);
    return client;
  }

  /** Ends the helper as a power cut would, and waits for nothing. */
  strike(): void {
    this.struck = true;
    this.#child?.kill('SIGKILL');
  }

  /** Ends the helper as a power cut would. */
  async kill(): Promise<void> {
    assert.ok(this.#child);
    this.#child.kill('SIGKILL');
    await this.died();
  }

  /** Resolves when the helper has ended of itself, with the signal that ended it. */
  async died(): Promise<NodeJS.Signals | null> {
    const child = this.#child;
    assert.ok(child);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#child = undefined;
    this.#client = undefined;
    for (const client of this.#clients.splice(0)) client.close();
    return child.signalCode;
  }

  watch(): Promise<WatchedState> {
    return watchState(this.client);
  }

  async session(id: string): Promise<SessionState> {
    const watched = await this.watch();
    const found = watched.subscription.state.sessions[id];
    watched.subscription.close();
    assert.ok(found, `session ${id} is there`);
    return found;
  }

  async start(workspace = this.workspace): Promise<string> {
    const { sessionId } = await this.client.request('session/start', { workspace, agent: 'none' });
    return sessionId;
  }

  exec(sessionId: string, script: string): Promise<ResultOf<'session/exec'>> {
    return exec(this.client, sessionId, script);
  }

  output(sessionId: string, script: string): Promise<string> {
    return output(this.client, sessionId, script);
  }

  /** Runs once the helper is down for good, before its directory is removed. */
  afterClose(work: () => void): void {
    this.#afterClose.push(work);
  }

  async close(): Promise<void> {
    if (!this.#child) await this.up();
    const child = this.#child;
    assert.ok(child);
    const exited = once(child, 'exit');
    await this.client.request('helper/stop', { sessions: true }).catch(() => child.kill('SIGTERM'));
    await exited;
    for (const client of this.#clients.splice(0)) client.close();
    for (const work of this.#afterClose) work();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export async function makeProject(workspace: string): Promise<void> {
  await mkdir(join(workspace, 'src'), { recursive: true });
  await writeFile(join(workspace, 'README.md'), '# project\n');
  await writeFile(join(workspace, 'src/one.txt'), 'one\n');
  await writeFile(join(workspace, 'src/two.txt'), 'two\n');
}

export function exec(client: Client, sessionId: string, script: string): Promise<ResultOf<'session/exec'>> {
  return client.request('session/exec', { sessionId, argv: ['sh', '-c', script] });
}

/** What a command prints, which must succeed. */
export async function output(client: Client, sessionId: string, script: string): Promise<string> {
  const result = await exec(client, sessionId, script);
  assert.equal(result.exitCode, 0, Buffer.from(result.stderr, 'base64').toString());
  return Buffer.from(result.stdout, 'base64').toString();
}

export function untilTurn(
  watched: WatchedState,
  sessionId: string,
  what: string,
  test: (turn: Turn) => boolean,
): Promise<Turn> {
  return watched.until(what, 30_000, (state) => state.sessions[sessionId]?.turns.find(test));
}

export function untilAsked(watched: WatchedState, sessionId: string): Promise<Approval> {
  return watched.until('an approval', 30_000, (state) =>
    Object.values(state.approvals).find((each) => each.sessionId === sessionId && each.state === 'pending'),
  );
}

/** Child processes of the helper, by what they run. */
export async function childrenOf(helperPid: number, name: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const match = /^\d+ \((.*)\) \S (\d+)/.exec(stat);
    if (match?.[1] === name && Number(match[2]) === helperPid) found.push(Number(entry));
  }
  return found;
}

/** A web server that counts its requests in memory: what only a process image can bring back. */
const counter =
  'let n = 0; require("node:http").createServer((q, r) => r.end(String(++n))).listen(5173, "127.0.0.1")';
export const askCounter = `${process.execPath} -e 'fetch("http://127.0.0.1:5173").then(async (r) => console.log(await r.text()), () => process.exit(1))'`;
export const startCounter = `setsid nohup ${process.execPath} -e '${counter}' >/dev/null 2>&1 & for i in $(seq 100); do ${askCounter} >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1`;
