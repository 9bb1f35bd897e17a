/** `turntable session …`: start, list, stop, resume, remove, and speak to the agent. */

import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { runCommand, type Cli } from '../cli.ts';
import { collect } from '../collect.ts';
import { environmentOf } from '../environment.ts';
import { formatSessions } from '../format/sessions.ts';
import { terminalWidth } from '../format/table.ts';
import { printable } from '../format/style.ts';
import { followProgress } from '../follow.ts';
import { sessionOf, snapshotOf } from '../snapshot.ts';

interface StartOptions {
  workspace: string;
  /** False for --no-agent. */
  agent: string | false;
  prompt?: string;
  title?: string;
  upstream?: string;
  env: string[];
}

const defaultAgent = 'pi';

export function registerSession(program: Command): void {
  const session = program.command('session').description('start, list and end sessions');
  session
    .command('start')
    .description('start a sandbox over a folder, with an agent in it')
    .addOption(
      new Option('--workspace <dir>', 'the folder to work on; it does not change until you apply').default(
        '.',
        'here',
      ),
    )
    .option('--agent <name>', 'the agent to run', defaultAgent)
    .option('--no-agent', 'no agent: drive the session with `turntable exec`')
    .option('--prompt <text>', 'what the agent shall do')
    .option('--title <text>', 'a name for people')
    .option('--upstream <url>', 'where model requests go')
    .option(
      '--env <key[=value]>',
      'a variable for the agent, from here or given; may be repeated',
      collect,
      [],
    )
    .action((options: StartOptions, command: Command) => runCommand(command, (cli) => start(cli, options)));
  session
    .command('ls')
    .description('list sessions')
    .action((_options: unknown, command: Command) => runCommand(command, list));
  session
    .command('stop')
    .description('stop a session; its turns stay')
    .argument('<session>')
    .action((reference: string, _options: unknown, command: Command) =>
      runCommand(command, (cli) => change(cli, reference, 'session/stop', 'stopping', 'stopped')),
    );
  session
    .command('resume')
    .description('start a stopped session again at its head')
    .argument('<session>')
    .option('--prompt <text>', 'what the agent shall do next')
    .action((reference: string, options: { prompt?: string }, command: Command) =>
      runCommand(command, async (cli) => {
        const client = await cli.connect();
        const { id } = await sessionOf(client, reference);
        using progress = cli.progress('resuming');
        await using _follow = await followProgress(client, id, progress);
        await client.request('session/resume', { sessionId: id, prompt: options.prompt });
        done(cli, id, 'resumed');
      }),
    );
  session
    .command('rm')
    .description('remove a session and everything stored for it')
    .argument('<session>')
    .action((reference: string, _options: unknown, command: Command) =>
      runCommand(command, (cli) => change(cli, reference, 'session/remove', 'removing', 'removed')),
    );
  session
    .command('prompt')
    .description('give the agent of a session a new message')
    .argument('<session>')
    .argument('<text...>')
    .action((reference: string, text: string[], _options: unknown, command: Command) =>
      runCommand(command, async (cli) => {
        const client = await cli.connect();
        const { id } = await sessionOf(client, reference);
        await client.request('session/prompt', { sessionId: id, prompt: text.join(' ') });
        done(cli, id, 'told the agent');
      }),
    );
}

async function start(cli: Cli, options: StartOptions): Promise<void> {
  const client = await cli.connect();
  using progress = cli.progress('starting the sandbox');
  await using _follow = await followProgress(client, undefined, progress);
  const { sessionId } = await client.request('session/start', {
    workspace: resolve(options.workspace),
    agent: options.agent === false ? 'none' : options.agent,
    prompt: options.prompt,
    title: options.title,
    upstream: options.upstream,
    env: options.env.length > 0 ? environmentOf(options.env) : undefined,
  });
  const session = await sessionOf(client, sessionId);
  progress[Symbol.dispose]();
  cli.result({ sessionId, mount: session.mount, session }, () => {
    cli.print(
      `${cli.style.good('✓')} Session ${cli.style.strong(sessionId)} over ${printable(session.workspace)}`,
    );
    cli.print(cli.style.faint(`  its files: ${printable(session.mount)}`));
    for (const lack of session.degraded) cli.print(cli.style.warn(`  ${printable(lack)}`));
    cli.print(
      cli.style.faint(
        options.agent === false
          ? `  next: turntable exec ${sessionId} -- CMD`
          : `  next: turntable watch ${sessionId}`,
      ),
    );
  });
}

async function list(cli: Cli): Promise<void> {
  const state = await snapshotOf(await cli.connect());
  const sessions = Object.values(state.sessions);
  cli.result({ sessions }, () => {
    if (sessions.length === 0)
      cli.print(cli.style.faint('No session yet: turntable session start --workspace DIR'));
    else cli.print(formatSessions(sessions, Date.now(), cli.style, terminalWidth()));
  });
}

async function change(
  cli: Cli,
  reference: string,
  method: 'session/stop' | 'session/remove',
  doing: string,
  word: string,
): Promise<void> {
  const client = await cli.connect();
  const { id } = await sessionOf(client, reference);
  using _progress = cli.progress(doing);
  await client.request(method, { sessionId: id });
  done(cli, id, word);
}

function done(cli: Cli, sessionId: string, word: string): void {
  cli.result({ sessionId }, () => cli.print(`${cli.style.good('✓')} ${sessionId} ${word}`));
}
