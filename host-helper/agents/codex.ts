/**
 * Codex (@openai/codex, Apache-2.0). Its npm package is a launcher around one binary per platform; the binary is run directly.
 */

import { placeholderKey } from '../turns/upstream-request.ts';
import { defaultModels } from './default-models.ts';
import {
  commonHomeFiles,
  continuePrompt,
  launcher,
  locateCommand,
  locateFile,
  versionedUrl,
} from './profile.ts';
import type { AgentLaunch, AgentProfile } from './profile.ts';

const targets = { x64: 'x86_64-unknown-linux-musl', arm64: 'aarch64-unknown-linux-musl' } as const;

export const codex: AgentProfile = {
  name: 'codex',
  displayName: 'Codex',
  licence: 'Apache-2.0',
  formats: ['openai-responses'],
  installHint: 'npm install --ignore-scripts -g @openai/codex',
  statePaths: ['.codex', '.cache/codex*', '.gitconfig', '/tmp/codex*', '/tmp/arg0'],

  locate: (searchRoots) => {
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const file = `vendor/${targets[arch]}`;
    return (
      locateFile(searchRoots, `@openai/codex-linux-${arch}`, `${file}/bin/codex`) ??
      locateFile(searchRoots, `@openai/codex-linux-${arch}`, `${file}/codex/codex`) ??
      locateCommand(searchRoots, '@openai/codex', 'codex')
    );
  },

  environment: ({ home }) => ({
    CODEX_HOME: `${home}/.codex`,
    TURNTABLE_MODEL_KEY: placeholderKey,
    OTEL_SDK_DISABLED: 'true',
  }),

  prepareHome: ({ modelUrl, model }) => [
    ...commonHomeFiles,
    {
      path: '.codex/config.toml',
      content: [
        `model = ${JSON.stringify(model ?? defaultModels['openai-responses'])}`,
        'model_provider = "turntable"',
        'check_for_update_on_startup = false',
        // The sandbox around it and the helper's rules decide, not the agent.
        'approval_policy = "never"',
        'sandbox_mode = "danger-full-access"',
        '',
        '[analytics]',
        'enabled = false',
        '',
        '[model_providers.turntable]',
        'name = "Turntable"',
        `base_url = ${JSON.stringify(versionedUrl(modelUrl))}`,
        'env_key = "TURNTABLE_MODEL_KEY"',
        'wire_api = "responses"',
        '',
      ].join('\n'),
    },
  ],

  start: (launch) =>
    headless(launch)
      ? [...launcher(launch), 'exec', ...flags(launch), launch.prompt ?? '']
      : [...launcher(launch), bypass, ...model(launch), ...optional(launch.prompt)],

  resume: (launch) => {
    const prompt = launch.prompt ?? continuePrompt;
    return launch.interactive === true
      ? [...launcher(launch), 'resume', '--last', bypass, ...model(launch), prompt]
      : [...launcher(launch), 'exec', 'resume', '--last', ...flags(launch), prompt];
  },
};

const bypass = '--dangerously-bypass-approvals-and-sandbox';

function headless(launch: AgentLaunch): boolean {
  return launch.prompt !== undefined && launch.interactive !== true;
}

function flags(launch: AgentLaunch): readonly string[] {
  return [bypass, '--skip-git-repo-check', ...model(launch)];
}

function model(launch: AgentLaunch): readonly string[] {
  return launch.model === undefined ? [] : ['-m', launch.model];
}

function optional(prompt: string | undefined): readonly string[] {
  return prompt === undefined ? [] : [prompt];
}
