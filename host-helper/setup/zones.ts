/**
 * Who may import what: the architecture as a table, which eslint.config.js and test/unit/setup/zones.test.ts hold the code to.
 * A TypeScript file in no zone fails, so a new folder has to say where it stands. Knows paths and import specifiers only.
 */

import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

const node = /^node:/;

interface Ban {
  /** A path relative to the project's root, or a package specifier. */
  readonly from: RegExp;
  readonly why: string;
}

export interface Zone {
  readonly name: string;
  /** Its files, as paths relative to the project's root, with forward slashes. */
  readonly files: RegExp;
  /** Folders (ending in a slash) and files it may import besides its own. */
  readonly may: readonly string[];
  /** Package specifiers it may import. */
  readonly packages: readonly RegExp[];
  /** Wins over `may` and `packages`. */
  readonly not?: readonly Ban[];
}

/** First match wins. */
export const zones: readonly Zone[] = [
  { name: 'protocol', files: /^host-helper\/protocol\//, may: [], packages: [/^zod$/] },
  {
    name: 'oci backend',
    files: /^host-helper\/sandbox\/oci\//,
    may: ['host-helper/'],
    packages: [/./],
    not: otherBackends('oci'),
  },
  {
    name: 'docker backend',
    files: /^host-helper\/sandbox\/docker\//,
    may: ['host-helper/'],
    packages: [/./],
    not: otherBackends('docker'),
  },
  {
    name: 'microvm backend',
    files: /^host-helper\/sandbox\/microvm\//,
    may: ['host-helper/'],
    packages: [/./],
    not: otherBackends('microvm'),
  },
  {
    name: 'sandbox interface',
    files: /^host-helper\/sandbox\/[^/]+\.ts$/,
    may: ['host-helper/protocol/'],
    packages: [node],
    not: otherBackends(''),
  },
  {
    name: 'command line',
    files: /^host-helper\/cli\//,
    may: ['host-helper/protocol/', 'host-helper/main.ts', 'host-helper/log.ts'],
    packages: [node, /^(commander|cli-table3|node-diff3|ws|zod)$/],
  },
  {
    name: 'helper',
    files: /^host-helper\//,
    may: [],
    packages: [/./],
    not: [{ from: /^vscode$/, why: 'the helper runs without VS Code' }],
  },
  {
    name: 'webview',
    files: /^webview\//,
    may: ['host-helper/protocol/'],
    packages: [/^(lit|zod)(\/|$)/, /^@vscode\/webview-ui-toolkit/],
  },
  {
    name: 'extension',
    files: /^extension\//,
    may: ['host-helper/protocol/', 'webview/messages.ts'],
    packages: [node, /^(vscode|ws|zod)$/],
  },
  {
    name: 'tests',
    files: /^test\//,
    may: ['host-helper/', 'extension/', 'webview/', 'bpf/'],
    packages: [/./],
  },
  { name: 'bpf', files: /^bpf\//, may: ['host-helper/inspector/'], packages: [node] },
];

function otherBackends(own: string): readonly Ban[] {
  const others = ['oci', 'docker', 'microvm'].filter((name) => name !== own).join('|');
  return [
    {
      from: new RegExp(`^host-helper/sandbox/(${others})/`),
      why: 'sandbox backends know only sandbox.ts, never each other',
    },
  ];
}

/** The zone of a path relative to the project's root, with forward slashes, or undefined. */
export function zoneOf(path: string): Zone | undefined {
  return zones.find((zone) => zone.files.test(path));
}

/** Why `path` (relative to the project's root) may not import `specifier` (as written), or undefined when it may. */
export function refusal(path: string, specifier: string): string | undefined {
  const zone = zoneOf(path);
  if (zone === undefined) return `${path} is in no zone: give its folder one in host-helper/setup/zones.ts.`;
  const local = specifier.startsWith('.');
  const target = local
    ? relative(root, resolve(root, dirname(path), specifier))
        .split(sep)
        .join('/')
    : specifier;
  for (const { from, why } of zone.not ?? []) {
    if (from.test(target)) return `The ${zone.name} zone must not import ${target}: ${why}.`;
  }
  const allowed = local
    ? zone.files.test(target) ||
      zone.may.some((prefix) => target === prefix || (prefix.endsWith('/') && target.startsWith(prefix)))
    : zone.packages.some((pattern) => pattern.test(specifier));
  return allowed
    ? undefined
    : `The ${zone.name} zone must not import ${target} (host-helper/setup/zones.ts says what it may).`;
}
