/**
 * `npm start` for a person: a helper, a sample session, and VS Code with the packaged extension: the desktop's where there is
 * one, otherwise in the browser. Stays until it is told to stop, and then takes everything down that it started.
 */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { exitCodeOf } from './exit-code.ts';
import { codeServerMissing, startCodeServer } from './code-server.ts';
import { writeCliLauncher } from './cli-launcher.ts';
import { HelperProcess, productRoot } from './helper-process.ts';
import { createSampleRepository } from './sample-repository.ts';
import { onlyRun } from './only-run.ts';
import { samplePrompt, sampleTitle } from './sample-script.ts';
import { watchState } from './sample-session.ts';

export interface EditorOptions {
  /** Holds the sample repository, the helper's state and the editor's data; kept between runs. */
  readonly directory: string;
  readonly agent: string;
  readonly upstream: string | undefined;
  readonly port: number | undefined;
}

/** Returns the exit code, once a signal ended it. */
export async function runInEditor(options: EditorOptions): Promise<number> {
  const { directory } = options;
  const workspace = join(directory, 'shop');
  const state = join(directory, 'state');
  await mkdir(directory, { recursive: true });
  await using _only = await onlyRun(directory);
  if (!existsSync(join(workspace, '.git'))) {
    await mkdir(workspace, { recursive: true });
    await createSampleRepository(workspace);
  }

  await using helper = await HelperProcess.up(state);
  const cli = await writeCliLauncher(join(directory, 'bin'));
  const settings = {
    'turntable.stateDirectory': state,
    'turntable.socketPath': join(state, 'helper.sock'),
    'turntable.cliPath': cli,
    'turntable.revealTimeline': true,
  };
  const stop = Promise.withResolvers<undefined>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.resolve(undefined));
  await using editor = await openEditor(options, workspace, settings);
  const sessionId = await sampleSession(helper, options, workspace);
  say(`
  VS Code        ${editor.where}
  what to try    in the Turntable view ${options.agent} works on the sample (session ${sessionId});
                 it asks before it pushes; scrub, rewind and branch any turn
  in a terminal  ${cli} --state-dir ${state} watch
  stop           Ctrl-C (stops the helper and its sessions; the sample stays in ${directory})
`);
  await stop.promise;
  say('stopping …');
  return 0;
}

interface Editor extends AsyncDisposable {
  readonly where: string;
}

async function openEditor(
  options: EditorOptions,
  workspace: string,
  settings: Record<string, unknown>,
): Promise<Editor> {
  const vsix = join(productRoot, 'dist', 'turntable.vsix');
  const desktop = desktopCode();
  if (desktop !== undefined) return openDesktop(desktop, vsix, workspace, options.directory, settings);
  const missing = codeServerMissing();
  if (missing !== undefined) throw new Error(missing);
  const home = join(options.directory, 'editor');
  await mkdir(home, { recursive: true });
  // Whoever reaches this port has a shell: other users of the machine are kept out.
  const password = randomBytes(9).toString('base64url');
  const server = await startCodeServer({
    vsix,
    workspace,
    settings,
    home,
    password,
    ...(options.port === undefined ? {} : { port: options.port }),
  });
  return {
    where: `${server.url}\n  password       ${password}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A VS Code window of its own: the person's settings and extensions are not touched. */
async function openDesktop(
  code: string,
  vsix: string,
  workspace: string,
  directory: string,
  settings: Record<string, unknown>,
): Promise<Editor> {
  const data = join(directory, 'desktop');
  const own = ['--user-data-dir', join(data, 'data'), '--extensions-dir', join(data, 'extensions')];
  await mkdir(join(data, 'data', 'User'), { recursive: true });
  await writeFile(join(data, 'data', 'User', 'settings.json'), JSON.stringify(settings, undefined, 2));
  const installed = await exitCodeOf(
    spawn(code, [...own, '--install-extension', vsix, '--force'], { stdio: 'inherit' }),
  );
  if (installed !== 0) throw new Error(`${code} could not install ${vsix}`);
  const opened = await exitCodeOf(spawn(code, [...own, '--new-window', workspace], { stdio: 'inherit' }));
  if (opened !== 0) throw new Error(`${code} could not open ${workspace}`);
  // The window belongs to the person from here on.
  return { where: `a desktop window on ${workspace}`, [Symbol.asyncDispose]: () => Promise.resolve() };
}

function desktopCode(): string | undefined {
  const { DISPLAY, WAYLAND_DISPLAY, PATH } = process.env;
  if ((DISPLAY ?? '') === '' && (WAYLAND_DISPLAY ?? '') === '') return undefined;
  return (PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'code'))
    .find((path) => existsSync(path));
}

/** The session of an earlier run goes on; otherwise a new one starts. */
async function sampleSession(
  helper: HelperProcess,
  options: EditorOptions,
  workspace: string,
): Promise<string> {
  const watched = await watchState(helper.client);
  const earlier = Object.values(watched.subscription.state.sessions).find(
    (session) => session.workspace === workspace && !session.origin,
  );
  if (earlier) {
    if (earlier.status === 'stopped')
      await helper.client.request('session/resume', { sessionId: earlier.id });
    return earlier.id;
  }
  const { sessionId } = await helper.client.request('session/start', {
    workspace,
    agent: options.agent,
    title: sampleTitle,
    prompt: samplePrompt,
    ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
  });
  return sessionId;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
