/**
 * Bundles what VS Code loads: the extension (CommonJS, for the extension host) and the webview's app (for a browser).
 * Exports `bundle` for other scripts; run as a script it bundles once, or with `--watch` until it is stopped.
 * Owns only dist/extension.cjs and dist/webview/.
 */

import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

const shared = {
  absWorkingDir: root,
  bundle: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
};

/** The two bundles, as esbuild options. */
export const bundles = [
  {
    ...shared,
    entryPoints: ['extension/extension.ts'],
    outfile: 'dist/extension.cjs',
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    // `vscode` comes from the host; the other two are optional natives that ws looks for and does without.
    external: ['vscode', 'bufferutil', 'utf-8-validate'],
  },
  {
    ...shared,
    entryPoints: { timeline: 'webview/timeline.ts', 'timeline-page': 'webview/timeline-page.css' },
    outdir: 'dist/webview',
    platform: 'browser',
    format: 'esm',
    target: 'chrome128',
    minify: true,
  },
];

/** Bundles both once. Throws when a bundle fails; esbuild has printed why. */
export async function bundle() {
  await Promise.all(bundles.map((options) => esbuild.build(options)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--watch')) {
    for (const options of bundles) {
      const context = await esbuild.context(options);
      await context.watch();
    }
  } else {
    await bundle();
  }
}
