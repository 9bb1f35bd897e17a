/** "If you rewind here", in words: from the helper's preview to lines with a subject and what becomes of it. Pure. */

import type { ReachedHost } from '../../host-helper/protocol/state.ts';
import type { RewindPreview } from '../messages.ts';
import { t } from '../text.ts';
import { formatCount, shortPath } from './format.ts';
import { survivorName } from './turn-facts.ts';

export interface ForecastLine {
  what: string;
  detail: string;
  tone: 'plain' | 'caution';
}

/** The lines, most weighty last: files, processes, the person's own changes, what stays done. */
export function forecastLines(preview: RewindPreview, workspace: string): ForecastLine[] {
  const lines: ForecastLine[] = [];
  const all = preview.changes.filter((each) => each.agentState !== true);
  const files = all.filter((each) => !isGitRecord(each.path));
  const records = all.length - files.length;
  const gone = files.filter((each) => each.change === 'removed');
  const back = files.filter((each) => each.change !== 'removed');
  if (files.length > 0) {
    lines.push({
      what: fileWords(back.length, gone.length, preview.truncated),
      // The person's own folder first.
      detail: listed(
        files
          .map((each) => shortPath(each.path, workspace))
          .toSorted((a, b) => Number(a.startsWith('/')) - Number(b.startsWith('/'))),
      ),
      tone: 'plain',
    });
  } else if (records === 0) {
    lines.push({ what: t('No file changes'), detail: '', tone: 'plain' });
  }
  if (records > 0) {
    lines.push({
      what: t("git's own records go back"),
      detail: t('commits and refs: {0} files', formatCount(records)),
      tone: 'plain',
    });
  }
  for (const survivor of preview.processesBack) {
    lines.push({
      what: t('{0} comes back with its memory', survivorName(survivor)),
      detail: t('from this checkpoint'),
      tone: 'plain',
    });
  }
  for (const survivor of preview.processesLost) {
    lines.push({ what: t('{0} stops', survivorName(survivor)), detail: survivor.command, tone: 'plain' });
  }
  if (preview.turnsSetAside.length > 0) {
    lines.push({
      what:
        preview.turnsSetAside.length === 1
          ? t('1 turn is set aside')
          : t('{0} turns are set aside', preview.turnsSetAside.length),
      detail: t('kept, and can be redone'),
      tone: 'plain',
    });
  }
  if (preview.outsideChanges.length > 0) {
    lines.push({
      what:
        preview.outsideChanges.length === 1
          ? t('You changed {0} yourself since', shortPath(preview.outsideChanges[0] ?? '', workspace))
          : t('You changed {0} files yourself since', preview.outsideChanges.length),
      detail: t('you are asked what becomes of it'),
      tone: 'caution',
    });
  }
  const left = mergeReached(preview.leftTheMachine.filter((each) => each.allowed));
  if (left.length > 0) {
    lines.push({
      what:
        left.length === 1
          ? t('1 thing left the machine and stays done')
          : t('{0} things left the machine and stay done', left.length),
      detail: left.map(reachedText).join(', '),
      tone: 'caution',
    });
  }
  return lines;
}

/** What git keeps for itself: one fact to a person, however many files it is. */
export function isGitRecord(path: string): boolean {
  return path.includes('/.git/') || path.endsWith('/.git');
}

/** One line for a narrow place. */
export function forecastSummary(preview: RewindPreview, workspace: string): string {
  return forecastLines(preview, workspace)
    .map((line) => line.what)
    .join(' \u00b7 ');
}

/** One entry a host and method: several turns may have reached the same. */
function mergeReached(reached: ReachedHost[]): ReachedHost[] {
  const merged = new Map<string, ReachedHost>();
  for (const each of reached) {
    const key = `${each.method ?? ''} ${each.host}:${each.port}`;
    merged.set(key, { ...each, count: each.count + (merged.get(key)?.count ?? 0) });
  }
  return [...merged.values()];
}

/** `POST api.example.com (2\u00d7)`. */
export function reachedText(reached: ReachedHost): string {
  const port = reached.port === 443 || reached.port === 80 ? '' : `:${reached.port}`;
  const times = reached.count > 1 ? ` (${formatCount(reached.count)}\u00d7)` : '';
  return `${reached.method ? `${reached.method} ` : ''}${reached.host}${port}${times}`;
}

function fileWords(back: number, gone: number, truncated: boolean): string {
  const more = truncated ? '+' : '';
  const goesBack = back === 1 ? t('1 file goes back') : t('{0} files go back', `${formatCount(back)}${more}`);
  const disappears =
    gone === 1 ? t('1 file disappears') : t('{0} files disappear', `${formatCount(gone)}${more}`);
  if (back === 0) return disappears;
  return gone === 0 ? goesBack : `${goesBack}, ${disappears}`;
}

function listed(paths: string[]): string {
  const shown = paths.slice(0, 4).join(', ');
  return paths.length > 4 ? `${shown} ${t('+{0} more', formatCount(paths.length - 4))}` : shown;
}

/** What a turn says that reached nothing. */
export function forecastEmpty(): string {
  return t('Nothing left the machine in this turn.');
}
