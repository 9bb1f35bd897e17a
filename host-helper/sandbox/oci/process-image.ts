/**
 * A dump on disk beside CRIU's own files: which paths were masked when it was taken, so that a restore offers the same mounts, and the words
 * CRIU left when something failed.
 */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Mask } from './bundle.ts';

export const maskSchema = z.object({ path: z.string(), kind: z.enum(['file', 'directory']) });

const shapeName = 'turntable.json';
const shapeSchema = z.object({
  version: z.literal(1),
  masks: z.array(maskSchema),
});

export async function writeShape(imageDirectory: string, masks: readonly Mask[]): Promise<void> {
  const shape = { version: 1, masks };
  await writeFile(join(imageDirectory, shapeName), JSON.stringify(shape), { mode: 0o600 });
}

/** Throws when the directory holds no dump of this backend. */
export async function readShape(imageDirectory: string): Promise<readonly Mask[]> {
  const text = await readFile(join(imageDirectory, shapeName), 'utf8');
  return shapeSchema.parse(JSON.parse(text)).masks;
}

export async function imageSizeBytes(imageDirectory: string): Promise<number> {
  const names = await readdir(imageDirectory);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(imageDirectory, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** CRIU's own reason: the first and the last error lines of its log, without its time stamps. Empty when there are none. */
export async function criuReason(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return criuErrors(text).join('; ');
}

/** Errors that CRIU shrugs off and that would mislead, or that only repeat that it failed. */
const noise = [/Can't setup RLIMIT_NOFILE/, /Dumping FAILED/, /Restoring FAILED/];

export function criuErrors(text: string): string[] {
  const errors = text
    .split('\n')
    .filter((line) => line.includes('Error (') && !noise.some((pattern) => pattern.test(line)))
    .map((line) => line.replace(/^.*?Error \([^)]*\):\s*/, '').trim());
  return errors.length <= 4 ? errors : [...errors.slice(0, 2), ...errors.slice(-2)];
}
