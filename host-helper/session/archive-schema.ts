/**
 * What the frames of a session's archive hold, as schemas: they are parsed when an archive is read, for nobody vouches for
 * where it comes from. Nothing here names a credential: variables of a session are never stored.
 */

import { z } from 'zod';
import { turnSchema } from '../protocol/state.ts';
import { archiveInvalid } from '../store/transfer-errors.ts';
import { positionSchema } from './session-record.ts';

export const archiveLimits = {
  turns: 20_000,
  /** All turns together: every client is sent them. */
  turnBytes: 32 << 20,
  versions: 20_000,
  images: 2_000,
  /** What is said of versions and images, together: the importing helper holds all of it in memory. */
  documentBytes: 256 << 20,
  rootsOfVersion: 32,
} as const;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const index = z.number().int().nonnegative();
const absolutePath = z
  .string()
  .max(4096)
  .refine((path) => /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/.test(path), 'is no plain absolute path');
const topSchema = z.object({ name: z.string().min(1).max(64), entry: z.base64().max(1 << 20) });

export const headerSchema = z.object({
  product: z.string().max(100),
  createdAt: z.number(),
  /** The store's form of objects. */
  form: z.string().max(100),
  host: z.object({ arch: z.string().max(50), kernel: z.string().max(200) }),
  session: z.object({
    title: z.string().max(200),
    workspace: absolutePath,
    home: absolutePath,
    agent: z.string().max(64),
    upstream: z.string().max(2000),
  }),
  head: index,
});
export type ArchiveHeader = z.infer<typeof headerSchema>;

export const versionSchema = z.object({ tops: z.array(topSchema).min(1).max(archiveLimits.rootsOfVersion) });

export const imageSchema = z.object({
  files: z.array(z.object({ path: z.string().min(1).max(1000), size: index, list: hash })).max(10_000),
  /** Programs and libraries of the machine that the processes have mapped: without the very same they cannot come back. */
  needs: z.array(z.object({ path: absolutePath, sizeBytes: index, sha256: hash })).max(50_000),
});
export type ArchiveImage = z.infer<typeof imageSchema>;

export const baseSchema = z.object({
  top: topSchema,
  /** Whether contents are here too, or only what is needed to recognise the folder. */
  contents: z.boolean(),
  masked: z.array(z.string().max(4096)).max(100),
});

export const archivedTurnSchema = z.object({
  turn: turnSchema,
  checkpoint: z
    .object({
      /** Which of the version and image frames, in their order. */
      version: index,
      image: index.optional(),
      position: positionSchema,
      createdAt: z.number(),
    })
    .optional(),
});
export type ArchivedTurn = z.infer<typeof archivedTurnSchema>;

export const endSchema = z.object({
  /** SHA-256 of everything before this frame. */
  digest: hash,
  /** What the archive could not take along, in words. */
  notes: z.array(z.string().max(1000)).max(1000),
});

/** Throws `archiveInvalid`. */
export function parseFrame<Schema extends z.ZodType>(schema: Schema, data: Buffer): z.infer<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(data.toString('utf8'));
  } catch (cause) {
    throw archiveInvalid('it is damaged', cause);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw archiveInvalid('it says something that makes no sense here', parsed.error);
  return parsed.data;
}
