/**
 * opencode (opencode-ai, MIT). Its npm package is a launcher around one binary per platform; the binary is run directly.
 */

import {
  locateFile,
  commonHomeFiles,
  continuePrompt,
  launcher,
  locateCommand,
  versionedUrl,
} from './profile.ts';
import type { AgentLaunch, AgentProfile, AgentSurroundings } from './profile.ts';
import type { WireFormat } from '../turns/model-endpoint.ts';
import { placeholderKey } from '../turns/upstream-request.ts';
import { defaultModels } from './default-models.ts';

/** The provider modules are part of the binary. */
const providerModules: Readonly<Record<WireFormat, string>> = {
  'openai-chat': '@ai-sdk/openai-compatible',
  'openai-responses': '@ai-sdk/openai',
  'anthropic-messages': '@ai-sdk/anthropic',
  gemini: '@ai-sdk/google',
};

export const opencode: AgentProfile = {
  name: 'opencode',
  displayName: 'opencode',
  licence: 'MIT',
  formats: ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini'],
  installHint: 'npm install --ignore-scripts -g opencode-ai',
  statePaths: [
    '.local/share/opencode',
    '.local/state/opencode',
    '.cache/opencode',
    '.config/opencode',
    '.opencode',
    '.gitconfig',
    '/tmp/opencode*',
    // A library that the binary unpacks for itself.
    '/tmp/.*-00000000.so',
  ],

  locate: (searchRoots) => {
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    return (
      locateFile(searchRoots, `opencode-linux-${arch}`, 'bin/opencode') ??
      locateFile(searchRoots, `opencode-linux-${arch}-baseline`, 'bin/opencode') ??
      locateCommand(searchRoots, 'opencode-ai', 'opencode')
    );
  },

  environment: (surroundings) => ({
    OPENCODE_CONFIG_CONTENT: JSON.stringify(config(surroundings)),
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_DISABLE_AUTOUPDATE: '1',
    OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
    OPENCODE_DISABLE_SHARE: '1',
  }),

  prepareHome: () => commonHomeFiles,

  start: (launch) => argv(launch, [], launch.prompt),

  resume: (launch) => argv(launch, ['--continue'], launch.prompt ?? continuePrompt),
};

function argv(launch: AgentLaunch, flags: readonly string[], prompt: string | undefined): readonly string[] {
  const model = ['--model', `turntable/${modelOf(launch)}`];
  if (prompt === undefined) return [...launcher(launch), ...model, ...flags];
  return launch.interactive === true
    ? [...launcher(launch), ...model, ...flags, '--prompt', prompt]
    : [...launcher(launch), 'run', ...model, ...flags, prompt];
}

function modelOf({ model, format }: Pick<AgentSurroundings, 'model' | 'format'>): string {
  return model ?? defaultModels[format ?? 'openai-chat'];
}

function config(surroundings: AgentSurroundings): object {
  const format = surroundings.format ?? 'openai-chat';
  const model = modelOf(surroundings);
  const baseURL =
    format === 'gemini' ? `${surroundings.modelUrl}/v1beta` : versionedUrl(surroundings.modelUrl);
  return {
    $schema: 'https://opencode.ai/config.json',
    autoupdate: false,
    share: 'disabled',
    // The timeline keeps versions; a second set of snapshots would only cost time.
    snapshot: false,
    lsp: false,
    permission: {
      edit: 'allow',
      bash: 'allow',
      webfetch: 'allow',
      external_directory: 'allow',
      doom_loop: 'allow',
    },
    model: `turntable/${model}`,
    small_model: `turntable/${model}`,
    provider: {
      turntable: {
        npm: providerModules[format],
        name: 'Turntable',
        options: { baseURL, apiKey: placeholderKey },
        models: {
          [model]: {
            name: 'Model of this session',
            limit: { context: 200_000, output: 32_000 },
            tool_call: true,
          },
        },
      },
    },
  };
}
