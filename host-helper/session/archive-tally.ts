/**
 * Counts the frames of an archive against what an import takes. Both ends count, so that no export says it is done with
 * something that nobody can read.
 */

import { frameType } from './archive-frames.ts';
import { archiveLimits } from './archive-schema.ts';

export class ArchiveTally {
  #turns = 0;
  #turnBytes = 0;
  #versions = 0;
  #images = 0;
  #documentBytes = 0;

  /** One more frame, of so many bytes. Returns why that is too much, to follow "it has"; undefined while it fits. */
  add(type: number, bytes: number): string | undefined {
    switch (type) {
      case frameType.turn:
        this.#turns += 1;
        this.#turnBytes += bytes;
        if (this.#turns <= archiveLimits.turns && this.#turnBytes <= archiveLimits.turnBytes)
          return undefined;
        return 'more turns than can be shown';
      case frameType.version:
      case frameType.image:
        if (type === frameType.version) this.#versions += 1;
        else this.#images += 1;
        this.#documentBytes += bytes;
        if (this.#versions > archiveLimits.versions) return 'too many file versions';
        if (this.#images > archiveLimits.images) return 'too many process images';
        if (this.#documentBytes > archiveLimits.documentBytes)
          return 'more versions and images than can be held';
        return undefined;
      default:
        return undefined;
    }
  }
}
