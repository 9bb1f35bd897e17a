/** A real helper on a state directory of its own, for tests that drive the whole product through the protocol. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { HelperProcess } from '../../host-helper/demo/helper-process.ts';
import { watchState, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import type { Client } from '../../host-helper/protocol/client.ts';
import type { ResultOf } from '../../host-helper/protocol/methods.ts';

export class HelperFixture {
  readonly directory: string;
  readonly workspace: string;
  #helper: HelperProcess | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.workspace = join(directory, 'project');
  }

  /** A workspace of three small files and a running helper; all gone after the test. */
  static async create(context: TestContext): Promise<HelperFixture> {
    // Not the system's temporary directory: a tmpfs cannot hold what overlayfs writes into uppers on every kernel.
    const fixture = new HelperFixture(await mkdtemp('/var/tmp/turntable-test-'));
    context.after(() => fixture.close());
    await mkdir(join(fixture.workspace, 'src'), { recursive: true });
    await writeFile(join(fixture.workspace, 'README.md'), '# project\n');
    await writeFile(join(fixture.workspace, 'src/one.txt'), 'one\n');
    await writeFile(join(fixture.workspace, 'src/two.txt'), 'two\n');
    await fixture.up();
    return fixture;
  }

  get stateDirectory(): string {
    return join(this.directory, 'state');
  }

  get client(): Client {
    assert.ok(this.#helper);
    return this.#helper.client;
  }

  async up(): Promise<void> {
    this.#helper = await HelperProcess.up(this.stateDirectory);
  }

  watch(): Promise<WatchedState> {
    return watchState(this.client);
  }

  /** Ends the helper as a power cut would, and waits until it is gone. */
  async kill(): Promise<void> {
    const pid = this.client.hello.helperPid;
    const closed = Promise.withResolvers<undefined>();
    this.client.onClose(() => closed.resolve(undefined));
    process.kill(pid, 'SIGKILL');
    await closed.promise;
    this.#helper = undefined;
  }

  async start(workspace = this.workspace): Promise<string> {
    return (await this.client.request('session/start', { workspace, agent: 'none' })).sessionId;
  }

  async exec(sessionId: string, script: string): Promise<ResultOf<'session/exec'>> {
    return this.client.request('session/exec', { sessionId, argv: ['sh', '-c', script] });
  }

  /** What a command prints, which must succeed. */
  async output(sessionId: string, script: string): Promise<string> {
    const result = await this.exec(sessionId, script);
    assert.equal(result.exitCode, 0, Buffer.from(result.stderr, 'base64').toString());
    return Buffer.from(result.stdout, 'base64').toString();
  }

  async close(): Promise<void> {
    if (!this.#helper) await this.up();
    await this.#helper?.down();
    await rm(this.directory, { recursive: true, force: true });
  }
}
