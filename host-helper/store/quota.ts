/**
 * How much more the store may take: up to a limit of its own, and never the last of the disk. Owns measuring and the refusal;
 * what to remove when there is no room is decided elsewhere.
 */

import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TurntableError } from '../protocol/errors.ts';

export interface StoreLimits {
  /** Contents, images and metadata together; undefined: as much as there is. */
  readonly maxStoreBytes?: number | undefined;
  /** Free space of the disk that checkpoints leave alone. Default: 5 % of the disk, at most 1 GiB. */
  readonly reserveFreeBytes?: number | undefined;
}

export interface StoreUsage {
  /** Metadata, packs, and images that an earlier version kept whole; not what the database has free inside. */
  readonly storeBytes: number;
  /** Copies that make restores quick and go first when room is short. */
  readonly cacheBytes: number;
  readonly maxStoreBytes: number | undefined;
  readonly freeBytes: number;
  readonly reserveFreeBytes: number;
  /** How many more bytes a checkpoint may add to packs. */
  readonly roomBytes: number;
}

/** How many more bytes may be added. */
export interface Room {
  readonly packs: number;
  /** These also take the place of removed ones, which the database keeps instead of giving it back to the disk. */
  readonly rows: number;
}

export interface Quota {
  /** `addedBytes`: what was added since the start, so that not everything needs measuring again. */
  room(addedBytes: number): Room;
  refusal(addedBytes: number): TurntableError;
}

const defaultReserveShare = 0.05;
const maxDefaultReserveBytes = 1 << 30;
const blockBytes = 512;

/** What only the database knows. */
export interface DatabaseUse {
  /** What it has free inside. */
  reusableBytes(): number;
  /** Directories of images that an earlier version kept whole. */
  wholeImages(): readonly string[];
}

export class StoreQuota implements Quota {
  readonly #directory: string;
  readonly #limits: StoreLimits;
  readonly #use: DatabaseUse;
  #measured: { readonly bytes: number; readonly addedBytes: number } | undefined;

  constructor(directory: string, limits: StoreLimits, use: DatabaseUse) {
    this.#directory = directory;
    this.#limits = limits;
    this.#use = use;
  }

  room(addedBytes: number): Room {
    const { freeBytes, reserveFreeBytes } = this.#disk();
    const { maxStoreBytes } = this.#limits;
    const onDisk = Math.max(0, freeBytes - reserveFreeBytes);
    const below =
      maxStoreBytes === undefined ? Infinity : Math.max(0, maxStoreBytes - this.#storeBytes(addedBytes));
    return { packs: Math.min(onDisk, below), rows: Math.min(onDisk + this.#use.reusableBytes(), below) };
  }

  /** Something was removed: measure again. */
  changed(): void {
    this.#measured = undefined;
  }

  usage(addedBytes: number, cacheBytes: number): StoreUsage {
    this.changed();
    const { freeBytes, reserveFreeBytes } = this.#disk();
    return {
      storeBytes: this.#storeBytes(addedBytes),
      cacheBytes,
      maxStoreBytes: this.#limits.maxStoreBytes,
      freeBytes,
      reserveFreeBytes,
      roomBytes: this.room(addedBytes).packs,
    };
  }

  refusal(addedBytes: number): TurntableError {
    const usage = this.usage(addedBytes, 0);
    const { freeBytes, reserveFreeBytes, maxStoreBytes } = usage;
    const kept = 'Nothing of this step was kept; earlier checkpoints are intact.';
    if (maxStoreBytes === undefined || isDiskTheLimit(usage)) {
      const room = mebibytes(Math.max(0, freeBytes - reserveFreeBytes));
      return new TurntableError(
        'quotaExceeded',
        `The disk with the state directory is full, or would be: ${room} free beside the reserve of ${mebibytes(reserveFreeBytes)}. ${kept} Free some space (\`turntable gc\`, \`turntable session rm\`), then try again.`,
        { data: { freeBytes, reserveFreeBytes } },
      );
    }
    return new TurntableError(
      'quotaExceeded',
      `The checkpoints would take more than ${mebibytes(maxStoreBytes)}, their quota. ${kept} Make room (\`turntable gc\`, \`turntable session rm\`) or raise maxStoreBytes in the retention file, then try again.`,
      { data: { maxStoreBytes } },
    );
  }

  #disk(): { readonly freeBytes: number; readonly reserveFreeBytes: number } {
    const { bavail, blocks, bsize } = statfsSync(this.#directory);
    const usual = Math.min(maxDefaultReserveBytes, Math.floor(blocks * bsize * defaultReserveShare));
    return { freeBytes: bavail * bsize, reserveFreeBytes: this.#limits.reserveFreeBytes ?? usual };
  }

  #storeBytes(addedBytes: number): number {
    if (!this.#measured) {
      const bytes = measure(this.#directory, this.#use.wholeImages()) - this.#use.reusableBytes();
      this.#measured = { bytes, addedBytes };
    }
    return this.#measured.bytes + (addedBytes - this.#measured.addedBytes);
  }
}

/** Whether the disk leaves less room than the quota: then giving up checkpoints is no remedy. */
export function isDiskTheLimit(usage: {
  readonly storeBytes: number;
  readonly maxStoreBytes?: number | undefined;
  readonly freeBytes: number;
  readonly reserveFreeBytes: number;
}): boolean {
  const { storeBytes, maxStoreBytes, freeBytes, reserveFreeBytes } = usage;
  return maxStoreBytes === undefined || freeBytes - reserveFreeBytes <= maxStoreBytes - storeBytes;
}

/** For a store that may take all there is. */
export const noQuota: Quota = {
  room: () => ({ packs: Number.MAX_SAFE_INTEGER, rows: Number.MAX_SAFE_INTEGER }),
  refusal: () => new TurntableError('quotaExceeded', 'There is no quota. Try again.'),
};

/** Blocks of metadata, packs and whole images. */
function measure(directory: string, wholeImages: readonly string[]): number {
  const files = [directory, join(directory, 'packs')].flatMap((folder) => filesIn(folder, false));
  files.push(
    ...wholeImages.filter((folder) => existsSync(folder)).flatMap((folder) => filesIn(folder, true)),
  );
  const blocks = files.map((path) => statSync(path, { throwIfNoEntry: false })?.blocks ?? 0);
  return blocks.reduce((sum, each) => sum + each, 0) * blockBytes;
}

function filesIn(folder: string, recursive: boolean): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
