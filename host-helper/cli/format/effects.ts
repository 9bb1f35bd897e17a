/** Effect classes and changes as short text. The shapes are the timeline's own. */

import type { ChangedPath, EffectClass, Effects, Survivor } from '../../protocol/state.ts';
import { printable, type Style } from './style.ts';
import { formatSize, plural } from './units.ts';

const shapes: Record<EffectClass, string> = { none: '○', files: '◐', processes: '●', full: '●' };

/** `◐ files`, coloured; `·` while the class is not known yet. */
export function formatClass(effectClass: EffectClass | undefined, style: Style): string {
  if (!effectClass) return style.faint('·');
  const text = `${shapes[effectClass]} ${effectClass}`;
  const paint = { none: style.faint, files: style.accent, processes: style.process, full: style.warn }[
    effectClass
  ];
  return paint(text);
}

/** `+1 ~2 −3`, without the zeros; empty when nothing changed. */
export function formatChangeCounts(
  files: Pick<Effects['files'], 'added' | 'changed' | 'removed'>,
  style: Style,
): string {
  return [
    files.added > 0 ? style.good(`+${files.added}`) : '',
    files.changed > 0 ? style.warn(`~${files.changed}`) : '',
    files.removed > 0 ? style.bad(`−${files.removed}`) : '',
  ]
    .filter(Boolean)
    .join(' ');
}

/** `+ path  1.2 kB`, one line. Paths in `workspace` are shown from there. */
export function formatChange(change: ChangedPath, workspace: string, style: Style): string {
  const sign = { added: style.good('+'), changed: style.warn('~'), removed: style.bad('−') }[change.change];
  const size =
    change.kind === 'file' && change.change !== 'removed'
      ? style.faint(`  ${formatSize(change.sizeBytes)}`)
      : '';
  const kind = { file: '', directory: '/', symlink: ' (symlink)', other: ' (special)' }[change.kind];
  const own = change.agentState ? style.faint("  agent's own") : '';
  return `${sign} ${printable(shortPath(change.path, workspace))}${kind}${size}${own}`;
}

/** The path from the workspace on, or as it is elsewhere. */
export function shortPath(path: string, workspace: string): string {
  return path.startsWith(workspace + '/') ? path.slice(workspace.length + 1) : path;
}

/** `node server.js (pid 12, port 3000)`. */
export function formatSurvivor(survivor: Survivor): string {
  const ports = survivor.ports.length > 0 ? `, port ${survivor.ports.join(', ')}` : '';
  return `${printable(survivor.command)} (pid ${survivor.pid}${ports})`;
}

/** One line: `◐ files · 1 added, 2 changed · 1 process left running · example.com:443`. */
export function summarizeEffects(
  effects: Effects | undefined,
  effectClass: EffectClass | undefined,
  style: Style,
): string {
  const parts = [formatClass(effectClass, style)];
  if (effects) {
    const { files, processes, network } = effects;
    const counts = [
      files.added > 0 ? `${files.added} added` : '',
      files.changed > 0 ? `${files.changed} changed` : '',
      files.removed > 0 ? `${files.removed} removed` : '',
    ].filter(Boolean);
    if (counts.length > 0) parts.push(counts.join(', '));
    if (processes.survivors.length > 0) {
      parts.push(`${plural(processes.survivors.length, 'process', 'processes')} left running`);
    }
    const reached = network
      .filter((host) => host.allowed)
      .map((host) => printable(`${host.host}:${host.port}`));
    if (reached.length > 0) parts.push(`reached ${reached.join(', ')}`);
    const refused = network.length - reached.length;
    if (refused > 0) parts.push(style.warn(`${plural(refused, 'host')} refused`));
    if (effects.uncertain.length > 0)
      parts.push(style.warn(`not sure: ${printable(effects.uncertain.join('; '))}`));
  }
  return parts.join(style.faint(' · '));
}
