/** How the rail looks: rows, the line through their marks, dashes for what is or would be set aside. */

import { css } from 'lit';

export const railStyles = css`
  :host {
    display: block;
  }
  .tree {
    padding: 6px 0 24px;
  }
  .item {
    cursor: pointer;
    display: flex;
    min-height: 50px;
    position: relative;
    scroll-margin: 40px 0;
  }
  .item:hover {
    background: var(--vscode-list-hoverBackground);
  }
  .item.selected {
    --tt-text: var(--vscode-list-activeSelectionForeground, var(--vscode-foreground));
    --tt-ground: var(--vscode-list-activeSelectionBackground);
    background: var(--vscode-list-activeSelectionBackground);
    color: var(--tt-text);
  }
  .item.selected .muted,
  .item.selected .added,
  .item.selected .removed {
    color: inherit;
    opacity: 0.9;
  }
  .item:focus-visible {
    outline-offset: -1px;
  }
  .gutter {
    flex: none;
    position: relative;
    width: 44px;
  }
  .gutter::before {
    border-left: 1.5px solid var(--tt-rail);
    bottom: 0;
    content: '';
    left: 21px;
    position: absolute;
    top: 0;
  }
  .gutter.later::before {
    border-left-style: dashed;
  }
  .gutter.aside::before {
    border-left-style: dotted;
    left: 33px;
  }
  .gutter.first::before {
    top: 17px;
  }
  .gutter.last::before {
    bottom: auto;
    height: 17px;
  }
  .shape {
    left: 13px;
    position: absolute;
    top: 8px;
  }
  .gutter.aside .shape {
    left: 25px;
  }
  .body {
    flex: 1;
    min-width: 0;
    padding: 6px 12px 6px 0;
  }
  .aside .gutter {
    width: 56px;
  }
  .aside .body {
    opacity: 0.8;
  }
  .title {
    align-items: baseline;
    display: flex;
    gap: 8px;
  }
  .number {
    flex: none;
    font-weight: 600;
  }
  .end {
    flex: none;
    margin-inline-start: auto;
  }
  .facts {
    display: flex;
    flex-wrap: wrap;
    gap: 0 9px;
    min-height: 1.45em;
  }
  .facts .plain {
    color: inherit;
  }
  .twist {
    opacity: 0;
  }
  .fold:hover .twist,
  .fold:focus-visible .twist {
    opacity: 1;
    text-decoration: underline;
  }
  .item-ask {
    padding: 2px 12px 8px 44px;
    position: relative;
  }
  .item-ask::before {
    border-left: 1.5px dashed var(--tt-rail);
    bottom: 0;
    content: '';
    left: 21px;
    position: absolute;
    top: 0;
  }
  .offshoot {
    min-height: 32px;
  }
  .offshoot .gutter.first::before {
    display: none;
  }
  .offshoot .body {
    padding: 5px 12px 5px 4px;
  }
  .curve {
    left: 0;
    overflow: visible;
    position: absolute;
    top: 0;
  }
  .curve path {
    fill: none;
    stroke: var(--tt-processes);
    stroke-width: 1.6;
  }
  .curve circle {
    fill: var(--tt-processes);
  }
  .curve.aside path {
    stroke: var(--tt-muted);
    stroke-dasharray: 3 2.5;
  }
  .curve.aside circle {
    fill: var(--tt-ground);
    stroke: var(--tt-muted);
    stroke-width: 1.5;
  }
  :host-context(.vscode-high-contrast) .item.selected,
  :host-context(.vscode-high-contrast-light) .item.selected {
    outline: 1px solid var(--vscode-contrastActiveBorder);
    outline-offset: -1px;
  }
  :host-context(.vscode-high-contrast) .item:hover,
  :host-context(.vscode-high-contrast-light) .item:hover {
    outline: 1px dashed var(--vscode-contrastActiveBorder);
    outline-offset: -1px;
  }
`;
