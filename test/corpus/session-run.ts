/** Runs one suite in a session of its own: each step a command, then the oracle, then the verdict; at the end it rewinds to the samples and compares. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Client } from '../../host-helper/protocol/client.ts';
import { idOf, type Scenario, type Step, type Suite } from './corpus.ts';
import { missedBy, shown, type Verdict } from './judge.ts';
import { difference, locate, look, type Place, type State } from './oracle.ts';

const run = promisify(execFile);
/** A turn that hangs is a mistake of the corpus: it ends, and its label shows that. */
const stepTimeoutMs = 60_000;

export interface Bench {
  readonly client: Client;
  readonly stateDirectory: string;
  /** For the workspaces. */
  readonly directory: string;
  readonly programs: { readonly mutate: string; readonly probe: string };
}

/** What a rewind to a sample brought back differently from what the oracle had seen there. */
export interface RewindCheck {
  readonly id: string;
  readonly wrong: readonly string[];
}

export interface SuiteResult {
  readonly verdicts: readonly Verdict[];
  readonly rewinds: readonly RewindCheck[];
}

interface Sample {
  readonly id: string;
  readonly turn: number;
  readonly state: State;
}

export async function runSuite(
  bench: Bench,
  suite: Suite,
  wanted: (scenario: Scenario, step: Step) => boolean,
  onVerdict: (verdict: Verdict) => void,
): Promise<SuiteResult> {
  const scenarios = suite.scenarios.filter((scenario) =>
    scenario.steps.some((step) => wanted(scenario, step) || step.expect === undefined),
  );
  if (!scenarios.some((scenario) => scenario.steps.some((step) => wanted(scenario, step))))
    return { verdicts: [], rewinds: [] };
  const session = await SuiteSession.start(bench, suite);
  try {
    for (const scenario of scenarios) await session.play(scenario, onVerdict);
    return { verdicts: session.verdicts, rewinds: await session.checkSamples() };
  } finally {
    await session.remove();
  }
}

class SuiteSession {
  readonly verdicts: Verdict[] = [];
  readonly #bench: Bench;
  readonly #id: string;
  readonly #workspace: string;
  readonly #home: string;
  readonly #samples: Sample[] = [];
  #place: Place;
  #state: State;

  private constructor(
    bench: Bench,
    id: string,
    where: { workspace: string; home: string; place: Place; state: State },
  ) {
    this.#bench = bench;
    this.#id = id;
    this.#workspace = where.workspace;
    this.#home = where.home;
    this.#place = where.place;
    this.#state = where.state;
  }

  static async start(bench: Bench, suite: Suite): Promise<SuiteSession> {
    const workspace = join(bench.directory, suite.name.replaceAll(/[^a-z]+/gi, '-'));
    await mkdir(join(workspace, 'src'), { recursive: true });
    await writeFile(join(workspace, 'README.md'), '# project\n');
    await writeFile(join(workspace, 'src/one.txt'), 'one\n');
    await writeFile(join(workspace, 'src/two.txt'), 'two\n');
    await run('cp', [bench.programs.mutate, join(workspace, 'mutate')]);
    if (suite.prepareFolder !== undefined)
      await run('sh', ['-c', suite.prepareFolder], { cwd: workspace, env: env(workspace) });
    const { sessionId } = await bench.client.request('session/start', { workspace, agent: 'none' });
    const asked = await bench.client.request('session/exec', {
      sessionId,
      argv: ['sh', '-c', 'printf %s "$HOME"'],
    });
    const home = Buffer.from(asked.stdout, 'base64').toString();
    const place = await locate(bench.stateDirectory, sessionId, { home, workspace });
    const state = await look(bench.programs.probe, place);
    return new SuiteSession(bench, sessionId, { workspace, home, place, state });
  }

  async play(scenario: Scenario, onVerdict: (verdict: Verdict) => void): Promise<void> {
    for (const step of scenario.steps) {
      const verdict = await this.#step(scenario, step).catch((error: unknown) => {
        throw new Error(`${idOf(scenario, step)} could not be run`, { cause: error });
      });
      this.verdicts.push(verdict);
      onVerdict(verdict);
    }
  }

  async #step(scenario: Scenario, step: Step): Promise<Verdict> {
    const startedMs = performance.now();
    const { turn, stderr } = await this.#bench.client.request('session/exec', {
      sessionId: this.#id,
      argv: ['sh', '-c', step.run],
      timeoutMs: stepTimeoutMs,
      env: variables(this.#workspace),
    });
    const tookMs = performance.now() - startedMs;
    const before = this.#state;
    this.#state = await look(this.#bench.programs.probe, this.#place);
    const changed = difference(before, this.#state);
    const id = idOf(scenario, step);
    if (step.sample) this.#samples.push({ id, turn: turn.id, state: this.#state });
    const said = Buffer.from(stderr, 'base64').toString().trim();
    return {
      id,
      family: scenario.family,
      counted: step.expect !== undefined,
      label: changed.label,
      expected: step.expect,
      effectClass: turn.effectClass ?? 'none',
      decisionMs: turn.checkpoint?.inspectMs ?? 0,
      tookMs,
      missed: missedBy(turn, changed),
      seen: shown(changed) + (said === '' ? '' : ` [stderr: ${said.replaceAll('\n', ' ').slice(0, 200)}]`),
      reasons: [turn.checkpoint?.reason ?? '', ...(turn.effects?.uncertain ?? [])].join('; '),
    };
  }

  /** The latest first: each rewind goes further back. */
  async checkSamples(): Promise<RewindCheck[]> {
    const checks: RewindCheck[] = [];
    for (const sample of this.#samples.toReversed()) {
      await this.#bench.client.request('rewind', {
        sessionId: this.#id,
        turn: sample.turn,
        conflicts: 'take-theirs',
      });
      this.#place = await locate(this.#bench.stateDirectory, this.#id, {
        home: this.#home,
        workspace: this.#workspace,
      });
      const state = await look(this.#bench.programs.probe, this.#place);
      checks.push({ id: sample.id, wrong: unlike(sample.state, state) });
    }
    return checks;
  }

  async remove(): Promise<void> {
    await this.#bench.client.request('session/remove', { sessionId: this.#id }).catch(() => {});
  }
}

/** How a restored state differs: all files; processes by pid in the sandbox, for numbers of the host and times since boot are new. */
function unlike(wanted: State, got: State): string[] {
  const wrong = difference(wanted, { ...got, processes: wanted.processes }).paths.slice(0, 10);
  const facts = (state: State): Map<string, string> => {
    const found = new Map<string, string>();
    for (const [who, all] of state.processes) {
      const pid = who.slice(0, who.indexOf(':'));
      for (const key of ['cmdline', 'memory', 'SigPnd:', 'ShdPnd:', 'SigBlk:', 'Umask:'])
        found.set(`${pid} ${key}`, all.get(key) ?? '');
    }
    return found;
  };
  const [before, after] = [facts(wanted), facts(got)];
  for (const key of new Set([...before.keys(), ...after.keys()]))
    if (before.get(key) !== after.get(key)) wrong.push(`process ${key}`);
  return wrong;
}

function variables(workspace: string): Record<string, string> {
  // Restartable sequences write the number of the CPU into a process's memory whenever it is scheduled: no change of its own.
  return { W: workspace, M: join(workspace, 'mutate'), GLIBC_TUNABLES: 'glibc.pthread.rseq=0' };
}

function env(workspace: string): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/nonexistent', ...variables(workspace) };
}
