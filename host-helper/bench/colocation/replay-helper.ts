/** The product's helper with the replay agent added, as a process of its own: `node replay-helper.ts STATE_DIRECTORY`. Says `ready`; ends in order on SIGTERM and SIGINT, and when it is asked to. */

import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { agentProfiles } from '../../agents/profiles.ts';
import { productRoot } from '../../demo/helper-process.ts';
import { startHelper } from '../../helper.ts';
import { createLogger } from '../../log.ts';
import { replayDirectory, replayProfile } from './replay-profile.ts';

const stateDirectory = process.argv[2] ?? '';
await mkdir(stateDirectory, { recursive: true });
const log = createWriteStream(join(stateDirectory, 'helper.log'));
const agents = join(productRoot, 'host-helper', 'agents', 'bundle', 'node_modules');
const helper = await startHelper({
  version: '0.0.0',
  stateDirectory,
  socketPath: join(stateDirectory, 'helper.sock'),
  group: undefined,
  tcpPort: undefined,
  binDirectory: join(productRoot, 'dist', 'bin'),
  criu: join(productRoot, '.cache', 'criu', 'criu'),
  rulesPath: '/etc/turntable/rules.json',
  retentionPath: '/etc/turntable/retention.json',
  profiles: new Map([...agentProfiles, [replayProfile.name, replayProfile]]),
  agents: {
    nodePath: process.execPath,
    searchRoots: [agents],
    mounts: [agents, dirname(process.execPath), replayDirectory],
  },
  env: process.env,
  logger: createLogger((line) => log.write(line + '\n'), 'info'),
});
process.stdout.write('ready\n');
const signalled = new Promise((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, resolve);
});
await Promise.race([signalled, helper.stopAsked]);
await helper.close(true);
process.exit(0);
