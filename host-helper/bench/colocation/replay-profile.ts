/** The replay agent as the helper sees an agent. Only the benchmark's own helper knows it. */

import { join } from 'node:path';
import {
  commonHomeFiles,
  continuePrompt,
  type AgentLaunch,
  type AgentProfile,
} from '../../agents/profile.ts';
import { doorPorts } from '../../session/parts.ts';

/** What a sandbox has to see of this machine to run it. */
export const replayDirectory = import.meta.dirname;

const command = (launch: AgentLaunch, prompt: string): string[] => [
  launch.nodePath,
  launch.entryPath,
  `http://127.0.0.1:${doorPorts.model}`,
  prompt,
];

export const replayProfile: AgentProfile = {
  name: 'replay',
  displayName: 'replay',
  licence: 'MIT',
  formats: ['openai-chat'],
  installHint: 'it is part of the benchmark',
  locate: () => join(replayDirectory, 'replay-agent.ts'),
  environment: () => ({}),
  prepareHome: () => commonHomeFiles,
  start: (launch) => command(launch, launch.prompt ?? ''),
  resume: (launch) => command(launch, launch.prompt ?? continuePrompt),
  statePaths: ['.replay', '.gitconfig', '/tmp/node-compile-cache'],
};
