/**
 * The look that all components share: the editor's theme tokens under our own names, text sizes, focus, motion.
 * No colour is written here but as a fall-back for a token that a theme leaves out.
 */

import { css } from 'lit';

export const theme = css`
  :host {
    --tt-text: var(--vscode-foreground);
    --tt-strong: var(--vscode-sideBarTitle-foreground, var(--vscode-foreground));
    --tt-muted: var(--vscode-descriptionForeground);
    --tt-line: var(
      --vscode-widget-border,
      var(--vscode-sideBarSectionHeader-border, var(--vscode-panel-border))
    );
    --tt-rail: var(--vscode-tree-indentGuidesStroke, var(--vscode-descriptionForeground));
    --tt-none: var(--vscode-descriptionForeground);
    --tt-files: var(--vscode-charts-blue);
    --tt-processes: var(--vscode-charts-purple);
    /* Not charts.orange: its default follows the minimap's search colour, which some themes make a dim brown. */
    --tt-full: var(--vscode-symbolIcon-classForeground, var(--vscode-charts-orange));
    --tt-ask: var(--vscode-charts-yellow);
    --tt-ok: var(--vscode-charts-green);
    --tt-added: var(--vscode-gitDecoration-addedResourceForeground);
    --tt-removed: var(--vscode-gitDecoration-deletedResourceForeground);
    /* Themes choose it for large marks: as small text it needs some of the text's own colour to stand out. */
    --tt-error: color-mix(in srgb, var(--vscode-errorForeground) 65%, var(--vscode-foreground));
    --tt-caution: var(--vscode-editorWarning-foreground);
    --tt-mono: var(--vscode-editor-font-family);
    color: var(--tt-text);
    font-family: var(--vscode-font-family);
    font-size: var(--vscode-font-size);
    line-height: 1.45;
  }
  * {
    box-sizing: border-box;
  }
  .mono {
    font-family: var(--tt-mono);
    font-size: 0.95em;
  }
  .muted {
    color: var(--tt-muted);
  }
  .small {
    font-size: 0.92em;
  }
  .added {
    color: var(--tt-added);
  }
  .removed,
  .error {
    color: var(--tt-error);
  }
  .removed {
    color: var(--tt-removed);
  }
  .caution {
    color: var(--tt-caution);
  }
  .clip {
    min-width: 0;
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
  .spoken {
    clip-path: inset(50%);
    height: 1px;
    overflow: hidden;
    position: absolute;
    white-space: nowrap;
    width: 1px;
  }
  .row {
    align-items: center;
    display: flex;
    gap: 8px;
  }
  .spread {
    justify-content: space-between;
  }
  .wrap {
    flex-wrap: wrap;
  }
  h1,
  h2,
  h3,
  p,
  ul,
  dl,
  dd {
    margin: 0;
    padding: 0;
  }
  ul {
    list-style: none;
  }
  button.link {
    background: none;
    border: 0;
    color: var(--vscode-textLink-foreground);
    cursor: pointer;
    font: inherit;
    padding: 0;
    text-align: start;
  }
  button.link:hover {
    color: var(--vscode-textLink-activeForeground);
    text-decoration: underline;
  }
  :focus-visible {
    outline: 1px solid var(--vscode-focusBorder);
    outline-offset: 2px;
  }
  vscode-button {
    flex: none;
  }
  vscode-progress-ring {
    flex: none;
    height: 14px;
    width: 14px;
  }
  vscode-button::part(control) {
    font-size: var(--vscode-font-size);
    line-height: 16px;
    padding: 3px 9px;
    white-space: nowrap;
  }
  kbd {
    border: 1px solid var(--vscode-keybindingLabel-border, var(--tt-line));
    border-radius: 3px;
    color: var(--tt-muted);
    font: inherit;
    font-size: 0.85em;
    padding: 0 5px;
  }
  .eyebrow {
    color: var(--tt-muted);
    font-size: 0.85em;
    font-weight: 600;
    letter-spacing: 0.06em;
    text-transform: uppercase;
  }
  @media (prefers-reduced-motion: reduce) {
    * {
      animation: none !important;
      transition: none !important;
    }
  }
`;
