/**
 * Claude Code (@anthropic-ai/claude-code, proprietary): used when it is installed, never shipped.
 */

import { placeholderKey } from '../turns/upstream-request.ts';
import { commonHomeFiles, continuePrompt, launcher, locateCommand, locateFile } from './profile.ts';
import type { AgentLaunch, AgentProfile } from './profile.ts';

export const claude: AgentProfile = {
  name: 'claude',
  displayName: 'Claude Code',
  licence: 'proprietary',
  formats: ['anthropic-messages'],
  installHint: 'npm install -g @anthropic-ai/claude-code',
  statePaths: [
    '.claude',
    '.claude.json*',
    '.cache/claude*',
    '.local/share/claude',
    '.gitconfig',
    '/tmp/claude*',
  ],

  locate: (searchRoots) =>
    locateFile(searchRoots, `@anthropic-ai/claude-code-linux-${process.arch}`, 'claude') ??
    locateCommand(searchRoots, '@anthropic-ai/claude-code', 'claude'),

  environment: ({ modelUrl, model }) => ({
    ANTHROPIC_API_KEY: placeholderKey,
    ANTHROPIC_BASE_URL: modelUrl,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    DISABLE_TELEMETRY: '1',
    DISABLE_ERROR_REPORTING: '1',
    IS_SANDBOX: '1',
    ...(model === undefined ? {} : { ANTHROPIC_MODEL: model }),
  }),

  prepareHome: () => [
    ...commonHomeFiles,
    {
      path: '.claude.json',
      content:
        JSON.stringify(
          {
            hasCompletedOnboarding: true,
            bypassPermissionsModeAccepted: true,
            customApiKeyResponses: { approved: [placeholderKey.slice(-20)], rejected: [] },
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
  const headless = prompt !== undefined && launch.interactive !== true;
  return [
    ...launcher(launch),
    ...(headless ? ['-p'] : []),
    '--dangerously-skip-permissions',
    ...flags,
    ...(prompt === undefined ? [] : [prompt]),
  ];
}
