/** A real helper on a state directory of its own, for tests that drive the whole product through the protocol. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { HelperProcess } from '../../host-helper/demo/helper-process.ts';
import { watchState, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import type { Client } from '../../host-helper/protocol/client.ts';
import type { ResultOf } from '../../host-helper/protocol/methods.ts';

/** The helper that the tests of one file share: each has its own workspace and its own sessions in it. */
let sharedHelper: Promise<{ helper: HelperProcess; directory: string }> | undefined;

async function startShared(): Promise<{ helper: HelperProcess; directory: string }> {
  const directory = await temporaryDirectory();
  return { helper: await HelperProcess.up(join(directory, 'state')), directory };
}

/** To be called once in each file that uses `shared`, as its last hook. */
export async function closeShared(): Promise<void> {
  const shared = await sharedHelper;
  sharedHelper = undefined;
  await shared?.helper.down();
  if (shared) await rm(shared.directory, { recursive: true, force: true });
}

// Not the system's temporary directory: a tmpfs cannot hold what overlayfs writes into uppers on every kernel.
function temporaryDirectory(): Promise<string> {
  return mkdtemp('/var/tmp/turntable-test-');
}

export class HelperFixture {
  readonly directory: string;
  readonly workspace: string;
  readonly #own: boolean;
  #helper: HelperProcess | undefined;
  readonly #sessions: string[] = [];

  private constructor(directory: string, own: boolean) {
    this.directory = directory;
    this.workspace = join(directory, 'project');
    this.#own = own;
  }

  /** A workspace of three small files, and the file's shared helper. */
  static async shared(context: TestContext): Promise<HelperFixture> {
    const { helper } = await (sharedHelper ??= startShared());
    const fixture = await HelperFixture.#make(context, false);
    fixture.#helper = helper;
    return fixture;
  }

  /** The same with a helper of its own, for tests that end it. */
  static async own(context: TestContext): Promise<HelperFixture> {
    const fixture = await HelperFixture.#make(context, true);
    await fixture.up();
    return fixture;
  }

  static async #make(context: TestContext, own: boolean): Promise<HelperFixture> {
    const fixture = new HelperFixture(await temporaryDirectory(), own);
    context.after(() => fixture.close());
    await mkdir(join(fixture.workspace, 'src'), { recursive: true });
    await writeFile(join(fixture.workspace, 'README.md'), '# project\n');
    await writeFile(join(fixture.workspace, 'src/one.txt'), 'one\n');
    await writeFile(join(fixture.workspace, 'src/two.txt'), 'two\n');
    return fixture;
  }

  get stateDirectory(): string {
    return this.#own ? join(this.directory, 'state') : (this.#helper?.stateDirectory ?? '');
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
    const { sessionId } = await this.client.request('session/start', { workspace, agent: 'none' });
    this.#sessions.push(sessionId);
    return sessionId;
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
    if (this.#own) {
      if (!this.#helper) await this.up();
      await this.#helper?.down();
    } else {
      for (const sessionId of this.#sessions)
        await this.client.request('session/remove', { sessionId }).catch(() => {});
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
