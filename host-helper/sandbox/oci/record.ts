/**
 * What a sandbox must remember for a later helper: `sandbox.json` in its directory, written whole or not at all.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { TurntableError } from '../../protocol/errors.ts';
import { maskSchema } from './process-image.ts';
import { processIdentitySchema } from './process-identity.ts';

const recordSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  /** Which upper and work directory each overlay root uses now. */
  generations: z.record(z.string(), z.int().nonnegative()),
  /** Paths that are masked in the running container. */
  masks: z.array(maskSchema).optional(),
  /** The process that holds the doors open. */
  doors: processIdentitySchema.optional(),
});

export type SandboxRecord = z.infer<typeof recordSchema>;

/** Undefined when there is none. Throws `sandboxFailed` when it cannot be understood. */
export async function readRecord(path: string): Promise<SandboxRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new TurntableError(
      'sandboxFailed',
      `${path} cannot be understood. It may come from another version; delete the session or use that version.`,
      { cause },
    );
  }
}

export async function writeRecord(path: string, record: SandboxRecord): Promise<void> {
  await writeWhole(path, record);
}

/** A JSON file that is there whole, old or new, whenever the power goes. */
export async function writeWhole(path: string, value: object): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
