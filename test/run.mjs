/**
 * Runs the tests: each file in a process of its own, nothing retried, failures printed again at the end, and as its last line
 * `N passed, N failed, N skipped`. Exit code 0 only when nothing failed.
 *
 *   node test/run.mjs [SUITE | PATH]… [--name PATTERN] [--verbose]
 *   npm test -- unit                                  a suite: static, unit, integration, extension
 *   npm test -- test/unit/protocol                    files at or below a path
 *   npm test -- unit --name 'keeps the order'         only tests whose name matches
 */

import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { leftovers, noteNames, traces } from './support/leftovers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const minuteMs = 60_000;
/** `npm run test:soak`: the tests that go by chance run on for long. */
const soak = process.env.TURNTABLE_SOAK !== undefined;
/** `privileged` suites run as root (through sudo where needed); `chatty` ones print every test as it ends. */
const suites = [
  {
    name: 'static',
    commands: {
      'types are sound (tsc --build)': ['tsc', '--build', '--pretty', 'false'],
      // Not from its cache: what it says of a file depends on the types of others too.
      'lint finds nothing': ['eslint', '.'],
    },
    atOnce: 2,
    timeoutMs: 10 * minuteMs,
  },
  { name: 'unit', files: 'test/unit/**/*.test.ts', atOnce: 2, timeoutMs: 2 * minuteMs },
  {
    name: 'integration',
    files: 'test/integration/**/*.test.ts',
    atOnce: 1,
    timeoutMs: (soak ? 180 : 10) * minuteMs,
    privileged: true,
    chatty: true,
  },
  {
    name: 'extension',
    files: 'test/extension/*.test.ts',
    atOnce: 1,
    timeoutMs: 15 * minuteMs,
    privileged: true,
    chatty: true,
  },
];

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    // Another tree of tests: for the tests of this runner.
    root: { type: 'string', default: root },
  },
});
process.chdir(options.root);

const runId = `${process.pid}-${Date.now().toString(36)}`;
// Short: paths of Unix sockets below it must stay under 108 bytes.
const directory = mkdtempSync(join(tmpdir(), 'turntable-'));
const env = {
  ...process.env,
  TMPDIR: directory,
  TURNTABLE_TEST_RUN: runId,
  PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}`,
  FORCE_COLOR: '0',
};
delete env.NODE_TEST_CONTEXT;

/** @typedef {{ suite: string, file: string, name: string, outcome: 'passed' | 'failed' | 'skipped', reason?: string, error?: string, line?: number, tookMs: number }} Result */
/** @type {Result[]} */
const results = [];
/** @type {{ name: string, tookMs: number }[]} */
const times = [];
/** Process groups now running; ended when the runner is. */
const running = new Set();

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) end(child, 'SIGKILL');
    process.exit(130);
  });
}

const paint = (style, text) => styleText(style, text, { stream: process.stdout });
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const shape = { passed: paint('green', '✓'), failed: paint('red', '✗'), skipped: paint('yellow', '–') };

// A build machine runs nothing else; a developer's may have a helper at work, or a second run.
const run = { runId, directory, alone: process.env.CI !== undefined, names: new Set() };
const before = traces(run);
setInterval(() => noteNames(run), 500).unref();
const plan = suites.map((suite) => ({ suite, jobs: jobsOf(suite) })).filter(({ jobs }) => jobs.length > 0);
if (plan.length === 0)
  record({
    suite: 'run',
    file: '',
    name: `no test matches ${filters.join(' ')}`,
    outcome: 'failed',
    error: 'Suites are static, unit, integration and extension; anything else is a path.',
    tookMs: 0,
  });
for (const { suite, jobs } of plan) await runSuite(suite, jobs);

const left = await leftovers(before, run, 5000);
record({
  suite: 'run',
  file: 'test/run.mjs',
  name: 'nothing of Turntable is left on the machine',
  outcome: left.length === 0 ? 'passed' : 'failed',
  error: left.join('\n'),
  tookMs: 0,
});
try {
  if (left.length === 0) rmSync(directory, { recursive: true, force: true });
} catch (error) {
  console.log(`could not remove ${directory}: ${error.message}`);
}
summarize();

/** What a suite would run under the filters: a file, or a named command. */
function jobsOf(suite) {
  const all = suite.commands
    ? Object.entries(suite.commands).map(([name, argv]) => ({ name, argv }))
    : globSync(suite.files, { exclude: (path) => path.includes('node_modules') })
        .sort()
        .map((file) => ({ file }));
  if (filters.length === 0 || filters.includes(suite.name)) return all;
  const paths = filters.map((filter) => filter.replace(/^\.\//, '').replace(/\/$/, ''));
  return all.filter(
    ({ file }) => file !== undefined && paths.some((path) => file === path || file.startsWith(path + '/')),
  );
}

async function runSuite(suite, jobs) {
  console.log(paint('bold', `\n${suite.name}`));
  const startedAt = performance.now();
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await (job.file === undefined ? runCommand(suite, job) : runFile(suite, job.file));
    }
  };
  await Promise.all(Array.from({ length: suite.atOnce }, worker));
  times.push({ name: suite.name, tookMs: performance.now() - startedAt });
}

async function runCommand(suite, { name, argv }) {
  const { code, output, tookMs, timedOut } = await execute(argv, suite.timeoutMs, () => false);
  record(
    {
      suite: suite.name,
      file: argv[0],
      name,
      outcome: code === 0 ? 'passed' : 'failed',
      error: timedOut ? `timed out\n${output}` : output,
      tookMs,
    },
    true,
  );
}

async function runFile(suite, file) {
  const argv = [
    'node',
    '--disable-warning=ExperimentalWarning',
    `--test-reporter=${new URL('support/line-reporter.mjs', import.meta.url).href}`,
  ];
  if (options.name !== undefined) argv.push(`--test-name-pattern=${options.name}`);
  argv.push(file);
  if (suite.privileged && process.getuid() !== 0) {
    argv.unshift(
      'sudo',
      'env',
      ...['PATH', 'TMPDIR', 'TURNTABLE_TEST_RUN', 'TURNTABLE_SOAK', 'HOME', 'CI'].flatMap((key) =>
        env[key] === undefined ? [] : [`${key}=${env[key]}`],
      ),
    );
  }
  /** @type {Result[]} */
  const own = [];
  const keep = (result) => {
    own.push(result);
    record(result, suite.chatty || options.verbose || result.outcome !== 'passed');
  };
  const { code, output, tookMs, timedOut } = await execute(argv, suite.timeoutMs, (line) => {
    if (!line.startsWith('\u0001')) return false;
    keep({ suite: suite.name, file, ...JSON.parse(line.slice(1)) });
    return true;
  });
  const count = (wanted) => own.filter(({ outcome }) => outcome === wanted).length;
  const failedTests = count('failed');
  const fail = (name) => keep({ suite: suite.name, file, name, outcome: 'failed', error: output, tookMs });
  if (timedOut) fail(`the file did not end within ${seconds(suite.timeoutMs)} and was killed`);
  else if (code !== 0 && failedTests === 0)
    fail(`the file ended with code ${code}, though no test of it failed`);
  else if (own.length === 0 && options.name === undefined) fail('the file holds no test');
  else if (failedTests > 0 && output.trim() !== '')
    console.log(indent(paint('dim', `what ${file} printed:\n${output}`), 4));
  if (!suite.chatty && !options.verbose && count('failed') === 0)
    console.log(`  ${shape.passed} ${file}  ${paint('dim', `${count('passed')} in ${seconds(tookMs)}`)}`);
}

/** Runs a command in a process group of its own. Lines for which `take` returns false are its output (the last 8,000 characters are kept). */
async function execute(argv, timeoutMs, take) {
  const startedAt = performance.now();
  const child = spawn(argv[0], argv.slice(1), { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let output = '';
  const print = (line) => {
    if (line !== '' && !take(line)) output = (output + line + '\n').slice(-8000);
  };
  const readers = [child.stdout, child.stderr].map((stream) =>
    createInterface({ input: stream }).on('line', print),
  );
  const allRead = Promise.all(readers.map((reader) => new Promise((closed) => reader.once('close', closed))));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    end(child, 'SIGTERM');
    setTimeout(() => end(child, 'SIGKILL'), 5000).unref();
  }, timeoutMs);
  const code = await new Promise((settle) => {
    child.on('error', (error) => {
      output += error.message;
      settle(127);
    });
    child.on('exit', (status, signal) => settle(status ?? signal));
  });
  clearTimeout(timer);
  // What was printed before the end may still be in the pipes; a grandchild that holds them open is not waited for longer.
  await Promise.race([allRead, sleep(5000, undefined, { ref: false })]);
  for (const reader of readers) reader.close();
  child.stdout?.destroy();
  child.stderr?.destroy();
  running.delete(child);
  return { code, output, timedOut, tookMs: performance.now() - startedAt };
}

/** Signals the whole group: a test file may have children. */
function end(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}

/** @param {Result} result */
function record(result, show = true) {
  results.push(result);
  if (!show) return;
  const where =
    result.outcome === 'passed'
      ? ''
      : paint('dim', `  ${result.file}${result.line === undefined ? '' : `:${result.line}`}`);
  console.log(`  ${shape[result.outcome]} ${result.name}  ${paint('dim', seconds(result.tookMs))}${where}`);
  if (result.outcome === 'skipped') console.log(`      ${paint('yellow', `skipped: ${result.reason}`)}`);
  if (result.outcome === 'failed' && result.error) console.log(indent(result.error, 6));
}

function summarize() {
  const of = (outcome) => results.filter((result) => result.outcome === outcome);
  const failed = of('failed');
  if (of('skipped').length > 0) {
    console.log(paint('yellow', '\nskipped'));
    for (const { file, name, reason } of of('skipped'))
      console.log(`  ${shape.skipped} ${file}: ${name}\n      ${reason}`);
  }
  if (failed.length > 0) {
    console.log(paint('red', '\nfailed'));
    for (const { file, line, name, error } of failed)
      console.log(
        `  ${shape.failed} ${file}${line === undefined ? '' : `:${line}`}: ${name}${error ? `\n${indent(error, 6)}` : ''}`,
      );
  }
  console.log('');
  for (const { name, tookMs } of times) {
    const count = results.filter(({ suite }) => suite === name).length;
    console.log(`${name.padEnd(12)} ${String(count).padStart(5)} tests  ${seconds(tookMs).padStart(8)}`);
  }
  console.log(`${of('passed').length} passed, ${failed.length} failed, ${of('skipped').length} skipped`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function indent(text, width) {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => ' '.repeat(width) + line)
    .join('\n');
}
