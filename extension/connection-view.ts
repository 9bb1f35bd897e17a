/** The states of the connection in words: what it means, and the button that does the next step. */

import * as vscode from 'vscode';
import type { ConnectionStatus, ConnectionView } from '../webview/messages.ts';
import { cliCommand, helperPlace } from './place.ts';

export interface Trouble {
  status: ConnectionStatus;
  /** What the other side or the system said. */
  detail?: string;
}

/** Words and next step for a state. */
export function connectionView({ status, detail }: Trouble): ConnectionView {
  const place = helperPlace();
  const { t } = vscode.l10n;
  switch (status) {
    case 'connecting':
      return {
        status,
        title: t('Connecting to the helper…'),
        message: t('Looking for it on {0}.', place.socketPath),
      };
    case 'connected':
      return { status, title: t('Connected'), message: t('The helper answers on {0}.', place.socketPath) };
    case 'not-installed':
      return {
        status,
        title: t('The helper is not installed'),
        message: t(
          'Agents run in a sandbox that a helper on this machine owns, and neither the helper nor the turntable command was found. Install Turntable, or tell the setting turntable.cliPath where the command is.',
        ),
        action: { id: 'open-walkthrough', label: t('How to install') },
      };
    case 'not-running':
      return {
        status,
        title: t('The helper is not running'),
        message: t(
          'Nobody answers on {0}. Start the helper; this view connects by itself.',
          place.socketPath,
        ),
        command: cliCommand('up', place),
        action: { id: 'start-helper', label: t('Start helper') },
      };
    case 'not-permitted':
      return {
        status,
        title: t('You may not talk to the helper'),
        message:
          detail ??
          t(
            '{0} belongs to a group that you are not in. Join it, then log in again so that it takes effect.',
            place.socketPath,
          ),
        command: 'sudo usermod -aG turntable "$USER"',
        action: { id: 'fix-permission', label: t('Join the group') },
      };
    case 'wrong-version':
      return {
        status,
        title: t('The helper and this extension do not fit'),
        message:
          detail ??
          t('They speak different versions of the protocol. Update the older one, then restart the helper.'),
        command: `${cliCommand('down', place)}; ${cliCommand('up', place)}`,
        action: { id: 'restart-helper', label: t('Restart helper') },
      };
    case 'failed':
      return {
        status,
        title: t('The helper does not answer as it should'),
        message: detail ?? t('See the log for what happened.'),
        command: cliCommand('doctor', place),
        action: { id: 'reconnect', label: t('Try again') },
      };
  }
}
