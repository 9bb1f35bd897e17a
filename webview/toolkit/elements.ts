/**
 * The only place that knows @vscode/webview-ui-toolkit, whose authors have deprecated it: registers the elements the
 * components use by their tag names. To replace it, define elements of these names here, or change the tags.
 */

import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodePanels,
  vsCodePanelTab,
  vsCodePanelView,
  vsCodeProgressRing,
} from '@vscode/webview-ui-toolkit';

/** Registers vscode-button, vscode-progress-ring and vscode-panels with its parts. Call once. */
export function registerToolkit(): void {
  provideVSCodeDesignSystem().register(
    vsCodeButton(),
    vsCodePanels(),
    vsCodePanelTab(),
    vsCodePanelView(),
    vsCodeProgressRing(),
  );
}
