/** What this host can do, as `doctor` and clients show it: each line tried, not guessed, with the step that mends it. */

import { access, statfs } from 'node:fs/promises';
import type { AgentProfile } from '../agents/profile.ts';
import type { EngineStats } from '../engine/engine.ts';
import type { Sentry } from '../inspector/sentry.ts';
import type { Feature } from '../protocol/state.ts';
import type { SessionParts } from './parts.ts';

const lowDiskBytes = 2 * 1024 ** 3;
const setUp = 'run `sh host-helper/setup/setup.sh runtime` again';

export interface HostFeaturesOptions {
  /** What the sandbox backend found when it really tried; undefined means that it works. */
  readonly probe: { readonly run: string | undefined; readonly dump: string | undefined };
  readonly sentry: Sentry | undefined;
  readonly agents: SessionParts['agents'];
  readonly profiles: ReadonlyMap<string, AgentProfile>;
  readonly stateDirectory: string;
  /** What checkpoints take. */
  readonly storeBytes: number;
  readonly engine: EngineStats;
}

export async function hostFeatures(options: HostFeaturesOptions): Promise<Feature[]> {
  const { probe } = options;
  return [
    probe.run === undefined
      ? { name: 'sandbox', status: 'ok', detail: 'runc, overlays and network namespaces work' }
      : { name: 'sandbox', status: 'missing', detail: probe.run, next: setUp },
    probe.dump === undefined
      ? {
          name: 'processes',
          status: 'ok',
          detail: 'CRIU dumps and restores a process with a listening socket',
        }
      : { name: 'processes', status: 'degraded', detail: `files only: ${probe.dump}`, next: setUp },
    ...sentryFeatures(options.sentry),
    engineFeature(options.engine),
    await diskFeature(options.stateDirectory, options.storeBytes),
    ...(await agentFeatures(options)),
  ];
}

function sentryFeatures(sentry: Sentry | undefined): Feature[] {
  if (!sentry) {
    return [
      {
        name: 'inspector',
        status: 'missing',
        detail: 'the sentry does not run: sessions cannot be guarded',
        next: setUp,
      },
    ];
  }
  const { features } = sentry;
  return [
    features.lifecycle
      ? { name: 'inspector', status: 'ok', detail: 'process events by cgroup' }
      : {
          name: 'inspector',
          status: 'degraded',
          detail: 'no BPF: programs that a turn ran are not listed',
          next: 'use a kernel with BTF (CONFIG_DEBUG_INFO_BTF)',
        },
    features.hints === 'complete'
      ? { name: 'change hints', status: 'ok', detail: features.hintsDetail }
      : {
          name: 'change hints',
          status: 'degraded',
          detail: `every turn is scanned instead: ${features.hintsDetail}`,
        },
    features.execVerify
      ? { name: 'exec approval', status: 'ok', detail: features.execVerifyDetail }
      : {
          name: 'exec approval',
          status: 'degraded',
          detail: `programs that need a question are refused: ${features.execVerifyDetail}`,
        },
  ];
}

function engineFeature(stats: EngineStats): Feature {
  const { mode, queued, running, started, refused, waitMs } = stats;
  const detail =
    `${queued} checkpoints wait, ${running} run` +
    (started === 0
      ? ''
      : `; of ${started} so far half waited under ${Math.ceil(waitMs.p50)} ms, 95 % under ${Math.ceil(waitMs.p95)} ms`) +
    (refused === 0 ? '' : `; ${refused} were not taken because too many waited`);
  if (mode === 'off')
    return {
      name: 'engine',
      status: 'degraded',
      detail: `switched off: checkpoints of all sessions start at once; ${detail}`,
      next: 'start the helper without TURNTABLE_ENGINE=off',
    };
  return stats.pressure === 'none'
    ? { name: 'engine', status: 'ok', detail }
    : { name: 'engine', status: 'degraded', detail, next: 'stop some sessions, or wait a moment' };
}

async function diskFeature(stateDirectory: string, storeBytes: number): Promise<Feature> {
  const status = await statfs(stateDirectory);
  const freeBytes = status.bavail * status.bsize;
  const free = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free for ${stateDirectory}; checkpoints take ${(storeBytes / 1024 ** 2).toFixed(1)} MiB`;
  return freeBytes >= lowDiskBytes
    ? { name: 'disk', status: 'ok', detail: free }
    : {
        name: 'disk',
        status: 'degraded',
        detail: free,
        next: 'free space: `turntable gc`, or remove sessions with `turntable session rm`',
      };
}

async function agentFeatures(options: HostFeaturesOptions): Promise<Feature[]> {
  await access(options.agents.nodePath);
  const features: Feature[] = [];
  const absent: string[] = [];
  for (const profile of options.profiles.values()) {
    const path = profile.locate(options.agents.searchRoots);
    if (path === undefined) absent.push(`${profile.displayName} (${profile.installHint})`);
    else features.push({ name: `agent ${profile.name}`, status: 'ok', detail: path });
  }
  if (features.length === 0)
    features.push({ name: 'agents', status: 'degraded', detail: 'none is installed', next: setUp });
  // Nobody needs every agent: one that is not there is no fault.
  if (absent.length > 0)
    features.push({
      name: 'other agents',
      status: 'ok',
      detail: `supported, not installed: ${absent.join('; ')}`,
    });
  return features;
}
