/**
 * Starts VS Code in the browser (code-server) with the packaged extension, for tests and for a person. Knows no test
 * and no helper: the settings it is given say where that is.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { productRoot } from './helper-process.ts';

/** Its packages lie with the tests that drive it: one installation serves both. */
const here = join(productRoot, 'test', 'extension');
const entry = join(here, 'node_modules', 'code-server', 'out', 'node', 'entry.js');
const node = join(here, 'node_modules', '.bin', 'node');

export interface CodeServerOptions {
  /** The packaged extension. */
  vsix: string;
  /** The folder to open. */
  workspace: string;
  /** User settings, over quiet defaults. */
  settings?: Record<string, unknown>;
  /** Extra environment of the extension host. */
  env?: Record<string, string>;
  /** A free one when absent. */
  port?: number;
  /** Asked for in the browser. Without one anybody on this machine may come in: for tests only. */
  password?: string;
  /** Where user data and extensions live; a fresh directory, removed at the end, when absent. */
  home?: string;
  /** Lets a page run tests inside the extension host. */
  testDriver?: boolean;
}

export interface CodeServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Of the workbench with the workspace open. */
  readonly url: string;
  /** Changes user settings; a page sees them after a reload. */
  change(settings: Record<string, unknown>): Promise<void>;
}

/** Why code-server cannot run here, or undefined when it can. */
export function codeServerMissing(): string | undefined {
  return existsSync(join(here, 'node_modules', '.turntable-installed')) && existsSync(entry)
    ? undefined
    : 'VS Code in the browser is not installed: run sh test/extension/install.sh';
}

/** Starts it and resolves when it answers. Throws with the end of its log when it does not. */
export async function startCodeServer(options: CodeServerOptions): Promise<CodeServer> {
  // Short: sockets live below it.
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'ttcs-')));
  const dirs = ['--user-data-dir', join(home, 'data'), '--extensions-dir', join(home, 'extensions')];
  let settings: Record<string, unknown> = { ...quietSettings, ...options.settings };
  await writeSettings(home, settings);
  const env = {
    ...process.env,
    EXTENSIONS_GALLERY: '{}',
    ...(options.password === undefined ? {} : { PASSWORD: options.password }),
    ...options.env,
  };
  // The version of an extension in test does not change: forget what was installed before.
  await rm(join(home, 'extensions'), { recursive: true, force: true });
  const vsix = join(home, 'turntable.vsix');
  await cp(options.vsix, vsix);
  await finished(
    spawn(node, [entry, ...dirs, '--install-extension', vsix], { env, stdio: ['ignore', 'pipe', 'pipe'] }),
  );

  const port = await freePort(options.port);
  const server = spawn(
    node,
    [
      entry,
      ...[
        '--auth',
        options.password === undefined ? 'none' : 'password',
        '--app-name',
        'VS Code with Turntable',
        '--bind-addr',
        `127.0.0.1:${port}`,
        '--disable-workspace-trust',
        '--disable-telemetry',
        '--disable-update-check',
      ],
      ...dirs,
      ...(options.testDriver ? ['--vscode-option', 'enable-smoke-test-driver'] : []),
    ],
    { env, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const log = collect(server);
  await answering(port, server, log);
  const address = `http://127.0.0.1:${port}`;
  return {
    address,
    port,
    url: `${address}/?folder=${encodeURIComponent(options.workspace)}`,
    async change(changed) {
      settings = { ...settings, ...changed };
      await writeSettings(home, settings);
    },
    async [Symbol.asyncDispose]() {
      await stop(server);
      if (options.home === undefined)
        await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

const quietSettings = {
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.quickOpen.closeOnFocusLost': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'git.enabled': false,
  'security.workspace.trust.enabled': false,
} as const;

/** Settings of the machine (where the helper is) are not read from the user's: writes both. */
async function writeSettings(home: string, settings: Record<string, unknown>): Promise<void> {
  for (const kind of ['User', 'Machine']) {
    await mkdir(join(home, 'data', kind), { recursive: true });
    await writeFile(join(home, 'data', kind, 'settings.json'), JSON.stringify(settings, null, 2));
  }
}

/** The wanted port, or any. Throws when somebody else has it: their answers would be taken for ours. */
async function freePort(wanted = 0): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) =>
    probe
      .once('error', (cause) =>
        reject(new Error(`Port ${wanted} cannot be used (${cause.message}): choose another.`, { cause })),
      )
      .listen(wanted, '127.0.0.1', resolve),
  );
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port to be had');
  return address.port;
}

function collect(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-8000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => text;
}

async function finished(child: ChildProcess): Promise<void> {
  const log = collect(child);
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('exit', resolve),
  );
  if (code !== 0) throw new Error(`installing the extension failed (exit code ${String(code)}):\n${log()}`);
}

async function answering(port: number, server: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (server.exitCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  server.kill('SIGKILL');
  throw new Error(`code-server did not come up:\n${log()}`);
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const late = setTimeout(() => server.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(late);
}

/** The version of VS Code that code-server carries. */
export async function codeVersion(): Promise<string> {
  const text = await readFile(
    join(here, 'node_modules', 'code-server', 'lib', 'vscode', 'package.json'),
    'utf8',
  );
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}
