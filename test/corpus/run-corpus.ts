/** The whole corpus: builds its programs, starts a helper, runs the suites beside each other, and sums up. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HelperProcess } from '../../host-helper/demo/helper-process.ts';
import type { Scenario, Step, Suite } from './corpus.ts';
import { idOf } from './corpus.ts';
import type { Verdict } from './judge.ts';
import { sampled } from './sample.ts';
import { runSuite, type RewindCheck } from './session-run.ts';
import { fileSuites } from './turns-files.ts';
import { nothingSuites } from './turns-nothing.ts';
import { processSuites } from './turns-processes.ts';
import { toolSuites } from './turns-tools.ts';

const run = promisify(execFile);

/** The longest first, so that none is left alone at the end. */
export const suites: readonly Suite[] = [...processSuites, ...nothingSuites, ...fileSuites, ...toolSuites];

export interface CorpusOptions {
  readonly family?: string;
  readonly only?: string;
  /** Suites whose name begins so. */
  readonly suite?: string;
  /** A fixed sample over all families instead of everything. */
  readonly quick?: boolean;
  /** Suites at the same time. */
  readonly atOnce?: number;
  /** Stops after the turn that runs now, and tidies up. */
  readonly signal?: AbortSignal;
  readonly onVerdict?: (verdict: Verdict) => void;
}

export interface CorpusResult {
  readonly verdicts: readonly Verdict[];
  readonly rewinds: readonly RewindCheck[];
  readonly tookMs: number;
}

/** Runs it. Needs root, clang, and all that a helper needs. Leaves nothing behind. */
export async function runCorpus(options: CorpusOptions = {}): Promise<CorpusResult> {
  const startedMs = performance.now();
  await mustHave('python3', 'curl');
  // Not the system's temporary directory: a tmpfs cannot hold what overlayfs writes into uppers on every kernel.
  const directory = await mkdtemp('/var/tmp/turntable-corpus-');
  try {
    const programs = { mutate: join(directory, 'mutate'), probe: join(directory, 'probe') };
    await Promise.all([
      compile(programs.mutate, ['mutate.c', 'survivor.c'], ['-static', '-lpthread']),
      compile(programs.probe, ['probe.c', 'probe-tree.c', 'probe-processes.c'], []),
    ]);
    await using helper = await HelperProcess.up(join(directory, 'state'));
    options.signal?.throwIfAborted();
    const bench = { client: helper.client, stateDirectory: helper.stateDirectory, directory, programs };
    const wanted = (scenario: Scenario, step: Step): boolean =>
      (options.family === undefined || scenario.family === options.family) &&
      (options.only === undefined ||
        idOf(scenario, step) === options.only ||
        idOf(scenario, step).startsWith(`${options.only}/`));
    const verdicts: Verdict[] = [];
    const rewinds: RewindCheck[] = [];
    const queue = (options.quick ? sampled(suites) : suites).filter((suite) =>
      suite.name.startsWith(options.suite ?? ''),
    );
    const worker = async (): Promise<void> => {
      for (let suite = queue.shift(); suite; suite = queue.shift()) {
        options.signal?.throwIfAborted();
        const result = await runSuite(bench, suite, wanted, (verdict) => {
          options.onVerdict?.(verdict);
          options.signal?.throwIfAborted();
        });
        verdicts.push(...result.verdicts);
        rewinds.push(...result.rewinds);
      }
    };
    const workers = Array.from({ length: options.atOnce ?? 2 }, worker);
    // All have ended before the helper goes down, also when one has failed.
    await Promise.allSettled(workers);
    await Promise.all(workers);
    return { verdicts, rewinds, tookMs: performance.now() - startedMs };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function compile(to: string, sources: readonly string[], more: readonly string[]): Promise<void> {
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE'];
  const paths = sources.map((source) => join(import.meta.dirname, source));
  await run('clang', [...flags, '-o', to, ...paths, ...more]);
}

/** What turns run, and a bare machine may lack: without it they would do nothing, and be no turns of their kind. */
async function mustHave(...programs: readonly string[]): Promise<void> {
  for (const program of programs)
    await run('sh', ['-c', `command -v ${program}`]).catch((cause: unknown) => {
      throw new Error(`${program} is missing: \`sh host-helper/setup/apt-packages.sh --turns\` installs it`, {
        cause,
      });
    });
}
