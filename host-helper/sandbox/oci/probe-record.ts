/**
 * Remembers that this host passed the probe, so that a helper that is started again is there at once: it holds for the boot, the
 * programs and the rights it was tried with, and only a pass is remembered. Knows nothing of how is tried.
 */
import { readFile, realpath, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { z } from 'zod';
import { writeWhole } from './record.ts';

const probeRecordSchema = z.object({ passedWith: z.string() });

export interface ProbedWith {
  readonly stateDirectory: string;
  /** By name or path. */
  readonly programs: readonly string[];
}

export async function passedBefore(probed: ProbedWith): Promise<boolean> {
  const text = await readFile(recordPath(probed), 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  try {
    return probeRecordSchema.parse(JSON.parse(text)).passedWith === (await surroundings(probed));
  } catch {
    return false;
  }
}

export async function rememberPass(probed: ProbedWith): Promise<void> {
  const passedWith = await surroundings(probed);
  if (passedWith !== undefined) await writeWhole(recordPath(probed), { passedWith });
}

function recordPath({ stateDirectory }: ProbedWith): string {
  return join(stateDirectory, 'probe.json');
}

/** Everything that could make the outcome another one; undefined when it cannot be told. */
async function surroundings({ stateDirectory, programs }: ProbedWith): Promise<string | undefined> {
  try {
    const [boot, status, place, ...identities] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile('/proc/self/status', 'utf8'),
      stat(stateDirectory),
      ...programs.map(identityOf),
    ]);
    const rights = status.split('\n').filter((line) => /^(CapEff|CapBnd|Seccomp|NoNewPrivs):/.test(line));
    return [boot.trim(), place.dev, ...rights, ...identities].join(' ');
  } catch {
    return undefined;
  }
}

async function identityOf(program: string): Promise<string> {
  const candidates = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '').split(delimiter).map((directory) => join(directory, program));
  for (const candidate of candidates) {
    const path = await realpath(candidate).catch(() => undefined);
    if (path === undefined) continue;
    const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
    return `${path}:${dev}:${ino}:${size}:${ctimeNs}`;
  }
  return `${program}:absent`;
}
