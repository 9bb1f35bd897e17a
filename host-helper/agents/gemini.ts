/**
 * Gemini CLI (@google/gemini-cli, Apache-2.0).
 */

import { placeholderKey } from '../turns/upstream-request.ts';
import { defaultModels } from './default-models.ts';
import { commonHomeFiles, continuePrompt, launcher, locateCommand } from './profile.ts';
import type { AgentLaunch, AgentProfile } from './profile.ts';

export const gemini: AgentProfile = {
  name: 'gemini',
  displayName: 'Gemini CLI',
  licence: 'Apache-2.0',
  formats: ['gemini'],
  installHint: 'npm install --ignore-scripts -g @google/gemini-cli',
  statePaths: ['.gemini', '.cache/gemini*', '.gitconfig', '/tmp/gemini*'],

  locate: (searchRoots) => locateCommand(searchRoots, '@google/gemini-cli', 'gemini'),

  environment: ({ modelUrl, model }) => ({
    GEMINI_API_KEY: placeholderKey,
    GOOGLE_GEMINI_BASE_URL: modelUrl,
    GEMINI_MODEL: model ?? defaultModels.gemini,
    GEMINI_CLI_TRUST_WORKSPACE: 'true',
    GEMINI_TELEMETRY_ENABLED: 'false',
    GEMINI_CLI_NO_RELAUNCH: 'true',
  }),

  prepareHome: () => [
    ...commonHomeFiles,
    {
      path: '.gemini/settings.json',
      content:
        JSON.stringify(
          {
            security: { auth: { selectedType: 'gemini-api-key' } },
            privacy: { usageStatisticsEnabled: false },
            general: { disableAutoUpdate: true, disableUpdateNag: true, checkpointing: { enabled: false } },
            telemetry: { enabled: false },
          },
          null,
          2,
        ) + '\n',
    },
  ],

  start: (launch) => argv(launch, [], launch.prompt),
  resume: (launch) => argv(launch, ['--resume', 'latest'], launch.prompt ?? continuePrompt),
};

function argv(launch: AgentLaunch, flags: readonly string[], prompt: string | undefined): readonly string[] {
  const how = launch.interactive === true ? '-i' : '-p';
  const model = launch.model === undefined ? [] : ['-m', launch.model];
  return [...launcher(launch), '--yolo', ...model, ...flags, ...(prompt === undefined ? [] : [how, prompt])];
}
