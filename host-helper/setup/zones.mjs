/**
 * Who may import what: the architecture as a table, and the lint rule that holds the code to it.
 * A TypeScript file in no zone fails, so a new folder has to say where it stands. Knows paths and import specifiers only.
 */

import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

const node = /^node:/;

/**
 * First match wins. `may` lists folders and files whose files may be imported besides the zone's own; `packages` the
 * package specifiers (RegExp). `not` wins over both.
 * @type {readonly { name: string, files: RegExp, may: readonly string[], packages: readonly RegExp[], not?: readonly { from: RegExp, why: string }[] }[]}
 */
export const zones = [
  { name: 'protocol', files: /^host-helper\/protocol\//, may: [], packages: [/^zod$/] },
  { name: 'oci backend', files: /^host-helper\/sandbox\/oci\//, may: ['host-helper/'], packages: [/./], not: otherBackends('oci') },
  { name: 'docker backend', files: /^host-helper\/sandbox\/docker\//, may: ['host-helper/'], packages: [/./], not: otherBackends('docker') },
  { name: 'microvm backend', files: /^host-helper\/sandbox\/microvm\//, may: ['host-helper/'], packages: [/./], not: otherBackends('microvm') },
  { name: 'sandbox interface', files: /^host-helper\/sandbox\/[^/]+\.ts$/, may: ['host-helper/protocol/'], packages: [node], not: otherBackends('') },
  { name: 'command line', files: /^host-helper\/cli\//, may: ['host-helper/protocol/', 'host-helper/main.ts', 'host-helper/log.ts'], packages: [node, /^(commander|cli-table3|ws|zod)$/] },
  { name: 'helper', files: /^host-helper\//, may: [], packages: [/./], not: [{ from: /^vscode$/, why: 'the helper runs without VS Code' }] },
  { name: 'webview', files: /^webview\//, may: ['host-helper/protocol/'], packages: [/^(lit|zod)(\/|$)/, /^@vscode\/webview-ui-toolkit/] },
  { name: 'extension', files: /^extension\//, may: ['host-helper/protocol/', 'webview/messages.ts'], packages: [node, /^(vscode|ws|zod)$/] },
  { name: 'tests', files: /^test\//, may: ['host-helper/', 'extension/', 'webview/', 'bpf/'], packages: [/./] },
  { name: 'bpf', files: /^bpf\//, may: ['host-helper/inspector/'], packages: [node] },
];

function otherBackends(own) {
  const others = ['oci', 'docker', 'microvm'].filter((name) => name !== own).join('|');
  return [{ from: new RegExp(`^host-helper/sandbox/(${others})/`), why: 'sandbox backends know only sandbox.ts, never each other' }];
}

/** The zone of a path relative to the project's root, with forward slashes, or undefined. */
export function zoneOf(path) {
  return zones.find((zone) => zone.files.test(path));
}

/**
 * Why `path` may not import `specifier`, or undefined when it may.
 * @param {string} path relative to the project's root
 * @param {string} specifier as written
 */
export function refusal(path, specifier) {
  const zone = zoneOf(path);
  if (zone === undefined) return `${path} is in no zone: give its folder one in host-helper/setup/zones.mjs.`;
  const local = specifier.startsWith('.');
  const target = local ? relative(root, resolve(root, dirname(path), specifier)).split(sep).join('/') : specifier;
  for (const { from, why } of zone.not ?? []) {
    if (from.test(target)) return `The ${zone.name} zone must not import ${target}: ${why}.`;
  }
  const allowed = local
    ? zone.files.test(target) || zone.may.some((prefix) => target === prefix || (prefix.endsWith('/') && target.startsWith(prefix)))
    : zone.packages.some((pattern) => pattern.test(specifier));
  return allowed ? undefined : `The ${zone.name} zone must not import ${target} (host-helper/setup/zones.mjs says what it may).`;
}

/** ESLint plugin with one rule, `imports`. */
export const zonesPlugin = {
  rules: {
    imports: {
      meta: { type: 'problem', schema: [] },
      create(context) {
        const path = relative(root, context.filename).split(sep).join('/');
        const check = (source) => {
          if (typeof source?.value !== 'string') return;
          const message = refusal(path, source.value);
          if (message !== undefined) context.report({ node: source, message });
        };
        return {
          Program(program) {
            if (zoneOf(path) === undefined) context.report({ node: program, message: refusal(path, './x') });
          },
          ImportDeclaration: (statement) => check(statement.source),
          ExportNamedDeclaration: (statement) => check(statement.source),
          ExportAllDeclaration: (statement) => check(statement.source),
          ImportExpression: (expression) => check(expression.source),
          TSImportType: (type) => check(type.source ?? type.argument?.literal),
        };
      },
    },
  },
};
