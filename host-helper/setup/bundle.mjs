/**
 * Bundles the helper and the CLI (each one file, ESM, for the pinned Node) and asks the extension to bundle itself.
 * Knows entry points and output names only. Writes dist/helper.js, dist/turntable.js and whatever extension/bundle.mjs writes.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as esbuild from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Dependencies that are CommonJS call `require` for Node's own modules: an ES module has to make it. */
const banner = `import { createRequire as turntableCreateRequire } from 'node:module';
const require = turntableCreateRequire(import.meta.url);`;

const entries = [
  { from: 'host-helper/main.ts', to: 'dist/helper.js' },
  { from: 'host-helper/store/image-thread-entry.ts', to: 'dist/image-thread.js' },
  { from: 'host-helper/cli/main.ts', to: 'dist/turntable.js' },
];

async function bundleHelper() {
  for (const { from, to } of entries) {
    if (!existsSync(root + from)) {
      console.log(`${from} is not there; ${to} left out`);
      continue;
    }
    await esbuild.build({
      absWorkingDir: root,
      entryPoints: [from],
      outfile: to,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      banner: { js: banner },
      // Optional natives that ws looks for and does without.
      external: ['bufferutil', 'utf-8-validate'],
      sourcemap: 'linked',
      sourcesContent: false,
      legalComments: 'linked',
      logLevel: 'warning',
    });
  }
}

async function bundleExtension() {
  if (!existsSync(root + 'extension/extension.ts')) {
    console.log('extension/extension.ts is not there; dist/extension.cjs left out');
    return;
  }
  const { bundle } = await import(pathToFileURL(root + 'extension/bundle.mjs').href);
  await bundle();
}

try {
  await bundleHelper();
  await bundleExtension();
} catch (error) {
  // esbuild has printed its own errors, with the lines they are about.
  if (!(error instanceof Error && 'errors' in error)) console.error(error);
  process.exitCode = 1;
}
