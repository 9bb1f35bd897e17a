/**
 * pi (@mariozechner/pi-coding-agent, MIT): the default of the sample session.
 */

import type { WireFormat } from '../turns/model-endpoint.ts';
import { placeholderKey } from '../turns/upstream-request.ts';
import { defaultModels } from './default-models.ts';
import { commonHomeFiles, continuePrompt, launcher, locateCommand, versionedUrl } from './profile.ts';
import type { AgentLaunch, AgentProfile, AgentSurroundings } from './profile.ts';

const apiNames: Readonly<Record<WireFormat, string>> = {
  'openai-chat': 'openai-completions',
  'openai-responses': 'openai-responses',
  'anthropic-messages': 'anthropic-messages',
  gemini: 'google-generative-ai',
};

export const pi: AgentProfile = {
  name: 'pi',
  displayName: 'pi',
  licence: 'MIT',
  formats: ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini'],
  installHint: 'npm install --ignore-scripts -g @mariozechner/pi-coding-agent',
  // The whole of its directory: settings, models, sessions, and the tools it would fetch.
  statePaths: ['.pi', '.gitconfig', '/tmp/pi-*', '/tmp/node-compile-cache'],

  locate: (searchRoots) => locateCommand(searchRoots, '@mariozechner/pi-coding-agent', 'pi'),

  environment: ({ home }) => ({
    PI_OFFLINE: '1',
    PI_SKIP_VERSION_CHECK: '1',
    PI_TELEMETRY: '0',
    PI_CODING_AGENT_DIR: `${home}/.pi/agent`,
    TURNTABLE_MODEL_KEY: placeholderKey,
  }),

  prepareHome: (surroundings) => [
    ...commonHomeFiles,
    { path: '.pi/agent/models.json', content: json({ providers: { turntable: provider(surroundings) } }) },
    {
      path: '.pi/agent/settings.json',
      content: json({
        defaultProvider: 'turntable',
        defaultModel: modelOf(surroundings),
        enableInstallTelemetry: false,
        quietStartup: true,
        collapseChangelog: true,
        // Provider retries are the agent's; the endpoint recognises them.
        retry: { enabled: true, maxRetries: 3, baseDelayMs: 1000 },
      }),
    },
  ],

  start: (launch) => [...command(launch), ...prompted(launch, launch.prompt)],

  resume: (launch) => [
    ...command(launch),
    '--continue',
    ...prompted(launch, launch.prompt ?? continuePrompt),
  ],
};

function command(launch: AgentLaunch): readonly string[] {
  return [...launcher(launch), '--offline', '--provider', 'turntable', '--model', modelOf(launch)];
}

function prompted(launch: AgentLaunch, prompt: string | undefined): readonly string[] {
  if (prompt === undefined) return [];
  return launch.interactive === true ? [prompt] : ['-p', prompt];
}

function modelOf({ model, format }: Pick<AgentSurroundings, 'model' | 'format'>): string {
  return model ?? defaultModels[format ?? 'openai-chat'];
}

function provider(surroundings: AgentSurroundings): object {
  const format = surroundings.format ?? 'openai-chat';
  const baseUrl =
    format === 'anthropic-messages'
      ? surroundings.modelUrl
      : format === 'gemini'
        ? `${surroundings.modelUrl}/v1beta`
        : versionedUrl(surroundings.modelUrl);
  return {
    baseUrl,
    api: apiNames[format],
    apiKey: placeholderKey,
    ...(format === 'openai-chat'
      ? { compat: { supportsDeveloperRole: false, supportsReasoningEffort: false } }
      : {}),
    models: [
      { id: modelOf(surroundings), name: 'Model of this session', contextWindow: 200_000, maxTokens: 32_000 },
    ],
  };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + '\n';
}
