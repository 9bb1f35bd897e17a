/**
 * Qwen Code (@qwen-code/qwen-code, Apache-2.0; Node.js 22 or later).
 */

import { placeholderKey } from '../turns/upstream-request.ts';
import { defaultModels } from './default-models.ts';
import { commonHomeFiles, continuePrompt, launcher, locateCommand, versionedUrl } from './profile.ts';
import type { AgentLaunch, AgentProfile } from './profile.ts';

export const qwen: AgentProfile = {
  name: 'qwen',
  displayName: 'Qwen Code',
  licence: 'Apache-2.0',
  formats: ['openai-chat'],
  installHint: 'npm install --ignore-scripts -g @qwen-code/qwen-code',
  statePaths: ['.qwen', '.gitconfig', '/tmp/qwen*'],

  locate: (searchRoots) => locateCommand(searchRoots, '@qwen-code/qwen-code', 'qwen'),

  environment: ({ modelUrl, model }) => ({
    OPENAI_API_KEY: placeholderKey,
    OPENAI_BASE_URL: versionedUrl(modelUrl),
    OPENAI_MODEL: model ?? defaultModels['openai-chat'],
    QWEN_TELEMETRY_ENABLED: 'false',
  }),

  prepareHome: () => [
    ...commonHomeFiles,
    {
      path: '.qwen/settings.json',
      content:
        JSON.stringify(
          {
            general: { disableAutoUpdate: true, disableUpdateNag: true },
            privacy: { usageStatisticsEnabled: false },
            telemetry: { enabled: false },
          },
          null,
          2,
        ) + '\n',
    },
  ],

  start: (launch) => argv(launch, [], launch.prompt),
  resume: (launch) => argv(launch, ['--continue'], launch.prompt ?? continuePrompt),
};

function argv(launch: AgentLaunch, flags: readonly string[], prompt: string | undefined): readonly string[] {
  const how = launch.interactive === true ? '-i' : '-p';
  return [
    ...launcher(launch),
    '--auth-type',
    'openai',
    '-y',
    ...flags,
    ...(prompt === undefined ? [] : [how, prompt]),
  ];
}
