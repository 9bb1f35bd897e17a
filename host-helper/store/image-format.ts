/**
 * How a process image lies in the store. All its files, in order of their paths, are one row of pages (each file begins with a
 * page of its own). Pages are kept by content; runs of page hashes are lists, kept by content too, and end where the content
 * says so: pages that come or go in between leave the lists around them as they were. Knows shapes only.
 */

import { z } from 'zod';
import { damaged } from './database.ts';
import type { ChunkHash } from './chunk-reader.ts';

/** A page list ends after a page whose hash begins with so many zero bits, on average after 32 pages. */
const endMask = 0x1f;
export const maxListPages = 256;
export const hashBytes = 32;
/** Stands for a page of zeros. */
export const zeroHash: ChunkHash = '\0'.repeat(hashBytes);

const currentSchema = z.object({ format: z.literal(2), manifest: z.string(), root: z.string() });
/** Of earlier versions: every file with a flat list of its pages. */
const legacySchema = z.array(z.object({ path: z.string(), size: z.number(), list: z.string() }));
const packedSchema = z.union([currentSchema, legacySchema]);

/** Hashes (hex) of the manifest, and of the list of page lists. */
export type ImageRoot = z.infer<typeof currentSchema>;
export type LegacyImage = z.infer<typeof legacySchema>;

const manifestSchema = z.array(z.tuple([z.string(), z.number()]));
/** Path below the image and size of every file, in the order of their pages. */
export type Manifest = z.infer<typeof manifestSchema>;

export function parsePacked(text: string): ImageRoot | LegacyImage {
  const parsed = packedSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw damaged('The description of a process image cannot be read', parsed.error);
  return parsed.data;
}

export function isLegacy(image: ImageRoot | LegacyImage): image is LegacyImage {
  return Array.isArray(image);
}

export function encodeManifest(manifest: Manifest): Buffer {
  return Buffer.from(JSON.stringify(manifest));
}

export function decodeManifest(data: Buffer): Manifest {
  const parsed = manifestSchema.safeParse(JSON.parse(data.toString('utf8')));
  if (!parsed.success) throw damaged('The manifest of a process image cannot be read', parsed.error);
  // It names files to be made: nothing but plain paths below the image.
  for (const [path] of parsed.data)
    if (path.startsWith('/') || path.split('/').some((part) => part === '' || part === '.' || part === '..'))
      throw damaged(`The manifest of a process image names ${path}`);
  return parsed.data;
}

export function endsList(page: ChunkHash, pagesSoFar: number): boolean {
  return (page.charCodeAt(0) & endMask) === 0 || pagesSoFar >= maxListPages;
}

export function encodeHashes(hashes: readonly ChunkHash[]): Buffer {
  return Buffer.from(hashes.join(''), 'latin1');
}

export function decodeHashes(data: Buffer): ChunkHash[] {
  if (data.length % hashBytes !== 0) throw damaged('A list of a process image is cut short');
  const text = data.toString('latin1');
  const hashes: ChunkHash[] = [];
  for (let at = 0; at < text.length; at += hashBytes) hashes.push(text.slice(at, at + hashBytes));
  return hashes;
}
