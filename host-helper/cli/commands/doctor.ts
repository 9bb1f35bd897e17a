/** `turntable doctor`: what this machine can and cannot do, and the step that mends it. */

import type { Command } from 'commander';
import { TurntableError } from '../../protocol/errors.ts';
import type { Feature } from '../../protocol/state.ts';
import { runCommand, type Cli } from '../cli.ts';
import { exitCodes, exitCodeOf } from '../exit-codes.ts';
import { formatFeatures } from '../format/sessions.ts';
import { packageVersion } from '../package-version.ts';

export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check the helper and what this machine offers it')
    .action((_options: unknown, command: Command) => runCommand(command, doctor));
}

async function doctor(cli: Cli): Promise<number> {
  const client: Feature = {
    name: 'command line',
    status: 'ok',
    detail: `${packageVersion()} on Node ${process.versions.node}`,
  };
  const { features, exitCode } = await askHelper(cli);
  const all = [client, ...features];
  cli.result({ features: all, socket: cli.place.socketPath }, () =>
    cli.print(formatFeatures(all, cli.style)),
  );
  return exitCode;
}

async function askHelper(cli: Cli): Promise<{ features: Feature[]; exitCode: number }> {
  using _progress = cli.progress('asking the helper');
  try {
    const client = await cli.connect();
    const { features } = await client.request('doctor', {});
    const { helperVersion, helperPid } = client.hello;
    const helper: Feature = {
      name: 'helper',
      status: 'ok',
      detail: `${helperVersion}, pid ${helperPid}, ${cli.place.socketPath}`,
    };
    const missing = features.some((feature) => feature.status === 'missing');
    return { features: [helper, ...features], exitCode: missing ? exitCodes.failed : exitCodes.ok };
  } catch (error) {
    if (!(error instanceof TurntableError)) throw error;
    // Absent, old, or not ours: that is a finding, not a failure of doctor.
    const helper: Feature = { name: 'helper', status: 'missing', detail: error.message };
    return {
      features: [error.code === 'helperNotRunning' ? { ...helper, next: 'turntable up' } : helper],
      exitCode: exitCodeOf(error.code),
    };
  }
}
