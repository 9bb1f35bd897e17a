/** The tabs of a turn's details, each a function from the turn to a template. Styled by turn-details.ts. */

import { html, nothing, type TemplateResult } from 'lit';
import type { AllChanges } from '../app-state.ts';
import type { ChangedPath, SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { t } from '../text.ts';
import { forecastEmpty, reachedText } from '../view-model/forecast.ts';
import { formatBytes, formatCount, formatDuration, shortPath } from '../view-model/format.ts';
import { baseName } from '../view-model/format.ts';
import { send } from './intents.ts';

/** How many paths are shown before a person asks for all. */
const firstPaths = 12;

/** The changed paths against the turn before; files open in a diff editor. */
export function changesTab(
  from: EventTarget,
  session: SessionState,
  turn: Turn,
  all: AllChanges | undefined,
): TemplateResult {
  const files = turn.effects?.files;
  const total = files ? files.added + files.changed + files.removed : 0;
  if (!files || total === 0) return html`<p class="muted none">${t('No file changed in this turn.')}</p>`;
  const complete = all?.turn === turn.id && all.error === undefined;
  const known = (complete ? all.changes : files.entries).filter((each) => each.agentState !== true);
  const shown = complete ? known : ordered(known, session.workspace).slice(0, firstPaths);
  const target = { sessionId: session.id, turn: turn.id };
  const hidden = Math.max(0, total - shown.length);
  return html`
    <table>
      <thead>
        <tr>
          <th>${t('File')}</th>
          <th class="tight">${t('Change')}</th>
          <th class="tight">${t('Size')}</th>
          <th class="tight"><span class="spoken">${t('Open')}</span></th>
        </tr>
      </thead>
      <tbody>
        ${shown.map(
          (each) =>
            html`<tr>
              <td>${shortPath(each.path, session.workspace)}${each.kind === 'directory' ? '/' : ''}</td>
              <td class="tight ${each.change === 'changed' ? '' : each.change}">${changeWord(each)}</td>
              <td class="tight muted">${each.kind === 'file' ? formatBytes(each.sizeBytes) : each.kind}</td>
              <td class="tight">
                ${
                  each.kind === 'file'
                    ? html`<button
                        class="link"
                        @click=${() => send(from, { type: 'diff', ...target, path: each.path })}
                      >
                        ${t('open diff')}
                      </button>`
                    : nothing
                }
              </td>
            </tr>`,
        )}
        ${
          hidden > 0 && !complete
            ? html`<tr>
                <td class="muted">${t('{0} more', formatCount(hidden))}</td>
                <td></td>
                <td></td>
                <td class="tight">
                  <button class="link" @click=${() => send(from, { type: 'all-changes', ...target })}>
                    ${t('show all')}
                  </button>
                </td>
              </tr>`
            : nothing
        }
      </tbody>
    </table>
    ${all?.turn === turn.id && all.error !== undefined ? html`<p class="error">${all.error}</p>` : nothing}
    ${complete && all.truncated ? html`<p class="muted small">${t('There are more than the helper lists at once.')}</p>` : nothing}
  `;
}

/** What lives on, and what ran. */
export function processesTab(turn: Turn): TemplateResult {
  const processes = turn.effects?.processes;
  if (!processes || (processes.survivors.length === 0 && processes.executedCount === 0)) {
    return html`<p class="muted none">${t('No process ran in this turn.')}</p>`;
  }
  const more = processes.executedCount - processes.executed.length;
  return html`
    ${
      processes.survivors.length > 0
        ? html`<h2 class="eyebrow">${t('Lives on')}</h2>
            <table>
              <tbody>
                ${processes.survivors.map(
                  (each) =>
                    html`<tr>
                      <td class="tight mono">${each.pid}</td>
                      <td class="mono">${each.command}</td>
                      <td class="tight">${each.ports.map((port) => `:${port}`).join(' ')}</td>
                      <td class="tight muted">
                        ${each.startedInTurn ? t('started here') : each.ran ? t('ran') : t('slept')}
                      </td>
                    </tr>`,
                )}
              </tbody>
            </table>`
        : nothing
    }
    ${
      processes.executed.length > 0
        ? html`<h2 class="eyebrow section">${t('Ran')}</h2>
            <table>
              <tbody>
                ${processes.executed.map(
                  (each) =>
                    html`<tr>
                      <td class="mono" title=${each.program}>
                        ${[baseName(each.program), ...each.argv.slice(1)].join(' ')}
                      </td>
                      <td class="tight ${each.exitCode ? 'error' : 'muted'}">
                        ${each.exitCode === undefined ? '' : t('exit {0}', each.exitCode)}
                      </td>
                    </tr>`,
                )}
                ${
                  more > 0
                    ? html`<tr>
                        <td class="muted" colspan="2">${t('{0} more', formatCount(more))}</td>
                      </tr>`
                    : nothing
                }
              </tbody>
            </table>`
        : nothing
    }
  `;
}

/** What the model said and which tools it called. */
export function conversationTab(turn: Turn): TemplateResult {
  const conversation = turn.conversation;
  if (!conversation) return html`<p class="muted none">${t('No model took part in this turn.')}</p>`;
  return html`
    ${conversation.error === undefined ? nothing : html`<p class="error said" role="status">${conversation.error}</p>`}
    ${conversation.text ? html`<p class="said">${conversation.text}</p>` : nothing}
    ${conversation.toolCalls.map(
      (call) =>
        html`<h2 class="small">
            <strong>${call.name}</strong> <span class="mono muted">${call.summary}</span>
          </h2>
          <pre>${call.input}</pre>`,
    )}
    ${conversation.model ? html`<p class="muted small">${conversation.model}</p>` : nothing}
  `;
}

/** Hosts reached: a rewind does not take these back. */
export function leftTab(turn: Turn): TemplateResult {
  const reached = turn.effects?.network ?? [];
  if (reached.length === 0) return html`<p class="muted none">${forecastEmpty()}</p>`;
  return html`
    <p class="small muted">${t('A rewind does not take these back.')}</p>
    <table>
      <tbody>
        ${reached.map(
          (each) =>
            html`<tr>
              <td>${reachedText(each)}</td>
              <td class="tight ${each.allowed ? 'caution' : 'muted'}">
                ${each.allowed ? t('left the machine') : t('refused')}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
  `;
}

/** What the turn's checkpoint and model call cost. */
export function costTab(turn: Turn): TemplateResult {
  const { checkpoint, conversation } = turn;
  const rows: [string, string][] = [];
  if (checkpoint) {
    rows.push([
      t('Stored'),
      checkpoint.reused ? t('nothing: the checkpoint before it serves') : formatBytes(checkpoint.bytesStored),
    ]);
    rows.push([t('Deciding what to keep'), formatDuration(checkpoint.inspectMs)]);
    rows.push([t('Capturing files'), formatDuration(checkpoint.filesMs)]);
    rows.push([
      t('Dumping processes'),
      checkpoint.hasProcesses ? formatDuration(checkpoint.processesMs) : t('not needed'),
    ]);
    rows.push([t('Reply held back'), formatDuration(checkpoint.heldMs)]);
  }
  if (conversation?.inputTokens !== undefined)
    rows.push([t('Tokens in'), formatCount(conversation.inputTokens)]);
  if (conversation?.outputTokens !== undefined)
    rows.push([t('Tokens out'), formatCount(conversation.outputTokens)]);
  if (turn.endedAt !== undefined)
    rows.push([t('The turn took'), formatDuration(turn.endedAt - turn.startedAt)]);
  if (rows.length === 0) return html`<p class="muted none">${t('Nothing yet.')}</p>`;
  return html`<table>
    <tbody>
      ${rows.map(
        ([what, value]) =>
          html`<tr>
            <td class="tight muted">${what}</td>
            <td>${value}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function changeWord(each: ChangedPath): string {
  switch (each.change) {
    case 'added':
      return t('added');
    case 'changed':
      return t('changed');
    case 'removed':
      return t('removed');
  }
}

/** The person's own folder first, files before directories. */
function ordered(changes: ChangedPath[], workspace: string): ChangedPath[] {
  const rank = (each: ChangedPath): number =>
    (each.path.startsWith(`${workspace}/`) ? 0 : 2) + (each.kind === 'directory' ? 1 : 0);
  return changes.toSorted((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path));
}
