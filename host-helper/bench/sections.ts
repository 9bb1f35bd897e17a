/** Every part of the benchmark, in the order in which it runs. A new one is a file in sections/ and a line here. */

import { branches } from './sections/branches.ts';
import { colocation } from './sections/colocation.ts';
import { corpus } from './sections/corpus.ts';
import { files } from './sections/files.ts';
import { overhead } from './sections/overhead.ts';
import { peers } from './sections/peers.ts';
import { recovery } from './sections/recovery.ts';
import { sample } from './sections/sample.ts';
import type { Section } from './section.ts';

export const sections: readonly Section[] = [
  // What is measured by ratios of short runs goes before what leaves the disk busy.
  overhead,
  corpus,
  sample,
  recovery,
  branches,
  colocation,
  peers,
  files,
];
