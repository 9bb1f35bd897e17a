/**
 * Real agents against the scripted model through the model endpoint, without a sandbox: boundaries, conversation, holding back, retries
 * and resuming as they really behave. A small TCP bridge stands in for the sandbox's door.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { agentStatePredicate } from '../../host-helper/agents/profile.ts';
import type { AgentProfile } from '../../host-helper/agents/profile.ts';
import { agentProfiles } from '../../host-helper/agents/profiles.ts';
import { createSampleRepository } from '../../host-helper/demo/sample-repository.ts';
import { alternativePrompt, samplePrompt, sampleScripts } from '../../host-helper/demo/sample-script.ts';
import { startScriptedModel } from '../../host-helper/demo/scripted-model.ts';
import type { ScriptedFault } from '../../host-helper/demo/scripted-model.ts';
import { silentLogger } from '../../host-helper/log.ts';
import type { Conversation } from '../../host-helper/protocol/state.ts';
import type { MainLoopRequest, WireFormat } from '../../host-helper/turns/model-endpoint.ts';
import { createModelEndpoint } from '../../host-helper/turns/model-proxy.ts';

const searchRoots = [
  fileURLToPath(new URL('../../host-helper/agents/bundle', import.meta.url)),
  '/usr/lib/node_modules',
  '/usr/local/lib/node_modules',
  // More places to look for agents that are not part of the bundle.
  ...(process.env['TURNTABLE_AGENT_ROOTS']?.split(':') ?? []),
];
const agentTimeoutMs = 120_000;

interface Place {
  readonly directory: string;
  readonly workspace: string;
  readonly home: string;
}

interface Run {
  readonly boundaries: MainLoopRequest[];
  readonly replies: { readonly number: number; readonly conversation: Conversation }[];
  readonly released: { readonly heldMs: number; readonly capped: boolean }[];
  readonly counts: { readonly mainLoop: number; readonly side: number; readonly other: number };
  readonly exitCode: number | null;
  readonly output: string;
}

interface RunOptions {
  readonly steps: number;
  readonly prompt: string | undefined;
  readonly resume?: boolean;
  readonly checkpointMs?: number;
  readonly fault?: (number: number) => ScriptedFault | undefined;
  readonly format?: WireFormat;
}

async function place(): Promise<Place & Disposable> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-agent-'));
  const [workspace, home] = [join(directory, 'shop'), join(directory, 'home')];
  for (const each of [workspace, home, join(directory, 'tmp')]) mkdirSync(each);
  await createSampleRepository(workspace);
  return {
    directory,
    workspace,
    home,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** What the sandbox's door does: every connection to a port goes to the socket. */
async function openDoor(socketPath: string): Promise<{ url: string } & Disposable> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((inside) => {
    const outside = net.connect(socketPath);
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    inside.pipe(outside).pipe(inside);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    url: `http://127.0.0.1:${address.port}`,
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function run(
  profile: AgentProfile,
  entryPath: string,
  { directory, workspace, home }: Place,
  options: RunOptions,
): Promise<Run> {
  const scripts = sampleScripts.map((script) => ({ ...script, steps: script.steps.slice(0, options.steps) }));
  await using model = await startScriptedModel({
    scripts,
    thinkMs: 30,
    ...(options.fault ? { fault: options.fault } : {}),
  });
  const [boundaries, replies, released]: [Run['boundaries'], Run['replies'], Run['released']] = [[], [], []];
  await using endpoint = await createModelEndpoint({
    socketPath: join(directory, 'model.sock'),
    upstream: {
      baseUrls: {
        'openai-chat': model.url,
        'openai-responses': model.url,
        'anthropic-messages': model.url,
        gemini: model.url,
      },
      headers: {},
    },
    logger: silentLogger,
    hooks: {
      onBoundary: (request) => {
        boundaries.push(request);
        return new Promise((resolve) => setTimeout(resolve, options.checkpointMs ?? 0));
      },
      onReply: (request, conversation) => void replies.push({ number: request.number, conversation }),
      onReleased: (_request, heldMs, capped) => void released.push({ heldMs, capped }),
    },
  });
  using door = await openDoor(endpoint.socketPath);
  const format = options.format === undefined ? {} : { format: options.format };
  const surroundings = { home, modelUrl: door.url, ...format };
  for (const file of profile.prepareHome(surroundings)) {
    mkdirSync(dirname(join(home, file.path)), { recursive: true });
    writeFileSync(join(home, file.path), file.content);
  }
  const launch = { nodePath: process.execPath, entryPath, prompt: options.prompt, ...format };
  const [program = '', ...args] = options.resume === true ? profile.resume(launch) : profile.start(launch);
  // Nothing listens there: whatever does not go through the endpoint fails.
  const nowhere = 'http://127.0.0.1:9';
  const child = spawn(program, args, {
    cwd: workspace,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      TMPDIR: join(directory, 'tmp'),
      LANG: 'C.UTF-8',
      HTTP_PROXY: nowhere,
      HTTPS_PROXY: nowhere,
      http_proxy: nowhere,
      https_proxy: nowhere,
      NO_PROXY: '127.0.0.1,localhost',
      no_proxy: '127.0.0.1,localhost',
      ...profile.environment(surroundings),
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => void (output += data.toString()));
  const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), agentTimeoutMs);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { boundaries, replies, released, counts: model.counts, exitCode, output };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

function finalReplies(result: Run): Conversation[] {
  return [...new Map(result.replies.map(({ number, conversation }) => [number, conversation])).values()];
}

// Those that no one expects here are only tried where somebody put them.
const others = process.env['TURNTABLE_AGENT_ROOTS'] === undefined ? [] : ['gemini', 'qwen'];

for (const name of ['pi', 'opencode', 'codex', ...others]) {
  const profile = agentProfiles.get(name);
  const entryPath = profile?.locate(searchRoots);

  test(
    `${name}: works turn by turn, survives a held reply and a failing provider, and resumes`,
    { timeout: 400_000 },
    async (t) => {
      if (profile === undefined || entryPath === undefined) {
        t.skip(
          `${name} is not installed: ${profile?.installHint ?? ''}, or npm ci in host-helper/agents/bundle`,
        );
        return;
      }
      using at = await place();

      await t.test('a turn for each step, told by its command, with replies held back', async () => {
        const result = await run(profile, entryPath, at, {
          steps: 2,
          prompt: samplePrompt,
          checkpointMs: 300,
        });
        assert.equal(result.exitCode, 0, result.output);
        assert.equal(result.boundaries.length, 3);
        assert.equal(result.counts.mainLoop, 3);
        assert.match(result.boundaries[0]?.userText ?? '', /duration test fails/);
        assert.deepEqual(
          result.boundaries.map(({ toolResults }) => toolResults.map(({ id }) => id)),
          [[], ['call_0001'], ['call_0002']],
        );
        assert.match(result.boundaries[1]?.toolResults[0]?.text ?? '', /formatDuration/);
        const [look, edit, closing] = finalReplies(result);
        assert.equal(look?.text, 'Let me look around first.');
        assert.match(look?.toolCalls[0]?.summary ?? '', /^git log/);
        assert.equal(edit?.toolCalls.length, 1);
        assert.deepEqual(closing?.toolCalls, []);
        assert.equal(closing?.error, undefined);
        assert.ok((closing?.inputTokens ?? 0) > 0);
        assert.equal(result.released.length, 3);
        assert.ok(result.released.every(({ heldMs, capped }) => heldMs > 0 && !capped));
        assert.match(
          readFileSync(join(at.workspace, 'src/duration.js'), 'utf8'),
          /Math\.floor\(\(ms % 60_000\) \/ 100\)/,
        );
        assert.match(result.output, /The duration test passes/);
      });

      await t.test('what it wrote besides is known to be its own state', () => {
        const isState = agentStatePredicate(profile, at.home);
        const strays = [
          ...filesBelow(at.home).filter((path) => !isState(path)),
          ...filesBelow(join(at.directory, 'tmp')).filter(
            (path) => !isState(`/tmp/${relative(join(at.directory, 'tmp'), path)}`),
          ),
        ];
        assert.deepEqual(strays, []);
      });

      await t.test(
        'resumed, it goes on where its transcript ends; a retry after an error is no second turn',
        async () => {
          const result = await run(profile, entryPath, at, {
            steps: 3,
            prompt: undefined,
            resume: true,
            fault: (number) => (number === 1 ? 'error' : number === 3 ? 'reset' : undefined),
          });
          assert.equal(result.exitCode, 0, result.output);
          assert.match(result.boundaries[0]?.userText ?? '', /Continue\./);
          assert.equal(result.boundaries.length, 2);
          assert.ok(result.counts.mainLoop >= 4, `${result.counts.mainLoop} requests`);
          assert.deepEqual(
            finalReplies(result).map(({ text }) => text.slice(0, 5)),
            ['Now t', 'The d'],
          );
          assert.match(result.replies[0]?.conversation.error ?? '', /^HTTP 500/);
        },
      );

      await t.test('resumed with a new instruction, it takes the other way', async () => {
        const result = await run(profile, entryPath, at, {
          steps: 1,
          prompt: alternativePrompt,
          resume: true,
        });
        assert.equal(result.exitCode, 0, result.output);
        assert.equal(result.boundaries.length, 2);
        assert.match(readFileSync(join(at.workspace, 'test/fake-clock.js'), 'utf8'), /createFakeClock/);
      });
    },
  );
}

for (const [name, format] of [
  ['pi', 'anthropic-messages'],
  ['pi', 'openai-responses'],
  ['pi', 'gemini'],
  ['opencode', 'anthropic-messages'],
] as const) {
  test(`${name}: speaks ${format} when that is what the provider speaks`, { timeout: 200_000 }, async (t) => {
    const profile = agentProfiles.get(name);
    const entryPath = profile?.locate(searchRoots);
    if (profile === undefined || entryPath === undefined) {
      t.skip(`${name} is not installed: run npm ci in host-helper/agents/bundle`);
      return;
    }
    using at = await place();
    const result = await run(profile, entryPath, at, { steps: 2, prompt: samplePrompt, format });
    assert.equal(result.exitCode, 0, result.output);
    assert.deepEqual(
      result.boundaries.map((each) => each.format),
      [format, format, format],
    );
    assert.deepEqual(
      result.boundaries.map(({ toolResults }) => toolResults.length),
      [0, 1, 1],
    );
    assert.deepEqual(
      finalReplies(result).map(({ toolCalls, error }) => [toolCalls.length, error]),
      [
        [1, undefined],
        [1, undefined],
        [0, undefined],
      ],
    );
  });
}
