/** Starts and stops a helper through its own CLI, as a person would, and connects to it. */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connectHelper, placeOf } from '../cli/connect.ts';
import { exitCodeOf } from './exit-code.ts';
import type { Client } from '../protocol/client.ts';

/** The product's root: this file lies in host-helper/demo. */
export const productRoot = join(import.meta.dirname, '..', '..');

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `turntable ARGS`. */
export async function turntable(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [cliPath(), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exitCodeOf(child),
  ]);
  return { code, stdout, stderr };
}

/** The sources, never the bundle: a bundle may be older than the tree that is being tried. */
export function cliPath(): string {
  return join(productRoot, 'host-helper', 'cli', 'main.ts');
}

/** A running helper of its own state directory; `down` ends it and its sessions. */
export class HelperProcess implements AsyncDisposable {
  readonly stateDirectory: string;
  readonly client: Client;

  private constructor(stateDirectory: string, client: Client) {
    this.stateDirectory = stateDirectory;
    this.client = client;
  }

  /** `env` is added to the variables of the helper, too. */
  static async up(
    stateDirectory: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<HelperProcess> {
    const result = await turntable(['up', '--state-dir', stateDirectory], env);
    if (result.code !== 0)
      throw new Error(`The helper did not start:\n${result.stderr.trim() || result.stdout.trim()}`);
    return new HelperProcess(
      stateDirectory,
      await connectHelper(placeOf({ stateDir: stateDirectory }).socketPath),
    );
  }

  /** Returns when the helper's process is gone. Throws, with what `turntable down` said, when it does not go. */
  async down(): Promise<void> {
    this.client.close();
    const result = await turntable(['down', '--state-dir', this.stateDirectory]);
    if (result.code !== 0) throw new Error(`The helper did not go down: ${result.stderr.trim()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}
