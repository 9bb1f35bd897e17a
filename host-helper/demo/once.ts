/**
 * The whole product in one unattended run: a real agent in a real sandbox does the sample task, then the session is rewound, the rewind
 * undone, branched and applied, and every claim is checked from outside. Prints a summary for people and a last line of JSON.
 */

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatTurns } from '../cli/format/turns.ts';
import { createStyle } from '../cli/format/style.ts';
import type { Client } from '../protocol/client.ts';
import type { SessionState, Turn } from '../protocol/state.ts';
import { Checks } from './checks.ts';
import { HelperProcess } from './helper-process.ts';
import { alternativePrompt, samplePrompt } from './sample-script.ts';
import { createSampleRepository } from './sample-repository.ts';
import { mountsBelow } from './run-directory.ts';
import { answerApprovals, untilFinished, watchState, type WatchedState } from './sample-session.ts';
import { treeDigest } from './tree-digest.ts';

const agentTimeoutMs = 240_000;

export interface OnceOptions {
  /** A fresh directory; everything of the run lies below it. */
  readonly directory: string;
  readonly agent: string;
  readonly upstream: string | undefined;
  /** Ends the run early; the helper still goes down in order. */
  readonly signal: AbortSignal;
}

/** Returns the exit code. */
export async function runOnce(options: OnceOptions): Promise<number> {
  const startedMs = performance.now();
  const checks = new Checks();
  const workspace = join(options.directory, 'shop');
  await mkdir(workspace);
  await createSampleRepository(workspace);
  const before = await treeDigest(workspace);
  say(`sample repository: ${workspace}`);

  let summary: Record<string, unknown> = {};
  let failure: string | undefined;
  const helper = await HelperProcess.up(join(options.directory, 'state'));
  try {
    options.signal.throwIfAborted();
    const stopped = Promise.withResolvers<never>();
    options.signal.addEventListener('abort', () => stopped.reject(options.signal.reason as Error));
    summary = await Promise.race([
      runSession(helper.client, options, workspace, before, checks),
      stopped.promise,
    ]);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    checks.claim('the run came to its end', false, failure);
  }
  const wentDown = await helper.down().then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  checks.claim('the helper went down', wentDown === undefined, wentDown);
  const mounts = mountsBelow(options.directory, await readFile('/proc/self/mountinfo', 'utf8'));
  checks.equal('nothing is left mounted', mounts, []);

  say('');
  for (const check of checks.all)
    say(`  ${check.held ? '✓' : '✗'} ${check.claim}${check.detail === undefined ? '' : `: ${check.detail}`}`);
  const tookMs = Math.round(performance.now() - startedMs);
  say(
    `\n${checks.all.length - checks.failed.length} of ${checks.all.length} claims held in ${(tookMs / 1000).toFixed(1)} s`,
  );
  const ok = checks.failed.length === 0;
  process.stdout.write(
    JSON.stringify({ ok, tookMs, claims: checks.all.length, failed: checks.failed, ...summary }) + '\n',
  );
  return ok ? 0 : 1;
}

async function runSession(
  client: Client,
  options: OnceOptions,
  workspace: string,
  before: string,
  checks: Checks,
): Promise<Record<string, unknown>> {
  const { features } = await client.request('doctor', {});
  for (const feature of features.filter((each) => each.status !== 'ok' && !each.name.startsWith('agent '))) {
    say(`  ! ${feature.name}: ${feature.detail}${feature.next === undefined ? '' : ` (${feature.next})`}`);
  }
  const processes = features.some((feature) => feature.name === 'processes' && feature.status === 'ok');
  const watched = await watchState(client);
  const approvals = await answerApprovals(client, () => 'allow');

  say(`${options.agent} starts work …`);
  const { sessionId } = await client.request('session/start', {
    workspace,
    agent: options.agent,
    prompt: samplePrompt,
    ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
  });
  const session = await untilFinished(watched, sessionId, agentTimeoutMs);
  say('');
  say(turnTable(session));
  const facts = await checkSession(client, session, approvals.asked.length, workspace, before, checks);
  const rewound = await checkRewind(client, watched, facts, processes, checks);
  const branched = await checkBranch(client, watched, facts, checks);
  await checkApply(client, facts, workspace, before, checks);
  approvals.stop();

  return {
    agent: options.agent,
    turns: session.turns.filter((turn) => turn.id > 0).map(numbersOf),
    rewindMs: rewound,
    branchMs: branched,
    bytesStored: session.bytesStored,
  };
}

interface Facts {
  readonly session: SessionState;
  /** The turn in which the dev server was started. */
  readonly server: Turn;
  /** The turn in which the tool was put into a system directory. */
  readonly tool: Turn;
  readonly removal: Turn;
}

async function checkSession(
  client: Client,
  session: SessionState,
  asked: number,
  workspace: string,
  before: string,
  checks: Checks,
): Promise<Facts> {
  const turns = session.turns.filter((turn) => turn.kind === 'agent');
  checks.claim('the agent finished', session.agent.status === 'finished', session.agent.detail);
  checks.claim('there are at least eight turns', turns.length >= 8, `${turns.length} turns`);
  checks.claim(
    'every turn can be restored',
    turns.every((turn) => turn.checkpoint?.restorable === true),
    notRestorable(turns),
  );
  checks.claim(
    'some turns needed no checkpoint',
    turns.some((turn) => turn.effectClass === 'none'),
  );
  checks.claim('the push was asked about and answered', asked >= 1);
  checks.equal("the developer's folder is untouched", await treeDigest(workspace), before);
  const { intact } = await client.request('audit', { sessionId: session.id });
  checks.claim('the audit chain is intact', intact);

  const server = turns.find((turn) =>
    turn.effects?.processes.survivors.some((each) => each.startedInTurn && each.ports.includes(5173)),
  );
  const tool = turns.find((turn) =>
    turn.effects?.files.entries.some(
      (each) => each.path.startsWith('/usr/local/bin/') && each.change === 'added',
    ),
  );
  const removal = turns.find((turn) =>
    turn.effects?.files.entries.some((each) => each.path.startsWith(workspace) && each.change === 'removed'),
  );
  checks.claim('the dev server was seen to outlive its turn, with its port', server !== undefined);
  checks.claim('the tool in a system directory was seen', tool !== undefined);
  checks.claim('the deleted file was seen', removal !== undefined);
  if (!server || !tool || !removal) throw new Error('the session did not do what the sample script asks for');
  return { session, server, tool, removal };
}

async function checkRewind(
  client: Client,
  watched: WatchedState,
  { session, server, tool, removal }: Facts,
  processes: boolean,
  checks: Checks,
): Promise<number> {
  const { id } = session;
  const removed = removal.effects?.files.entries.find((each) => each.change === 'removed')?.path ?? '';
  const toolPath =
    tool.effects?.files.entries.find((each) => each.path.startsWith('/usr/local/bin/'))?.path ?? '';
  const preview = await client.request('rewind/preview', { sessionId: id, turn: server.id });
  checks.claim(
    'the preview names the deleted file',
    preview.changes.some((each) => each.path === removed),
  );

  say(`\nrewind to turn ${server.id} (${server.label}) …`);
  const back = await client.request('rewind', { sessionId: id, turn: server.id, resume: false });
  for (const note of back.notes) say(`  note: ${note}`);
  checks.claim('the deleted file is back', await succeeds(client, id, ['test', '-e', removed]));
  checks.claim(
    'the tool is gone from the system directory',
    !(await succeeds(client, id, ['test', '-e', toolPath])),
  );
  if (processes) {
    checks.claim(
      'the dev server came back and answers',
      back.restoredProcesses && (await serverAnswers(client, id)),
    );
  }

  say(`undo: rewind to turn ${back.safetyTurn} …`);
  const undone = await client.request('rewind', {
    sessionId: id,
    turn: back.safetyTurn,
    resume: false,
    conflicts: 'take-theirs',
  });
  checks.claim('the undo removed the file again', !(await succeeds(client, id, ['test', '-e', removed])));
  checks.claim('the undo brought the tool back', await succeeds(client, id, ['test', '-x', toolPath]));
  if (processes)
    checks.claim(
      'the undo brought the later dev server back',
      undone.restoredProcesses,
      undone.notes.join('; '),
    );
  const now = watched.subscription.state.sessions[id];
  checks.claim('the turns set aside are kept', (now?.turns.length ?? 0) >= session.turns.length);
  return back.tookMs;
}

async function checkBranch(
  client: Client,
  watched: WatchedState,
  { session, server, tool }: Facts,
  checks: Checks,
): Promise<number> {
  say(`\nbranch from turn ${server.id} with a new instruction …`);
  const toolPath =
    tool.effects?.files.entries.find((each) => each.path.startsWith('/usr/local/bin/'))?.path ?? '';
  const branch = await client.request('branch', {
    sessionId: session.id,
    turn: server.id,
    prompt: alternativePrompt,
  });
  for (const note of branch.notes) say(`  note: ${note}`);
  const branched = await untilFinished(watched, branch.sessionId, agentTimeoutMs);
  say(turnTable(branched));
  const own = branched.turns.filter((turn) => turn.id > server.id && turn.kind === 'agent');
  checks.claim(
    'the branch went its own way',
    own.length > 0 && branched.agent.status === 'finished',
    branched.agent.detail,
  );
  const changed = own
    .flatMap((turn) => turn.effects?.files.entries ?? [])
    .find((each) => each.change === 'added' && each.agentState !== true);
  checks.claim(
    'the branch made something that the first session does not have',
    changed !== undefined && !(await succeeds(client, session.id, ['test', '-e', changed.path])),
  );
  checks.claim(
    'the first session went on undisturbed',
    await succeeds(client, session.id, ['test', '-x', toolPath]),
  );
  checks.claim(
    'the branch does not have what the first did later',
    !(await succeeds(client, branch.sessionId, ['test', '-e', toolPath])),
  );
  return branch.tookMs;
}

async function checkApply(
  client: Client,
  { session }: Facts,
  workspace: string,
  before: string,
  checks: Checks,
): Promise<void> {
  checks.equal("the developer's folder is still untouched", await treeDigest(workspace), before);
  const applied = await client.request('apply', { sessionId: session.id, conflicts: 'keep-mine' });
  checks.claim(
    'apply carried the changes into the folder',
    applied.applied.length > 0 && (await treeDigest(workspace)) !== before,
  );
  const undone = await client.request('apply/undo', { sessionId: session.id, undoId: applied.undoId });
  checks.equal('undoing it touched the same paths', undone.restored.length, applied.applied.length);
}

async function succeeds(client: Client, sessionId: string, argv: string[]): Promise<boolean> {
  return (await client.request('session/exec', { sessionId, argv })).exitCode === 0;
}

async function serverAnswers(client: Client, sessionId: string): Promise<boolean> {
  const script =
    "fetch('http://127.0.0.1:5173/').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))";
  return succeeds(client, sessionId, [process.execPath, '-e', script]);
}

function notRestorable(turns: readonly Turn[]): string {
  return turns
    .filter((turn) => turn.checkpoint?.restorable !== true)
    .map((turn) => `turn ${turn.id}: ${turn.checkpoint?.reason ?? 'no checkpoint'}`)
    .join('; ');
}

function numbersOf(turn: Turn): Record<string, unknown> {
  const { checkpoint } = turn;
  return {
    turn: turn.id,
    class: turn.effectClass,
    bytes: checkpoint?.bytesStored,
    heldMs: round(checkpoint?.heldMs),
    inspectMs: round(checkpoint?.inspectMs),
    filesMs: round(checkpoint?.filesMs),
    processesMs: round(checkpoint?.processesMs),
  };
}

function round(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value * 10) / 10;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function turnTable(session: SessionState): string {
  return formatTurns(session, [], createStyle(process.stdout), process.stdout.columns);
}
