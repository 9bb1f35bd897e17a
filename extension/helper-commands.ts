/** The next step for each state of the connection: starts, restarts or explains the helper, in a terminal the person sees. */

import * as vscode from 'vscode';
import type { HelperConnection } from './connection.ts';
import { cliCommand, helperPlace } from './place.ts';

/** Does what the button of the connection's state promises. */
export async function takeNextStep(connection: HelperConnection): Promise<void> {
  const { action, command } = connection.view;
  switch (action?.id) {
    case 'start-helper':
    case 'restart-helper':
      runVisibly(command ?? cliCommand('up', helperPlace()));
      connection.connect();
      break;
    case 'fix-permission':
      if (command !== undefined) runVisibly(command);
      break;
    case 'open-walkthrough':
      await vscode.commands.executeCommand(
        'workbench.action.openWalkthrough',
        'turntable.turntable#turntable.start',
        false,
      );
      break;
    case 'reconnect':
    case undefined:
      connection.connect();
      break;
  }
}

/** Starts the helper whatever the state says. */
export function startHelper(connection: HelperConnection): void {
  runVisibly(cliCommand('up', helperPlace()));
  connection.connect();
}

/** Runs `turntable doctor` where the person can read it. */
export function runDoctor(): void {
  runVisibly(cliCommand('doctor', helperPlace()));
}

function runVisibly(command: string): void {
  const name = vscode.l10n.t('Turntable helper');
  const terminal =
    vscode.window.terminals.find((each) => each.name === name && each.exitStatus === undefined) ??
    vscode.window.createTerminal({ name, iconPath: new vscode.ThemeIcon('server-process') });
  terminal.show();
  terminal.sendText(command);
}
